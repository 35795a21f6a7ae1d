package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

// readme answers the text of the README.
func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestReadmeListsEveryCommand holds the README's table against what can be
// typed.
func TestReadmeListsEveryCommand(t *testing.T) {
	t.Parallel()
	var listed []string
	for _, row := range regexp.MustCompile("(?m)^\\| `(heroproc [a-z ]+)` \\|").FindAllStringSubmatch(readme(t), -1) {
		listed = append(listed, row[1])
	}
	root := (&cli{}).rootCommand()
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	commands := leaves(root)
	slices.Sort(listed)
	slices.Sort(commands)
	if diff := cmp.Diff(commands, listed); diff != "" {
		t.Errorf("commands (-) and the README's table (+) differ:\n%s", diff)
	}
}

// TestReadmeListsEverySetting holds the README's table against what can be set.
func TestReadmeListsEverySetting(t *testing.T) {
	t.Parallel()
	var listed, settings []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+\\.[a-z_]+)` \\| `?([^`|]+?)`? \\|").FindAllStringSubmatch(readme(t), -1) {
		listed = append(listed, row[1]+" = "+row[2])
	}
	for _, s := range settingsTable() {
		if s.path == "queue.slots" {
			s.standard = "the number of CPUs"
		}
		settings = append(settings, s.path+" = "+s.standard)
	}
	if diff := cmp.Diff(settings, listed); diff != "" {
		t.Errorf("settings (-) and the README's table (+) differ:\n%s", diff)
	}
}

// leaves lists the commands that do something. The shells that completion knows
// are arguments to a reader.
func leaves(cmd *cobra.Command) []string {
	var paths []string
	for _, sub := range cmd.Commands() {
		switch {
		case sub.Hidden:
		case sub.HasAvailableSubCommands() && sub.Name() != "completion":
			paths = append(paths, leaves(sub)...)
		default:
			paths = append(paths, sub.CommandPath())
		}
	}
	return paths
}

// TestReadmeTour runs the README's tour as it stands: each command exits 0 and
// prints what is written below it, where … stands for anything.
func TestReadmeTour(t *testing.T) {
	t.Parallel()
	home := filepath.Join(t.TempDir(), "home")
	daemon := &daemonProcess{home: home}
	t.Cleanup(func() {
		if err := daemon.cleanUp(); err != nil {
			t.Error(err)
		}
	})
	if err := daemon.start(); err != nil {
		t.Fatal(err)
	}
	steps := 0
	for _, block := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(readme(t), -1) {
		for _, step := range strings.Split("\n"+block[1], "\n$ ")[1:] {
			steps++
			line, want, _ := strings.Cut(step, "\n")
			cmd := exec.Command("/bin/sh", "-c", line)
			cmd.Dir = "../.."
			cmd.Env = append(os.Environ(), "HEROPROC_HOME="+home, "HEROPROC_SOCKET=", quickEnd)
			got, err := cmd.CombinedOutput()
			if err != nil {
				t.Errorf("%s: %v\n%s", line, err, got)
			}
			if !matches(strings.TrimSuffix(want, "\n"), strings.TrimSuffix(string(got), "\n")) {
				t.Errorf("%s\nprinted\n%s\nand the README says\n%s", line, got, want)
			}
		}
	}
	if steps < 8 {
		t.Errorf("found only %d commands in the README's tour", steps)
	}
}

// matches compares output with what is written, where … stands for anything.
func matches(want, got string) bool {
	pattern := strings.ReplaceAll(regexp.QuoteMeta(want), "…", ".*")
	return regexp.MustCompile("(?s)^" + pattern + "$").MatchString(got)
}
