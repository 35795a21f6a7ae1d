package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/heroproc/heroproc/db"
	"github.com/heroproc/heroproc/jobs"
	"github.com/heroproc/heroproc/jobs/document"
	"github.com/heroproc/heroproc/jobs/logs"
	"github.com/heroproc/heroproc/jobs/spec"
	"github.com/heroproc/heroproc/supervisor/api/rpc"
)

var hello = spec.Run{Name: "hello", Jobs: map[string]spec.Job{"main": {Action: spec.Action{Command: []string{"echo", "hello"}}}}}

func TestSubmit(t *testing.T) {
	t.Parallel()

	t.Run("hands the run down as it was written and answers its id", func(t *testing.T) {
		t.Parallel()
		var got []spec.Run
		b := setup(t, &fakeRuns{submit: func(_ context.Context, runs []spec.Run) ([]jobs.Submitted, error) {
			got = runs
			return []jobs.Submitted{{ID: 12, UID: "u", State: jobs.RunRunning, Existing: true}}, nil
		}})
		result, err := b.client.Submit(t.Context(), hello)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(rpc.SubmitResult{ID: 12, UID: "u", State: "running", Existing: true}, result); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]spec.Run{hello}, got); diff != "" {
			t.Error(diff)
		}
	})

	t.Run("several keep their order", func(t *testing.T) {
		t.Parallel()
		b := setup(t, &fakeRuns{submit: func(_ context.Context, runs []spec.Run) ([]jobs.Submitted, error) {
			var all []jobs.Submitted
			for i, run := range runs {
				all = append(all, jobs.Submitted{ID: int64(i + 1), UID: run.Name, State: jobs.RunRunning})
			}
			return all, nil
		}})
		other := hello
		other.Name = "other"
		result, err := b.client.SubmitMany(t.Context(), []spec.Run{other, hello})
		want := []rpc.SubmitResult{{ID: 1, UID: "other", State: "running"}, {ID: 2, UID: "hello", State: "running"}}
		if diff := cmp.Diff(want, result); diff != "" || err != nil {
			t.Error(diff, err)
		}
	})

	t.Run("tells every problem of the shape with its path", func(t *testing.T) {
		t.Parallel()
		b := setup(t, &fakeRuns{})
		refusal := b.refusal(t, "run.submit", `{"jobs":{"a":{"command":"echo hi","timeout":5,"comand":[]}},"nome":"x"}`)
		if refusal.Code != rpc.CodeInvalidParams || refusal.Data == nil {
			t.Fatalf("got %v", refusal)
		}
		var paths []string
		for _, problem := range refusal.Data.Problems {
			paths = append(paths, problem.Path)
		}
		slices.Sort(paths)
		if diff := cmp.Diff([]string{"jobs.a.comand", "jobs.a.command", "jobs.a.timeout", "nome"}, paths); diff != "" {
			t.Error(diff)
		}
	})

	t.Run("tells the problems of the content together with those of the shape", func(t *testing.T) {
		t.Parallel()
		b := setup(t, &fakeRuns{})
		refusal := b.refusal(t, "run.submit", `{"jobs":{"a":{"command":["x"],"needs":["b"],"timeout":5}}}`)
		if refusal.Data == nil || len(refusal.Data.Problems) != 2 || refusal.Code != rpc.CodeInvalidParams {
			t.Errorf("got %v %+v", refusal, refusal.Data)
		}
	})

	t.Run("tells the problems of the content as such", func(t *testing.T) {
		t.Parallel()
		cycle := document.Problems{{Path: "jobs.a.needs", Text: "a cycle: a → b → a"}, {Path: "jobs.c", Text: "no command"}}
		b := setup(t, &fakeRuns{submit: func(context.Context, []spec.Run) ([]jobs.Submitted, error) {
			return nil, fmt.Errorf("cannot submit: %w", cycle)
		}})
		want := &rpc.Error{Code: rpc.CodeInvalid, Message: "jobs.a.needs: a cycle: a → b → a (and 1 more)", Data: &rpc.ErrorData{
			Problems: []rpc.Problem{{Path: "jobs.a.needs", Text: "a cycle: a → b → a"}, {Path: "jobs.c", Text: "no command"}},
		}}
		_, err := b.client.Submit(t.Context(), hello)
		if diff := cmp.Diff(error(want), err); diff != "" {
			t.Error(diff)
		}
		_, err = b.client.SubmitMany(t.Context(), []spec.Run{hello})
		var refusal *rpc.Error
		if !errors.As(err, &refusal) || refusal.Data.Problems[1].Path != "runs[0].jobs.c" {
			t.Errorf("got %v", err)
		}
	})

	t.Run("takes neither none nor too many", func(t *testing.T) {
		t.Parallel()
		b := setup(t, &fakeRuns{})
		many := `{"runs":[` + strings.Repeat(`{"jobs":{}},`, rpc.MaxSubmit) + `{"jobs":{}}]}`
		for params, want := range map[string]string{
			`{}`:          "runs: expected 1 to 1000 runs, got 0",
			`{"runs":[]}`: "runs: expected 1 to 1000 runs, got 0",
			many:          "runs: expected 1 to 1000 runs, got 1001",
		} {
			if refusal := b.refusal(t, "run.submit_many", params); refusal.Message != want || refusal.Code != rpc.CodeInvalidParams {
				t.Errorf("got %v, want %s", refusal, want)
			}
		}
	})
}

