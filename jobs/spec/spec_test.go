package spec_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/heroproc/heroproc/jobs/document"
	"github.com/heroproc/heroproc/jobs/spec"
)

func TestJSONRoundTrip(t *testing.T) {
	t.Parallel()

	t.Run("Run", func(t *testing.T) {
		t.Parallel()
		run := full()
		text, err := json.Marshal(run)
		if err != nil {
			t.Fatal(err)
		}
		var read, decoded spec.Run
		if err := document.JSON(text, &read); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(run, read); diff != "" {
			t.Errorf("run read by document (-want +got):\n%s", diff)
		}
		if err := json.Unmarshal(text, &decoded); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(run, decoded); diff != "" {
			t.Errorf("run read by encoding/json (-want +got):\n%s", diff)
		}
		again, err := json.Marshal(read)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(text), string(again)); diff != "" {
			t.Errorf("the second text (-first +second):\n%s", diff)
		}
	})

	t.Run("AnActionSaysNoMoreThanItMust", func(t *testing.T) {
		t.Parallel()
		text, err := json.Marshal(spec.Action{Command: []string{"true"}, Dir: "/"})
		if err != nil {
			t.Fatal(err)
		}
		if want := `{"command":["true"],"dir":"/"}`; string(text) != want {
			t.Errorf("text %s, want %s", text, want)
		}
	})

	t.Run("AZeroIsNotADefault", func(t *testing.T) {
		t.Parallel()
		text, err := json.Marshal(spec.Action{Retry: &spec.Retry{Attempts: 2}, Stop: &spec.Stop{}})
		if err != nil {
			t.Fatal(err)
		}
		want := `{"retry":{"attempts":2,"backoff":"0s","max_backoff":"0s","jitter":0},"stop":{"signal":"","timeout":"0s"}}`
		if string(text) != want {
			t.Errorf("text %s, want %s", text, want)
		}
	})
}

