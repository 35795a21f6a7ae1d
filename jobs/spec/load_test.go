package spec_test

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/heroproc/heroproc/jobs/document"
	"github.com/heroproc/heroproc/jobs/spec"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

func TestMain(m *testing.M) {
	flag.Parse()
	goleak.VerifyTestMain(m)
}

// TestBadRunFiles reads each file of testdata/bad and holds its problems against
// the .want beside it. What is written on standard input has no extension.
func TestBadRunFiles(t *testing.T) {
	t.Parallel()

	files, err := filepath.Glob("testdata/bad/*")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, file := range files {
		if filepath.Ext(file) == ".want" {
			continue
		}
		count++
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			_, err := spec.Load(file)
			if err == nil {
				t.Fatal("the file is accepted")
			}
			var problems document.Problems
			if !errors.As(err, &problems) {
				t.Fatalf("error %v is not Problems", err)
			}
			got := strings.ReplaceAll(err.Error(), "testdata/bad/", "") + "\n"
			if *update {
				if err := os.WriteFile(file+".want", []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file + ".want")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
	if count < 40 {
		t.Errorf("%d bad files, want at least 40: are they all there?", count)
	}
}

// full is a run with every field, as a program would write it.
func full() spec.Run {
	return spec.Run{
		Name:    "full",
		Tags:    []string{"a", "team=web"},
		Context: "ci",
		Key:     "once",
		Env:     map[string]string{"A": "1", "B": "x\ny"},
		Dir:     "/srv",
		Timeout: spec.Duration(90 * time.Minute),
		Jobs: map[string]spec.Job{
			"build": {Action: spec.Action{
				Command: []string{"make", "-j", "all targets"},
				Env:     map[string]string{"B": "mine"},
				Dir:     "/srv/code",
				Timeout: spec.Duration(1500 * time.Millisecond),
				Retry: &spec.Retry{
					Attempts: 3, Backoff: spec.Duration(2 * time.Second), MaxBackoff: spec.DefaultMaxBackoff,
					Jitter: 0, OnExitCodes: []int{1, 75},
				},
				OnLost: spec.OnLostRetry,
				Stop:   &spec.Stop{Signal: "SIGINT", Timeout: spec.DefaultStopTimeout},
				Tags:   []string{"slow"},
			}},
			"test.all": {
				Action: spec.Action{Script: "echo hi\nexit 0\n", Interpreter: spec.Interpreter{"python3", "-c"}},
				Needs:  []string{"build"},
			},
			"last": {
				Action: spec.Action{Script: "1", Interpreter: spec.Interpreter{"awk", "--"}},
				Needs:  []string{"build", "test.all"},
			},
		},
	}
}

func TestOneRunInThreeFormats(t *testing.T) {
	t.Parallel()

	texts := map[string]string{
		"full.yaml": `
name: full
tags: [a, team=web]
context: ci
key: once
env:
  A: "1"
  B: |-
    x
    y
dir: /srv
timeout: 1h30m
jobs:
  build:
    command: [make, -j, all targets]
    env: {B: mine}
    dir: code
    timeout: 1.5s
    retry: {attempts: 3, backoff: 2s, jitter: 0, on_exit_codes: [1, 75]}
    on_lost: retry
    stop: {signal: SIGINT}
    tags: [slow]
  test.all:
    needs: [build]
    interpreter: python3
    script: |
      echo hi
      exit 0
  last:
    needs: [build, test.all]
    interpreter: [awk, --]
    script: "1"
`,
		"full.toml": `
name = "full"
tags = ["a", "team=web"]
context = "ci"
key = "once"
env = {A = "1", B = "x\ny"}
dir = "/srv"
timeout = "90m"

[jobs.build]
command = ["make", "-j", "all targets"]
env.B = "mine"
dir = "/srv/code"
timeout = "1500ms"
retry = {attempts = 3, backoff = "2s", jitter = 0, on_exit_codes = [1, 75]}
on_lost = "retry"
stop.signal = "SIGINT"
tags = ["slow"]

[jobs."test.all"]
needs = ["build"]
interpreter = "python3"
script = '''
echo hi
exit 0
'''

[jobs.last]
needs = ["build", "test.all"]
interpreter = ["awk", "--"]
script = "1"
`,
		"full.json": `{
	"name": "full", "tags": ["a", "team=web"], "context": "ci", "key": "once",
	"env": {"A": "1", "B": "x\ny"}, "dir": "/srv", "timeout": "1h30m0s",
	"jobs": {
		"build": {
			"command": ["make", "-j", "all targets"], "env": {"B": "mine"}, "dir": "/srv/code", "timeout": "1.5s",
			"retry": {"attempts": 3, "backoff": "2s", "jitter": 0.0, "on_exit_codes": [1, 75]},
			"on_lost": "retry", "stop": {"signal": "SIGINT"}, "tags": ["slow"]
		},
		"test.all": {"needs": ["build"], "interpreter": "python3", "script": "echo hi\nexit 0\n"},
		"last": {"needs": ["build", "test.all"], "interpreter": ["awk", "--"], "script": "1"}
	}
}`,
	}
	want := full()
	for name, text := range texts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := spec.Read(strings.NewReader(text), name, "/srv")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("run (-want +got):\n%s", diff)
			}
			if got.Fingerprint() != want.Fingerprint() {
				t.Error("the fingerprint differs from that of the same run made in Go")
			}
		})
	}
}