func TestParametersAreStrict(t *testing.T) {
	t.Parallel()
	b := setup(t, &fakeRuns{})
	tests := []struct{ method, params, want string }{
		{"run.show", `{}`, "id: expected an id, a number from 1 on, got 0"},
		{"run.show", `{"id":-3}`, "id: expected an id, a number from 1 on, got -3"},
		{"run.cancel", `{"id":0}`, "id: expected an id, a number from 1 on, got 0"},
		{"job.show", `{}`, "id: expected an id, a number from 1 on, got 0"},
		{"run.list", `{"limit":1001}`, "limit: expected a number from 1 to 1000, got 1001"},
		{"run.list", `{"limit":-1,"before":-1}`, "limit: expected a number from 1 to 1000, got -1 (and 1 more)"},
		{"job.list", `{"limit":1001}`, "limit: expected a number from 1 to 1000, got 1001"},
		{"run.wait", `{"id":1,"timeout_ms":3600001}`, "timeout_ms: expected a number from 0 to 3600000, got 3600001"},
		{"run.wait", `{"id":1,"timeout_ms":-1}`, "timeout_ms: expected a number from 0 to 3600000, got -1"},
		{"job.logs", `{"id":1,"limit":10001}`, "limit: expected a number from 1 to 10000, got 10001"},
		{"job.logs", `{"id":1,"tail":10001}`, "tail: expected a number from 0 to 10000, got 10001"},
		{"job.logs", `{"id":1,"attempt":-1}`, "attempt: expected a number from 0 to 9223372036854775807, got -1"},
	}
	for _, test := range tests {
		t.Run(test.method+test.params, func(t *testing.T) {
			t.Parallel()
			refusal := b.refusal(t, test.method, test.params)
			if refusal.Code != rpc.CodeInvalidParams || refusal.Message != test.want || refusal.Data == nil {
				t.Errorf("got %v, want %s", refusal, test.want)
			}
		})
	}
	for _, method := range Methods() {
		t.Run(method.Name+" knows its keys", func(t *testing.T) {
			t.Parallel()
			refusal := b.refusal(t, method.Name, `{"no_such_key":1}`)
			if refusal.Code != rpc.CodeInvalidParams || refusal.Data == nil || refusal.Data.Problems[0].Path != "no_such_key" {
				t.Errorf("got %v", refusal)
			}
		})
	}
}

