package jobs

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mattn/go-sqlite3"

	"github.com/heroproc/heroproc/db"
	"github.com/heroproc/heroproc/db/dbtest"
	"github.com/heroproc/heroproc/jobs/document"
	"github.com/heroproc/heroproc/jobs/spec"
)

// finish waits for a run's end and returns all of it.
func (h *house) finish(t *testing.T, id int64) RunDetail {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	outcome, err := h.Wait(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	if !outcome.State.Final() {
		t.Fatalf("run %d does not end: %+v", id, outcome)
	}
	detail, err := h.Run(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return detail
}

// states are the states of a run's jobs by name.
func states(detail RunDetail) map[string]JobState {
	got := make(map[string]JobState)
	for _, job := range detail.Jobs {
		got[job.Job.Name] = JobState(job.Job.State)
	}
	return got
}

// printed is what a run printed.
func (h *house) printed(t *testing.T, q OutputQuery) string {
	t.Helper()
	var text []byte
	for line, err := range h.Output(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		text = line.AppendRaw(text)
	}
	return string(text)
}

func script(text string, needs ...string) spec.Job {
	return spec.Job{Action: spec.Action{Script: text}, Needs: needs}
}

func TestRunner(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 4)

	t.Run("AGraphRunsInItsOrder", func(t *testing.T) {
		t.Parallel()
		detail := h.finish(t, h.submitOne(t, spec.Run{Jobs: map[string]spec.Job{
			"last": script("echo last", "left", "right"), "left": script("echo left", "first"),
			"right": script("echo right", "first"), "first": script("echo first"),
		}}))
		if detail.Run.State != string(RunSucceeded) || *detail.ExitCode != 0 {
			t.Errorf("the run is %s with %d", detail.Run.State, *detail.ExitCode)
		}
		var order []string
		started := map[string]int64{}
		ended := map[string]int64{}
		for _, job := range detail.Jobs {
			order = append(order, job.Job.Name)
			started[job.Job.Name], ended[job.Job.Name] = *job.Job.StartedAt, *job.Job.FinishedAt
			for _, need := range job.Needs {
				if started[job.Job.Name] < ended[need] {
					t.Errorf("%s started before %s had ended", job.Job.Name, need)
				}
			}
		}
		if diff := cmp.Diff([]string{"first", "left", "right", "last"}, order); diff != "" {
			t.Error(diff)
		}
		if got := h.printed(t, OutputQuery{Run: detail.Run.ID}); got != "first\nleft\nright\nlast\n" {
			t.Errorf("it printed %q", got)
		}
	})

	t.Run("AFailureSkipsWhatNeedsIt", func(t *testing.T) {
		t.Parallel()
		detail := h.finish(t, h.submitOne(t, spec.Run{Jobs: map[string]spec.Job{
			"ok": script("exit 0"), "bad": script("echo oh dear >&2; exit 9"), "next": script("exit 0", "bad"),
			"far": script("exit 0", "next", "ok"), "apart": script("exit 0", "ok"),
		}}))
		want := map[string]JobState{
			"ok": JobSucceeded, "bad": JobFailed, "next": JobSkipped, "far": JobSkipped, "apart": JobSucceeded,
		}
		if diff := cmp.Diff(want, states(detail)); diff != "" {
			t.Error(diff)
		}
		if *detail.ExitCode != 9 || !strings.Contains(detail.Run.ReasonText, `"bad"`) {
			t.Errorf("code %d because %s", *detail.ExitCode, detail.Run.ReasonText)
		}
		for _, job := range detail.Jobs {
			if job.Job.Name == "bad" && string(job.Attempts[0].StderrTail) != "oh dear\n" {
				t.Errorf("the tail of stderr is %q", job.Attempts[0].StderrTail)
			}
			if job.Job.Name == "far" && !strings.Contains(job.Job.ReasonText, `"next"`) {
				t.Errorf("far was skipped because %q", job.Job.ReasonText)
			}
		}
	})

	t.Run("ARetryIsAnAttemptOfTheSameJob", func(t *testing.T) {
		t.Parallel()
		job := script(`echo "try $HEROPROC_ATTEMPT"; [ $HEROPROC_ATTEMPT = 3 ]`)
		job.Retry = &spec.Retry{Attempts: 5, Backoff: spec.Duration(time.Millisecond), MaxBackoff: spec.Duration(5 * time.Millisecond)}
		detail := h.finish(t, h.submitOne(t, spec.Run{Jobs: map[string]spec.Job{"a": job}}))
		attempts := detail.Jobs[0].Attempts
		if detail.Run.State != string(RunSucceeded) || len(attempts) != 3 || detail.Jobs[0].Job.Failures != 2 {
			t.Fatalf("%s after %d attempts, %d failures", detail.Run.State, len(attempts), detail.Jobs[0].Job.Failures)
		}
		if *detail.Run.StartedAt != *attempts[0].StartedAt {
			t.Errorf("the run was started at %d, its first attempt at %d", *detail.Run.StartedAt, *attempts[0].StartedAt)
		}
		if attempts[0].Token == attempts[1].Token {
			t.Error("two attempts have one token")
		}
		if got := h.printed(t, OutputQuery{Job: detail.Jobs[0].Job.ID}); got != "try 1\ntry 2\ntry 3\n" {
			t.Errorf("it printed %q", got)
		}
		if got := h.printed(t, OutputQuery{Job: detail.Jobs[0].Job.ID, Attempt: 2}); got != "try 2\n" {
			t.Errorf("attempt 2 printed %q", got)
		}
	})

	t.Run("TheSameKeyIsTheSameRun", func(t *testing.T) {
		t.Parallel()
		run := single(spec.Action{Command: []string{"true"}})
		run.Key = "once"
		first, err := h.Submit(t.Context(), []spec.Run{run})
		if err != nil {
			t.Fatal(err)
		}
		again, err := h.Submit(t.Context(), []spec.Run{run})
		if err != nil || again[0].ID != first[0].ID || !again[0].Existing || first[0].Existing {
			t.Errorf("first %+v, again %+v, %v", first, again, err)
		}
		run.Jobs["main"] = spec.Job{Action: spec.Action{Command: []string{"false"}}}
		if _, err := h.Submit(t.Context(), []spec.Run{run}); !errors.Is(err, ErrConflict) {
			t.Errorf("another request under the same key: %v", err)
		}
		run.Context = "elsewhere"
		if other, err := h.Submit(t.Context(), []spec.Run{run}); err != nil || other[0].ID == first[0].ID {
			t.Errorf("the same key in another context: %+v, %v", other, err)
		}
	})

	t.Run("ManyRunsAreStoredAllOrNone", func(t *testing.T) {
		t.Parallel()
		good, bad := single(spec.Action{Command: []string{"true"}}), single(spec.Action{})
		good.Name = "half-of-a-pair"
		_, err := h.Submit(t.Context(), []spec.Run{good, bad})
		var problems document.Problems
		if !errors.As(err, &problems) || !strings.HasPrefix(string(problems[0].Path), "runs[1].jobs.main") {
			t.Fatalf("a bad second run: %v", err)
		}
		runs, err := h.Runs(t.Context(), 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(runs, func(r db.Run) bool { return r.Name == "half-of-a-pair" }) {
			t.Error("the good one of the two was stored")
		}
	})

	t.Run("ARunSaysSinceWhenItRuns", func(t *testing.T) {
		t.Parallel()
		id := h.submitOne(t, single(spec.Action{Script: "echo ready; exec sleep 1000"}))
		h.awaitLine(t, id, "ready")
		if _, err := h.Cancel(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		detail := h.finish(t, id)
		if started := detail.Jobs[0].Attempts[0].StartedAt; detail.Run.StartedAt == nil || *detail.Run.StartedAt != *started {
			t.Errorf("the run was started at %v, its attempt at %d", detail.Run.StartedAt, *started)
		}
	})

	t.Run("TheTimeoutOfARunEndsAllOfIt", func(t *testing.T) {
		t.Parallel()
		detail := h.finish(t, h.submitOne(t, spec.Run{Timeout: spec.Duration(200 * time.Millisecond), Jobs: map[string]spec.Job{
			"long": script("exec sleep 1000"), "after": script("exit 0", "long"),
		}}))
		if detail.Run.State != string(RunFailed) || *detail.ExitCode != exitTimeout {
			t.Errorf("the run is %s with %d: %s", detail.Run.State, *detail.ExitCode, detail.Run.ReasonText)
		}
		if got := states(detail); got["long"] != JobFailed || (got["after"] != JobSkipped && got["after"] != JobCancelled) {
			t.Errorf("its jobs are %v", got)
		}
	})

	t.Run("ACancelReachesWhatRunsAndWhatWaits", func(t *testing.T) {
		t.Parallel()
		id := h.submitOne(t, spec.Run{Jobs: map[string]spec.Job{
			"runs": script("echo up; exec sleep 1000"), "waits": script("exit 0", "runs"),
		}})
		h.awaitLine(t, id, "up")
		result, err := h.Cancel(t.Context(), id)
		if err != nil || result.Final != 1 || result.Stopping != 1 {
			t.Errorf("cancelled %+v, %v", result, err)
		}
		detail := h.finish(t, id)
		if detail.Run.State != string(RunCancelled) || *detail.ExitCode != exitCancelled {
			t.Errorf("the run is %s with %d", detail.Run.State, *detail.ExitCode)
		}
		if _, err := h.Cancel(t.Context(), id); !errors.Is(err, ErrConflict) {
			t.Errorf("a second cancel: %v", err)
		}
		if _, err := h.Cancel(t.Context(), 1<<40); !errors.Is(err, ErrNotFound) {
			t.Errorf("a cancel of nothing: %v", err)
		}
	})

	t.Run("AnOutputValueIsKept", func(t *testing.T) {
		t.Parallel()
		detail := h.finish(t, h.submitOne(t, spec.Run{Jobs: map[string]spec.Job{"a": script(`printf 42 > "$HEROPROC_OUTPUT"`)}}))
		if got := string(detail.Jobs[0].Attempts[0].Output); got != "42" {
			t.Errorf("the value is %q", got)
		}
		if _, err := os.Stat(h.dsp.env.outputFile(detail.Jobs[0].Attempts[0].ID)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the file is still there: %v", err)
		}
	})

	t.Run("WhatIsNotThereIsNotFound", func(t *testing.T) {
		t.Parallel()
		if _, err := h.Run(t.Context(), 1<<40); !errors.Is(err, ErrNotFound) {
			t.Errorf("a run: %v", err)
		}
		if _, err := h.Job(t.Context(), 1<<40); !errors.Is(err, ErrNotFound) {
			t.Errorf("a job: %v", err)
		}
		if _, err := h.Wait(t.Context(), 1<<40); !errors.Is(err, ErrNotFound) {
			t.Errorf("a wait: %v", err)
		}
		for _, err := range h.Output(t.Context(), OutputQuery{Run: 1 << 40}) {
			if !errors.Is(err, ErrNotFound) {
				t.Errorf("an output: %v", err)
			}
		}
	})
}

// awaitLine follows a run until it has printed a line.
func (h *house) awaitLine(t *testing.T, run int64, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for line, err := range h.Output(ctx, OutputQuery{Run: run, Follow: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if string(line.Text) == want {
			return
		}
	}
	t.Fatalf("run %d never printed %q", run, want)
}

// However many wait, memory holds a window of them, and each runs once.
func TestALongQueueRunsOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 4, func(h *house) { h.window = 8 })
	marks := filepath.Join(h.home, "marks")
	var runs []spec.Run
	for range 100 {
		runs = append(runs, spec.Run{Jobs: map[string]spec.Job{
			"a": script("echo $HEROPROC_TOKEN >> " + marks), "b": script("echo $HEROPROC_TOKEN >> "+marks, "a"),
		}})
	}
	results, err := h.Submit(t.Context(), runs)
	if err != nil {
		t.Fatal(err)
	}
	for _, result := range results {
		if detail := h.finish(t, result.ID); detail.Run.State != string(RunSucceeded) {
			t.Errorf("run %d is %s", result.ID, detail.Run.State)
		}
	}
	text, err := os.ReadFile(marks)
	if err != nil {
		t.Fatal(err)
	}
	tokens := strings.Fields(string(text))
	if distinct := slices.Compact(slices.Sorted(slices.Values(tokens))); len(tokens) != 200 || len(distinct) != 200 {
		t.Errorf("%d starts of %d attempts, want 200 of 200", len(tokens), len(distinct))
	}
}

// While the disk takes nothing, what happens is kept by the executor: nothing is
// lost, nothing runs twice, and the histories are whole when there is room again.
func TestAFullDiskLosesNoEvent(t *testing.T) {
	t.Parallel()
	var faults dbtest.Faults
	h := newHouse(t, 4, func(h *house) { h.driver = &faults })
	marks := filepath.Join(h.home, "marks")
	retry := script("echo $HEROPROC_TOKEN >> " + marks + "; [ $HEROPROC_ATTEMPT = 2 ]")
	retry.Retry = &spec.Retry{Attempts: 2, Backoff: spec.Duration(time.Millisecond), MaxBackoff: spec.Duration(time.Millisecond)}
	var runs []spec.Run
	for range 40 {
		runs = append(runs, spec.Run{Jobs: map[string]spec.Job{"a": retry, "b": script("echo $HEROPROC_TOKEN >> "+marks, "a")}})
	}
	results, err := h.Submit(t.Context(), runs)
	if err != nil {
		t.Fatal(err)
	}
	full := sqlite3.Error{Code: sqlite3.ErrFull}
	for _, n := range []int{1, 20} {
		faults.FailNth(n, "ExecutorPositionSet", full) // sinks its whole batch
		faults.FailNth(5*n, "EventInsert", full)
		faults.FailNth(3*n, "JobSetStarting", full)
	}
	for _, result := range results {
		if detail := h.finish(t, result.ID); detail.Run.State != string(RunSucceeded) || len(detail.Jobs[0].Attempts) != 2 {
			t.Errorf("run %d is %s: %s", result.ID, detail.Run.State, detail.Run.ReasonText)
		}
	}
	text, err := os.ReadFile(marks)
	if err != nil {
		t.Fatal(err)
	}
	tokens := strings.Fields(string(text))
	if distinct := slices.Compact(slices.Sorted(slices.Values(tokens))); len(tokens) != 120 || len(distinct) != 120 {
		t.Errorf("%d starts of %d attempts, want 120 of 120", len(tokens), len(distinct))
	}
	h.checkHistories(t)
}

// checkHistories replays all events: each job's is a path through the state
// table, to where the job is.
func (h *house) checkHistories(t *testing.T) {
	t.Helper()
	at := map[int64]JobState{}
	for after := int64(0); ; {
		events, err := db.Get(t.Context(), h.db, func(ctx context.Context, q *db.Queries) ([]db.Event, error) {
			return q.EventListAfter(ctx, db.EventListAfterParams{After: after, MaxRows: 1000})
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			after = e.Number
			if e.Kind != eventJob {
				continue
			}
			var from JobState
			if e.FromState != nil {
				from = JobState(*e.FromState)
			}
			if at[*e.JobID] != from || !CanMove(from, JobState(e.ToState)) {
				t.Errorf("job %d was %q and went from %q to %q", *e.JobID, at[*e.JobID], from, e.ToState)
			}
			at[*e.JobID] = JobState(e.ToState)
		}
		if len(events) == 0 {
			break
		}
	}
	jobs, err := h.Jobs(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, job := range jobs {
		if at[job.ID] != JobState(job.State) {
			t.Errorf("job %d is %q, and its events end with %q", job.ID, job.State, at[job.ID])
		}
	}
}

// A daemon that follows another adopts what runs, keeps what waits, and carries
// out a cancellation that the other died over.
func TestAFollowerTakesOver(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 2)
	gate := filepath.Join(h.home, "gate")
	adopted := h.submitOne(t, spec.Run{Jobs: map[string]spec.Job{
		"a": script("echo up; until [ -e " + gate + " ]; do sleep 0.01; done; echo down; exit 3"),
	}})
	stubborn := h.submitOne(t, spec.Run{Jobs: map[string]spec.Job{"a": {Action: spec.Action{
		Script: "trap '' TERM; echo up; while :; do sleep 0.01; done", Stop: &spec.Stop{Signal: "TERM", Timeout: spec.Duration(300 * time.Millisecond)},
	}}}})
	waiting := h.submitOne(t, single(spec.Action{Command: []string{"true"}}))
	h.awaitLine(t, adopted, "up")
	h.awaitLine(t, stubborn, "up")
	before, err := h.Run(t.Context(), adopted)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Cancel(t.Context(), stubborn); err != nil {
		t.Fatal(err)
	}
	h.close(t, true)
	h.open(t, 2)

	if after, err := h.Run(t.Context(), adopted); err != nil || *after.Jobs[0].Attempts[0].PID != *before.Jobs[0].Attempts[0].PID {
		t.Errorf("the adopted attempt is another: %v", err)
	}
	if detail := h.finish(t, stubborn); detail.Run.State != string(RunCancelled) {
		t.Errorf("the cancelled run is %s: %s", detail.Run.State, detail.Run.ReasonText)
	}
	if detail := h.finish(t, waiting); detail.Run.State != string(RunSucceeded) {
		t.Errorf("the run that waited is %s", detail.Run.State)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if detail := h.finish(t, adopted); *detail.ExitCode != 3 || len(detail.Jobs[0].Attempts) != 1 {
		t.Errorf("the adopted run ended with %d after %d attempts", *detail.ExitCode, len(detail.Jobs[0].Attempts))
	}
	if got := h.printed(t, OutputQuery{Run: adopted}); got != "up\ndown\n" {
		t.Errorf("it printed %q", got)
	}
}

// An attempt whose process belongs to another boot is not believed to live.
func TestAnotherBootLeavesNothingAlive(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 2)
	lost := h.submitOne(t, single(spec.Action{Command: []string{"true"}}))
	again := h.submitOne(t, single(spec.Action{Command: []string{"true"}, OnLost: spec.OnLostRetry}))
	h.finish(t, lost)
	h.finish(t, again)
	// What a power cut leaves: rows that say "running" under a boot that is over,
	// and no trace in the executor's journal.
	h.close(t, false)
	file, err := sql.Open("sqlite3", filepath.Join(h.home, "heroproc.db"))
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range []string{
		"UPDATE jobs SET state = 'running', finished_at = NULL",
		"UPDATE runs SET state = 'running', finished_at = NULL",
		"UPDATE attempts SET boot_id = 'another', finished_at = NULL",
	} {
		if _, err := file.Exec(change); err != nil {
			t.Fatal(err)
		}
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	h.open(t, 2)
	if detail := h.finish(t, lost); detail.Run.State != string(RunFailed) || detail.Jobs[0].Job.ReasonCode != ReasonExitUnknown {
		t.Errorf("the lost run is %s: %s", detail.Run.State, detail.Run.ReasonText)
	}
	if detail := h.finish(t, again); detail.Run.State != string(RunSucceeded) || len(detail.Jobs[0].Attempts) != 2 {
		t.Errorf("the run that may be repeated is %s after %d attempts", detail.Run.State, len(detail.Jobs[0].Attempts))
	}
}