func TestDefaultsOfADocument(t *testing.T) {
	t.Parallel()

	text := `{"jobs": {"only": {"command": ["true"], "retry": {"attempts": 2}, "stop": {}}}}`
	got, err := spec.Read(strings.NewReader(text), "-", "/here")
	if err != nil {
		t.Fatal(err)
	}
	want := spec.Run{
		Name: "only", Context: "core", Dir: "/here",
		Jobs: map[string]spec.Job{"only": {Action: spec.Action{
			Command: []string{"true"}, Retry: spec.NewRetry(2), Stop: spec.NewStop(),
		}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("run (-want +got):\n%s", diff)
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()

	write := func(t *testing.T, text string) (dir, path string) {
		t.Helper()
		dir = t.TempDir()
		path = filepath.Join(dir, "run.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return dir, path
	}

	t.Run("SeesDirectoriesFromTheFile", func(t *testing.T) {
		t.Parallel()
		dir, path := write(t, "dir: sub\njobs:\n  a: {script: x, dir: ../up}\n  b: {script: x, dir: /abs}\n  c: {script: x}\n")
		run, err := spec.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"a": filepath.Join(filepath.Dir(dir), "up"), "b": "/abs", "c": filepath.Join(dir, "sub")}
		for name, dir := range want {
			if got := run.Effective(name).Dir; got != dir {
				t.Errorf("job %s runs in %q, want %q", name, got, dir)
			}
		}
	})

	t.Run("RunsInTheDirectoryOfTheFile", func(t *testing.T) {
		t.Parallel()
		dir, path := write(t, "jobs: {a: {script: x}}\n")
		run, err := spec.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := run.Effective("a").Dir; got != dir {
			t.Errorf("the job runs in %q, want %q", got, dir)
		}
	})

	t.Run("TellsThatThereIsNoFile", func(t *testing.T) {
		t.Parallel()
		_, err := spec.Load(filepath.Join(t.TempDir(), "none.yaml"))
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("error %v, want one that wraps %v", err, fs.ErrNotExist)
		}
	})

	t.Run("TellsReadingAndCheckingAtOnce", func(t *testing.T) {
		t.Parallel()
		_, path := write(t, "jobs:\n  a: {comand: [x]}\n  b: {command: x}\n  c: {command: [x], needs: [d], timeout: 5}\n  d:\n")
		_, err := spec.Load(path)
		want := strings.Join([]string{
			path + ":2: jobs.a.comand: unknown key; did you mean command?",
			path + `:3: jobs.b.command: expected a list of strings, got a string; write ["program", "argument"], or use script: for a line of shell`,
			path + `:4: jobs.c.timeout: expected a duration such as "5s", got the number 5; write "5s" for seconds`,
			path + ":5: jobs.d: expected a map, got nothing",
		}, "\n")
		if diff := cmp.Diff(want, err.Error()); diff != "" {
			t.Errorf("problems (-want +got):\n%s", diff)
		}
	})
}

func TestExamples(t *testing.T) {
	t.Parallel()

	want := map[string][]string{
		"hello.yaml":    {"hello"},
		"pipeline.yaml": {"lint", "test", "package", "deliver"},
		"nightly.toml":  {"backup", "report"},
		"fanout.json":   {"split", "part-1", "part-2", "part-3", "join"},
	}
	for name, order := range want {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run, err := spec.Load(filepath.Join("../../cmd/heroproc/examples", name))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(order, run.Order()); diff != "" {
				t.Errorf("order (-want +got):\n%s", diff)
			}
		})
	}
}