// TestErrorsBecomeCodes holds the one translation.
func TestErrorsBecomeCodes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		err  error
		want rpc.Error
	}{
		{fmt.Errorf("run 5: %w", jobs.ErrNotFound), rpc.Error{Code: -32000, Message: "run 5: not found"}},
		{fmt.Errorf("key: %w", jobs.ErrConflict), rpc.Error{Code: -32001, Message: "key: " + jobs.ErrConflict.Error()}},
		{db.ErrBusy, rpc.Error{Code: -32002, Message: db.ErrBusy.Error(), Data: &rpc.ErrorData{RetryAfterMs: 100}}},
		{
			context.DeadlineExceeded,
			rpc.Error{
				Code: -32002, Message: "the call was not done within 30s; it may still take effect, so look before repeating it",
				Data: &rpc.ErrorData{RetryAfterMs: 100},
			},
		},
		{jobs.ErrStopping, rpc.Error{Code: -32006, Message: "the daemon is shutting down"}},
		{db.ErrClosed, rpc.Error{Code: -32006, Message: "the daemon is shutting down"}},
		{errors.New("a secret"), rpc.Error{Code: -32603, Message: "an internal error; the daemon's log has the details"}},
	}
	for _, test := range tests {
		t.Run(test.err.Error(), func(t *testing.T) {
			t.Parallel()
			b := setup(t, &fakeRuns{cancel: func(context.Context, int64) (jobs.Cancelled, error) {
				return jobs.Cancelled{}, test.err
			}})
			_, err := b.client.Cancel(t.Context(), 5)
			if diff := cmp.Diff(error(&test.want), err); diff != "" {
				t.Error(diff)
			}
			if internal := test.want.Code == rpc.CodeInternal; internal != strings.Contains(b.log.String(), "a secret") {
				t.Errorf("the log has %q", b.log)
			}
		})
	}
}

func TestListsArePaged(t *testing.T) {
	t.Parallel()
	// The last page is full: nothing but a further row tells that it is the last.
	rows := make([]db.Run, 3*rpc.DefaultList)
	for i := range rows {
		rows[i] = db.Run{ID: int64(len(rows) - i), Tags: `[]`, State: "running"}
	}
	b := setup(t, &fakeRuns{list: func(_ context.Context, before int64, limit int) ([]db.Run, error) {
		from := slices.IndexFunc(rows, func(r db.Run) bool { return before == 0 || r.ID < before })
		if from < 0 {
			return nil, nil
		}
		return rows[from:min(from+limit, len(rows))], nil
	}})
	var ids []int64
	pages, page := 0, rpc.ListParams{}
	for {
		list, err := b.client.Runs(t.Context(), page)
		if err != nil {
			t.Fatal(err)
		}
		pages++
		for _, run := range list.Runs {
			ids = append(ids, run.ID)
		}
		if page.Before = list.Next; page.Before == 0 {
			break
		}
	}
	if pages != 3 || len(ids) != len(rows) || ids[0] != rows[0].ID || ids[len(ids)-1] != 1 {
		t.Errorf("%d pages with %v", pages, ids)
	}
	if got, want := string(b.call(t, "run.list", `{"before":1}`).Result), `{"runs":[]}`; got != want {
		t.Errorf("an empty page is %s, want %s", got, want)
	}
}

func TestRunShowHasEverything(t *testing.T) {
	t.Parallel()
	detail := jobs.RunDetail{
		Run: db.Run{
			ID: 3, UID: "u", Name: "n", Context: "core", Tags: `["x"]`, Key: new("k"), State: "failed", ReasonCode: "exit_code",
			ReasonText: "exit code 7", TimeoutMs: new(int64(60_000)), CreatedAt: 1_700_000_000_123, StartedAt: new(int64(1_700_000_000_200)),
		},
		ExitCode: new(7),
		Jobs: []jobs.JobDetail{{
			Job:      db.Job{ID: 4, RunID: 3, Name: "main", State: "failed", Attempt: 1, Failures: 1, Action: `{"command":["false"]}`, ExitCode: new(int64(7))},
			Needs:    []string{"a"},
			Attempts: []db.Attempt{{ID: 5, Number: 1, PID: new(int64(99)), StderrTail: []byte("bad \xff"), ExitCode: new(int64(7))}},
		}},
	}
	b := setup(t, &fakeRuns{run: func(context.Context, int64) (jobs.RunDetail, error) { return detail, nil }})
	const want = `{"id":3,"uid":"u","name":"n","context":"core","tags":["x"],"key":"k","state":"failed",` +
		`"reason":{"code":"exit_code","text":"exit code 7"},"timeout_ms":60000,"created_at":"2023-11-14T22:13:20.123Z",` +
		`"started_at":"2023-11-14T22:13:20.200Z","exit_code":7,"jobs":[{"id":4,"run_id":3,"name":"main","state":"failed",` +
		`"reason":{"code":"","text":""},"attempt":1,"failures":1,"created_at":"1970-01-01T00:00:00.000Z","exit_code":7,` +
		`"action":{"command":["false"]},"needs":["a"],"attempts":[{"id":5,"number":1,"reason":{"code":"","text":""},"pid":99,` +
		`"created_at":"1970-01-01T00:00:00.000Z","exit_code":7,"stderr_tail":"bad ` + "\ufffd" + `"}]}]}`
	got := b.call(t, "run.show", `{"id":3}`).Result
	if diff := cmp.Diff(want, strings.ReplaceAll(string(got), `\ufffd`, "\ufffd")); diff != "" {
		t.Error(diff)
	}
	run, err := b.client.Run(t.Context(), 3)
	if err != nil || *run.ExitCode != 7 || run.Jobs[0].Attempts[0].PID != 99 || !run.CreatedAt.Equal(time.UnixMilli(1_700_000_000_123)) {
		t.Errorf("the client reads %+v: %v", run, err)
	}
}

