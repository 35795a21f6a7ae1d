package main

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/heroproc/heroproc/jobs/document"
)

// load loads settings from a file's text, an environment and flags.
func load(t *testing.T, yaml string, environ []string, args ...string) (Settings, error) {
	t.Helper()
	var files []string
	if yaml != "" {
		path := filepath.Join(t.TempDir(), "heroproc.yaml")
		if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		files = []string{path}
	}
	flags := pflag.NewFlagSet("daemon", pflag.ContinueOnError)
	addSettingFlags(flags)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return LoadSettings(files, environ, flags)
}

func TestLoadSettings(t *testing.T) {
	t.Parallel()
	t.Run("LaterLayersWin", func(t *testing.T) {
		t.Parallel()
		const file = "daemon: {queue: {slots: 2}, log: {level: debug, format: json, attempt_budget: 1MiB}}"
		settings, err := load(t, file, []string{"PATH=/bin", "HEROPROC_DAEMON_QUEUE_SLOTS=3", "HEROPROC_DAEMON_LOG_LEVEL=warn"},
			"--log-level", "error")
		if err != nil {
			t.Fatal(err)
		}
		var want Settings
		want.Queue.Slots = 3
		want.Log.Level = slog.LevelError
		want.Log.Format = "json"
		want.Log.AttemptBudget = 1 << 20
		want.Log.TotalBudget = 10 << 30
		if diff := cmp.Diff(want, settings); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("HasNothingToDoWithTheEnvironmentOfAJob", func(t *testing.T) {
		t.Parallel()
		if _, err := load(t, "", []string{"HEROPROC_RUN_ID=1", "HEROPROC_TOKEN=x", "HEROPROC_SOCKET=/x"}); err != nil {
			t.Error(err)
		}
	})
	t.Run("TellsEverythingThatIsWrongWithAFile", func(t *testing.T) {
		t.Parallel()
		_, err := load(t, "daemon:\n  queue:\n    slots: 0\n  log:\n    level: loud\n    total_budget: 1kB\n", nil)
		var problems document.Problems
		if !errors.As(err, &problems) || len(problems) != 3 {
			t.Fatalf("got %v", err)
		}
		for i, want := range []struct {
			line int
			path document.Path
		}{{3, "daemon.queue.slots"}, {5, "daemon.log.level"}, {6, "daemon.log.total_budget"}} {
			if problems[i].Line != want.line || problems[i].Path != want.path {
				t.Errorf("problem %d: got %v, want %v", i, problems[i], want)
			}
		}
	})
	t.Run("RefusesWhatItDoesNotKnow", func(t *testing.T) {
		t.Parallel()
		_, err := load(t, "daemon: {queue: {slotz: 1}}", nil)
		if exitCode(err) != exitUsage || !strings.Contains(err.Error(), "slotz") {
			t.Errorf("got %v", err)
		}
	})
}

func TestDemoConfiguration(t *testing.T) {
	t.Parallel()
	flags := pflag.NewFlagSet("daemon", pflag.ContinueOnError)
	addSettingFlags(flags)
	settings, err := LoadSettings([]string{"examples/demo.yaml"}, nil, flags)
	if err != nil || settings.Queue.Slots != 4 || settings.Log.AttemptBudget != 16<<20 {
		t.Errorf("got %+v, %v", settings, err)
	}
}

func TestReadSize(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{"1MiB": 1 << 20, "1024KiB": 1 << 20, "10GiB": 10 << 30, "2TiB": 2 << 40} {
		if got, err := readSize(text); err != nil || got != want {
			t.Errorf("%s: got %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "5", "MiB", "1MB", "-1MiB", "0MiB", "1KiB", "1.5GiB", "99999999999TiB", "1MiBMiB", "1 MiB"} {
		if got, err := readSize(text); err == nil {
			t.Errorf("%q was read as %v", text, got)
		}
	}
}