func TestArgv(t *testing.T) {
	t.Parallel()

	tests := []struct {
		name string
		text string
		want []string
	}{
		{"a command", `{"command": ["ls", "-l"]}`, []string{"ls", "-l"}},
		{"a script", `{"script": "echo hi"}`, []string{"sh", "-c", "echo hi"}},
		{"bash", `{"script": "x", "interpreter": "bash"}`, []string{"bash", "-c", "x"}},
		{"python3", `{"script": "x", "interpreter": "python3"}`, []string{"python3", "-c", "x"}},
		{"perl", `{"script": "x", "interpreter": "perl"}`, []string{"perl", "-e", "x"}},
		{"node", `{"script": "x", "interpreter": "node"}`, []string{"node", "-e", "x"}},
		{"php", `{"script": "x", "interpreter": "php"}`, []string{"php", "-r", "x"}},
		{"an own command line", `{"script": "x", "interpreter": ["env", "sh", "-xc"]}`, []string{"env", "sh", "-xc", "x"}},
		{"a list of one name is no known name", `{"script": "x", "interpreter": ["bash"]}`, []string{"bash", "x"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var action spec.Action
			if err := document.JSON([]byte(test.text), &action); err != nil {
				t.Fatal(err)
			}
			for range 2 { // Asking does not change the answer.
				if diff := cmp.Diff(test.want, action.Argv()); diff != "" {
					t.Errorf("argv (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestEffective(t *testing.T) {
	t.Parallel()

	run := spec.Run{
		Env: map[string]string{"A": "run", "B": "run"},
		Dir: "/run",
		Jobs: map[string]spec.Job{
			"own":  {Action: spec.Action{Env: map[string]string{"B": "job", "C": "job"}, Dir: "/job"}},
			"none": {},
		},
	}
	own, none := run.Effective("own"), run.Effective("none")
	if diff := cmp.Diff(map[string]string{"A": "run", "B": "job", "C": "job"}, own.Env); diff != "" {
		t.Errorf("environment of a job with its own (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"A": "run", "B": "run"}, none.Env); diff != "" {
		t.Errorf("environment of a job without (-want +got):\n%s", diff)
	}
	if own.Dir != "/job" || none.Dir != "/run" {
		t.Errorf("directories %q and %q, want /job and /run", own.Dir, none.Dir)
	}
	if diff := cmp.Diff(map[string]string{"A": "run", "B": "run"}, run.Env); diff != "" {
		t.Errorf("the run's environment has changed (-want +got):\n%s", diff)
	}
	if got := (&spec.Run{Jobs: map[string]spec.Job{"a": {}}}).Effective("a").Dir; got != "/" {
		t.Errorf("a job without any directory runs in %q, want /", got)
	}
}

func TestPolicies(t *testing.T) {
	t.Parallel()

	var nothing spec.Action
	if diff := cmp.Diff(*spec.NewRetry(1), nothing.RetryPolicy()); diff != "" {
		t.Errorf("retry policy of an action that says nothing (-want +got):\n%s", diff)
	}
	if got := nothing.LostPolicy(); got != spec.OnLostFail {
		t.Errorf("lost policy of an action that says nothing is %q", got)
	}
	if signal, grace := nothing.StopSequence(); signal != syscall.SIGTERM || grace != 10*time.Second {
		t.Errorf("an action that says nothing is stopped by %v within %v", signal, grace)
	}

	something := spec.Action{
		Retry:  &spec.Retry{Attempts: 5, Backoff: 1, MaxBackoff: 2, Jitter: 0},
		OnLost: spec.OnLostRetry,
		Stop:   &spec.Stop{Signal: "sigusr1", Timeout: spec.Duration(time.Second)},
	}
	if diff := cmp.Diff(*something.Retry, something.RetryPolicy()); diff != "" {
		t.Errorf("retry policy (-want +got):\n%s", diff)
	}
	if got := something.LostPolicy(); got != spec.OnLostRetry {
		t.Errorf("lost policy %q", got)
	}
	if signal, grace := something.StopSequence(); signal != syscall.SIGUSR1 || grace != time.Second {
		t.Errorf("stopped by %v within %v", signal, grace)
	}
}

func TestSignalNumber(t *testing.T) {
	t.Parallel()

	for name, want := range map[string]syscall.Signal{
		"TERM": syscall.SIGTERM, "SIGTERM": syscall.SIGTERM, "int": syscall.SIGINT, "SigHup": syscall.SIGHUP, "KILL": syscall.SIGKILL,
		"": 0, "SIG": 0, "15": 0, "TERMINATE": 0, "SIGSIGTERM": 0,
	} {
		if got, ok := spec.SignalNumber(name); got != want || ok != (want != 0) {
			t.Errorf("SignalNumber(%q) is %v, %t, want %v", name, got, ok, want)
		}
	}
}

func TestFillIn(t *testing.T) {
	t.Parallel()

	job := spec.Job{Action: spec.Action{Command: []string{"true"}}}
	tests := []struct {
		name          string
		run           spec.Run
		wantName, ctx string
	}{
		{"one job gives its name", spec.Run{Jobs: map[string]spec.Job{"build": job}}, "build", "core"},
		{"several jobs give none", spec.Run{Jobs: map[string]spec.Job{"a": job, "b": job}}, "run", "core"},
		{"what is said stays", spec.Run{Name: "n", Context: "c", Jobs: map[string]spec.Job{"a": job}}, "n", "c"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for range 2 {
				test.run.FillIn()
				if test.run.Name != test.wantName || test.run.Context != test.ctx {
					t.Errorf("name %q and context %q, want %q and %q", test.run.Name, test.run.Context, test.wantName, test.ctx)
				}
			}
		})
	}
}

func TestFingerprint(t *testing.T) {
	t.Parallel()

	run := full()
	same := run.Fingerprint()
	if len(same) != 64 {
		t.Errorf("fingerprint %q, want 64 digits", same)
	}
	if again := full(); again.Fingerprint() != same {
		t.Error("an equal run has another fingerprint")
	}
	run.Key = "another"
	if run.Fingerprint() != same {
		t.Error("the key is part of the fingerprint")
	}
	for name, change := range map[string]func(*spec.Run){
		"name":     func(r *spec.Run) { r.Name += "x" },
		"context":  func(r *spec.Run) { r.Context += "x" },
		"tags":     func(r *spec.Run) { r.Tags = r.Tags[:1] },
		"env":      func(r *spec.Run) { r.Env = map[string]string{"A": "1"} },
		"timeout":  func(r *spec.Run) { r.Timeout++ },
		"a job":    func(r *spec.Run) { delete(r.Jobs, "last") },
		"argument": func(r *spec.Run) { r.Jobs["build"].Command[0] = "gmake" },
	} {
		other := full()
		change(&other)
		if other.Fingerprint() == same {
			t.Errorf("another %s has the same fingerprint", name)
		}
	}

	implicit := spec.Run{Jobs: map[string]spec.Job{"a": {}}}
	explicit := spec.Run{Name: "a", Context: "core", Tags: []string{}, Jobs: map[string]spec.Job{"a": {Needs: []string{}}}}
	if implicit.Fingerprint() != explicit.Fingerprint() {
		t.Error("a default that is written out changes the fingerprint")
	}
	if implicit.Name != "" {
		t.Error("asking for the fingerprint has changed the run")
	}
}

func TestDuration(t *testing.T) {
	t.Parallel()

	tests := []struct {
		text string // JSON
		want spec.Duration
		err  string
	}{
		{`"5s"`, spec.Duration(5 * time.Second), ""},
		{`"1m30s"`, spec.Duration(90 * time.Second), ""},
		{`"0s"`, 0, ""},
		{`"0"`, 0, ""},
		{`"-1s"`, spec.Duration(-time.Second), ""}, // Validate refuses it where it matters.
		{`5`, 0, `expected a duration such as "5s", got the number 5; write "5s" for seconds`},
		{`"5"`, 0, `expected a duration such as "5s", "1m30s" or "250ms", got "5"`},
		{`"1d"`, 0, `expected a duration such as "5s", "1m30s" or "250ms", got "1d"`},
		{`""`, 0, `expected a duration such as "5s", "1m30s" or "250ms", got ""`},
		{`"999999999h"`, 0, `expected a duration such as "5s", "1m30s" or "250ms", got "999999999h"`},
		{`null`, 0, `expected a duration such as "5s", got nothing`},
		{`true`, 0, `expected a duration such as "5s", got true or false`},
		{`["5s"]`, 0, `expected a duration such as "5s", got a list`},
	}
	for _, test := range tests {
		var got spec.Duration
		err := document.JSON([]byte(test.text), &got)
		message := ""
		if err != nil {
			message = err.Error()
		}
		if got != test.want || message != test.err {
			t.Errorf("%s is %v, %q, want %v, %q", test.text, got, message, test.want, test.err)
		}
	}
}

// TestValidateWhatNoFileCanSay checks what documents refuse by themselves, and
// the limits that would make large files.
func TestValidateWhatNoFileCanSay(t *testing.T) {
	t.Parallel()

	many := func(n int) map[string]string {
		env := map[string]string{}
		for i := range n {
			env[fmt.Sprint("V", i)] = strings.Repeat("y", 130_000)
		}
		return env
	}
	tags := slices.Repeat([]string{"t"}, spec.MaxTags+1)
	tests := []struct {
		name   string
		change func(r *spec.Run, j *spec.Job)
		want   string
	}{
		{"a command that is not UTF-8", func(_ *spec.Run, j *spec.Job) { j.Command = []string{"a", "\xff"} }, "jobs.a.command[1]: is not UTF-8"},
		{"a script that is not UTF-8", func(_ *spec.Run, j *spec.Job) { j.Command, j.Script = nil, "\xff" }, "jobs.a.script: is not UTF-8"},
		{"a variable that is not UTF-8", func(r *spec.Run, _ *spec.Job) { r.Env = map[string]string{"A": "\xff"} }, "env.A: is not UTF-8"},
		{"a directory that is not UTF-8", func(_ *spec.Run, j *spec.Job) { j.Dir = "/\xff" }, "jobs.a.dir: is not UTF-8"},
		{"a key that is not UTF-8", func(r *spec.Run, _ *spec.Job) { r.Key = "\xff" }, "key: is not UTF-8"},
		{"a relative directory", func(r *spec.Run, _ *spec.Job) { r.Dir = "sub" }, `dir: "sub" is not absolute`},
		{"a long directory", func(r *spec.Run, _ *spec.Job) { r.Dir = "/" + strings.Repeat("d", 4095) }, "dir: is 4096 bytes long; the kernel takes at most 4095"},
		{"a jitter that is no number", func(_ *spec.Run, j *spec.Job) { j.Retry = spec.NewRetry(2); j.Retry.Jitter = math.NaN() }, "jobs.a.retry.jitter: must be from 0 to 1, got NaN"},
		{"a retry without its defaults", func(_ *spec.Run, j *spec.Job) { j.Retry = &spec.Retry{Attempts: 2} }, "jobs.a.retry.backoff: must be at least 1ms, got 0s\njobs.a.retry.max_backoff: must be at least 1ms, got 0s"},
		{"a stop without its defaults", func(_ *spec.Run, j *spec.Job) { j.Stop = &spec.Stop{Timeout: 1} }, "jobs.a.stop.signal: there is no signal called \"\"; the usual ones are TERM, INT, HUP, QUIT, USR1, USR2 and KILL\njobs.a.stop.timeout: must be at least 1ms, got 1ns"},
		{"an argument that is too long", func(_ *spec.Run, j *spec.Job) { j.Command = []string{"a", strings.Repeat("x", spec.MaxArgument+1)} }, "jobs.a.command[1]: is 131072 bytes long; the kernel takes at most 131071 for one argument"},
		{"a script that is too long", func(_ *spec.Run, j *spec.Job) {
			j.Command, j.Script = nil, strings.Repeat("x", spec.MaxArgument+1)
		}, "jobs.a.script: is 131072 bytes long; the kernel takes at most 131071: put it into a file"},
		{"a variable that is too long", func(_ *spec.Run, j *spec.Job) {
			j.Env = map[string]string{"A": strings.Repeat("x", spec.MaxArgument-1)}
		}, "jobs.a.env.A: is 131072 bytes long; the kernel takes at most 131071 for one variable: put it into a file"},
		{"too much in all", func(r *spec.Run, j *spec.Job) {
			r.Env, j.Env = many(8), map[string]string{"W": strings.Repeat("w", 131_000)}
			j.Command = slices.Repeat([]string{strings.Repeat("x", 131_000)}, 7)
		}, "jobs.a: its arguments and environment take 2088170 bytes; the kernel takes at most 2031616: put some into a file"},
		{"too many tags", func(r *spec.Run, _ *spec.Job) { r.Tags = tags }, "tags: there are 101 tags; there may be at most 100"},
		{"a long key", func(r *spec.Run, _ *spec.Job) { r.Key = strings.Repeat("k", spec.MaxKey+1) }, "key: is 257 bytes long; a key may have at most 256"},
		{"too many jobs", func(r *spec.Run, j *spec.Job) {
			for i := range spec.MaxJobs {
				r.Jobs[fmt.Sprint("j", i)] = *j
			}
		}, "jobs: there are 10001 jobs; a run may have at most 10000"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			job := spec.Job{Action: spec.Action{Command: []string{"true"}}}
			run := spec.Run{Jobs: map[string]spec.Job{}}
			test.change(&run, &job)
			run.Jobs["a"] = job
			err := run.Validate()
			if err == nil {
				t.Fatal("the run is accepted")
			}
			if diff := cmp.Diff(test.want, err.Error()); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestValidateAccepts(t *testing.T) {
	t.Parallel()

	job := spec.Job{Action: spec.Action{Command: []string{"true"}}}
	most := spec.Run{Jobs: map[string]spec.Job{}}
	for i := range spec.MaxJobs {
		most.Jobs[fmt.Sprint("j", i)] = job
	}
	limits := spec.Run{
		Name: strings.Repeat("n", spec.MaxName), Key: strings.Repeat("k", spec.MaxKey), Timeout: spec.MaxDuration,
		Jobs: map[string]spec.Job{"._-": {Action: spec.Action{
			Script: strings.Repeat("x", spec.MaxArgument), Timeout: spec.MinDuration, Dir: "/" + strings.Repeat("d", 4094),
			Env:   map[string]string{"odd name": strings.Repeat("x", spec.MaxArgument-len("odd name=")), "HEROPROC": "", "é": "ü"},
			Retry: &spec.Retry{Attempts: spec.MaxAttempts, Backoff: 1e6, MaxBackoff: 1e6, Jitter: 1, OnExitCodes: []int{1, 255}},
			Stop:  &spec.Stop{Signal: "KILL", Timeout: spec.MinDuration},
			Tags:  []string{"a:b/c=d@e+f"},
		}}},
	}
	for name, run := range map[string]spec.Run{"full": full(), "most": most, "limits": limits} {
		if err := run.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDocumentsNameEveryField(t *testing.T) {
	t.Parallel()

	// A document with a wrong key lists the known ones: they are the contract.
	want := map[string]string{
		"":       "context, dir, env, jobs, key, name, tags, timeout",
		"jobs.a": "command, dir, env, interpreter, needs, on_lost, retry, script, stop, tags, timeout",
	}
	got := map[string]string{}
	var run spec.Run
	err := document.JSON([]byte(`{"0123456789": 1, "jobs": {"a": {"0123456789": 1}}}`), &run)
	var problems document.Problems
	if !errors.As(err, &problems) {
		t.Fatalf("error %v is not Problems", err)
	}
	for _, problem := range problems {
		path, _, _ := strings.Cut(string(problem.Path), "0123456789")
		_, known, _ := strings.Cut(problem.Text, "known are ")
		got[strings.TrimSuffix(path, ".")] = known
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("known keys (-want +got):\n%s", diff)
	}
}

func BenchmarkSubmittedRun(b *testing.B) {
	text := []byte(`{"name":"build","tags":["ci"],"env":{"CI":"true"},"dir":"/srv/code","jobs":{"build":{"command":["make","-j8","all"],"timeout":"5m0s"}}}`)
	b.Run("Read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var run spec.Run
			if err := document.JSON(text, &run); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("ReadLoosely", func(b *testing.B) { // what encoding/json takes for the same
		b.ReportAllocs()
		for b.Loop() {
			var run spec.Run
			if err := json.Unmarshal(text, &run); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("ReadAndValidate", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var run spec.Run
			if err := document.JSON(text, &run); err != nil {
				b.Fatal(err)
			}
			run.FillIn()
			if err := run.Validate(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