func TestDamagedRowsAreInternalErrors(t *testing.T) {
	t.Parallel()
	b := setup(t, &fakeRuns{
		jobs: []db.Job{{ID: 8, Action: `{`}},
		list: func(context.Context, int64, int) ([]db.Run, error) { return []db.Run{{ID: 9, Tags: `x`}}, nil },
	})
	for method, params := range map[string]string{"job.list": `{}`, "job.show": `{"id":8}`, "run.list": `{}`} {
		if refusal := b.refusal(t, method, params); refusal.Code != rpc.CodeInternal {
			t.Errorf("%s: %v", method, refusal)
		}
	}
	for _, place := range []string{"the action of job 8", "the tags of run 9"} {
		if !strings.Contains(b.log.String(), place) {
			t.Errorf("the log does not name %s: %s", place, b.log)
		}
	}
}

func TestJobs(t *testing.T) {
	t.Parallel()
	b := setup(t, &fakeRuns{jobs: []db.Job{{ID: 8, RunID: 3, Name: "main", Action: `{}`}, {ID: 7, RunID: 3, Name: "fetch", Action: `{}`}}})
	list, err := b.client.Jobs(t.Context(), rpc.ListParams{Limit: 1})
	if err != nil || len(list.Jobs) != 1 || list.Jobs[0].ID != 8 || list.Next != 8 {
		t.Errorf("job.list: %+v, %v", list, err)
	}
	list, err = b.client.Jobs(t.Context(), rpc.ListParams{Limit: 2})
	if err != nil || len(list.Jobs) != 2 || list.Next != 0 {
		t.Errorf("job.list of all there are: %+v, %v", list, err)
	}
	job, err := b.client.Job(t.Context(), 8)
	if err != nil || job.RunID != 3 || len(job.Needs) != 1 {
		t.Errorf("job.show: %+v, %v", job, err)
	}
	_, err = b.client.Job(t.Context(), 9)
	var refusal *rpc.Error
	if !errors.As(err, &refusal) || refusal.Code != rpc.CodeNotFound {
		t.Errorf("job.show of one that is not there: %v", err)
	}
}

func TestJobLogsPages(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	b := setup(t, &fakeRuns{log: func(_ context.Context, job, attempt int64, tail, limit int, after string) ([]logs.Line, string, error) {
		if got := fmt.Sprintf("%d %d %d %d %s", job, attempt, tail, limit, after); got != "8 2 0 1000 here" {
			t.Errorf("asked for %s", got)
		}
		return []logs.Line{{At: at, Stream: logs.Stderr, Partial: true, Text: []byte("a<\xffb")}}, "there", nil
	}})
	result, err := b.client.Logs(t.Context(), rpc.LogsParams{ID: 8, Attempt: 2, After: "here"})
	want := rpc.LogsResult{Lines: []rpc.LogLine{{At: at, Stream: "stderr", Partial: true, Text: "a<\ufffdb"}}, Next: "there"}
	if diff := cmp.Diff(want, result); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func TestWait(t *testing.T) {
	t.Parallel()
	// untilCtxEnds is how a Runner waits for a run that does not end.
	untilCtxEnds := func(began, ended chan<- struct{}) *fakeRuns {
		return &fakeRuns{wait: func(ctx context.Context, id int64) (jobs.Outcome, error) {
			began <- struct{}{}
			<-ctx.Done()
			ended <- struct{}{}
			return jobs.Outcome{ID: id, State: jobs.RunRunning, Reason: jobs.Reason{Code: "started"}}, nil
		}}
	}

	t.Run("answers the outcome of a run that is final", func(t *testing.T) {
		t.Parallel()
		b := setup(t, &fakeRuns{wait: func(_ context.Context, id int64) (jobs.Outcome, error) {
			return jobs.Outcome{ID: id, State: jobs.RunFailed, ExitCode: new(3), Reason: jobs.Reason{Code: "exit_code", Text: "exit code 3"}}, nil
		}})
		want := rpc.WaitResult{ID: 5, State: "failed", ExitCode: new(3), Reason: rpc.Reason{Code: "exit_code", Text: "exit code 3"}}
		result, err := b.client.Wait(t.Context(), 5)
		if diff := cmp.Diff(want, result); diff != "" || err != nil {
			t.Error(diff, err)
		}
	})

	t.Run("answers how the run stands when the timeout is over", func(t *testing.T) {
		t.Parallel()
		b := setup(t, untilCtxEnds(make(chan struct{}, 1), make(chan struct{}, 1)))
		want := `{"id":5,"state":"running","reason":{"code":"started","text":""}}`
		if got := string(b.call(t, "run.wait", `{"id":5,"timeout_ms":1}`).Result); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})

	t.Run("ends when the client goes away", func(t *testing.T) {
		t.Parallel()
		began, ended := make(chan struct{}, 1), make(chan struct{}, 1)
		b := setup(t, untilCtxEnds(began, ended))
		ctx, leave := context.WithCancel(t.Context())
		gone := make(chan error, 1)
		go func() {
			_, err := b.client.Wait(ctx, 5)
			gone <- err
		}()
		<-began
		leave()
		<-ended
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Errorf("the client got %v", err)
		}
	})

	t.Run("is told when the server ends", func(t *testing.T) {
		t.Parallel()
		began := make(chan struct{}, 1)
		b := setup(t, untilCtxEnds(began, make(chan struct{}, 1)))
		answer := make(chan error, 1)
		go func() {
			_, err := b.client.Wait(t.Context(), 5)
			answer <- err
		}()
		<-began
		b.end(t)
		var refusal *rpc.Error
		if err := <-answer; !errors.As(err, &refusal) || refusal.Code != rpc.CodeShuttingDown {
			t.Errorf("got %v", err)
		}
	})

	t.Run("is bounded, and other calls have room", func(t *testing.T) {
		t.Parallel()
		began := make(chan struct{}, 2)
		b := setup(t, untilCtxEnds(began, make(chan struct{}, 2)), limited(Limits{Waits: 2, Connections: 4}))
		waiters := make(chan error, 2)
		for range 2 {
			go func() {
				_, err := b.client.Wait(t.Context(), 5)
				waiters <- err
			}()
			<-began
		}
		refusal := b.refusal(t, "run.wait", `{"id":5}`)
		if refusal.Code != rpc.CodeBusy || refusal.Data == nil || refusal.Data.RetryAfterMs != 100 {
			t.Errorf("the third got %v", refusal)
		}
		stats, err := b.client.Stats(t.Context())
		if err != nil || stats.API.Waits != 2 || stats.API.MaxWaits != 2 {
			t.Errorf("got %+v, %v", stats.API, err)
		}
		b.end(t)
		<-waiters
		<-waiters
	})

	t.Run("outlives the time in which a request must be sent", func(t *testing.T) {
		t.Parallel()
		b := setup(t, untilCtxEnds(make(chan struct{}, 1), make(chan struct{}, 1)),
			limited(Limits{BodyTimeout: 20 * time.Millisecond, WriteTimeout: 20 * time.Millisecond, CallTimeout: 20 * time.Millisecond}))
		response := b.call(t, "run.wait", `{"id":5,"timeout_ms":200}`)
		var result rpc.WaitResult
		if err := json.Unmarshal(response.Result, &result); err != nil || result.State != "running" {
			t.Errorf("got %s %v", response.Result, response.Error)
		}
	})
}

func TestACallThatTakesTooLongIsBusy(t *testing.T) {
	t.Parallel()
	b := setup(t, &fakeRuns{run: func(ctx context.Context, _ int64) (jobs.RunDetail, error) {
		<-ctx.Done()
		return jobs.RunDetail{}, fmt.Errorf("cannot read run 1: %w", ctx.Err())
	}}, limited(Limits{CallTimeout: time.Millisecond}))
	if refusal := b.refusal(t, "run.show", `{"id":1}`); refusal.Code != rpc.CodeBusy || !strings.Contains(refusal.Message, "within 1ms") {
		t.Errorf("got %v", refusal)
	}
}
