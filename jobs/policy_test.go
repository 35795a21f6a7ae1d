package jobs

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/heroproc/heroproc/jobs/executor"
	"github.com/heroproc/heroproc/jobs/spec"
	"pgregory.net/rapid"
)

func TestDecide(t *testing.T) {
	t.Parallel()
	three := spec.Retry{Attempts: 3, Backoff: spec.Duration(time.Second), MaxBackoff: spec.Duration(time.Minute)}
	only75 := three
	only75.OnExitCodes = []int{75}
	exited := func(code int) *executor.Exit { return &executor.Exit{Cause: executor.CauseExited, Code: code} }
	stopped := func(why string) *executor.Exit {
		return &executor.Exit{Cause: executor.CauseStopped, StopReason: why, Signal: syscall.SIGTERM}
	}
	cannot := func(errno syscall.Errno) *executor.Exit {
		return &executor.Exit{Cause: executor.CauseCannotStart, Errno: errno, Message: errno.Error()}
	}
	lost := &executor.Exit{Cause: executor.CauseLost}
	timeout := &executor.Exit{Cause: executor.CauseTimeout, Signal: syscall.SIGTERM}

	for name, c := range map[string]struct {
		ending ending
		state  JobState
		delay  time.Duration
		count  bool
		code   string
	}{
		"success":                        {ending{Exit: exited(0)}, JobSucceeded, 0, false, ReasonSucceeded},
		"success in spite of a cancel":   {ending{Exit: exited(0), CancelRequested: true}, JobSucceeded, 0, false, ReasonSucceeded},
		"failure without a policy":       {ending{Exit: exited(3), Retry: spec.Retry{Attempts: 1}}, JobFailed, 0, true, ReasonExitCode},
		"first failure of three":         {ending{Exit: exited(3), Retry: three, Rand: .5}, JobWaiting, time.Second, true, ReasonExitCode},
		"second failure of three":        {ending{Exit: exited(3), Retry: three, Failures: 1, Rand: .5}, JobWaiting, 2 * time.Second, true, ReasonExitCode},
		"third failure of three":         {ending{Exit: exited(3), Retry: three, Failures: 2}, JobFailed, 0, true, ReasonExitCode},
		"a code that is retried":         {ending{Exit: exited(75), Retry: only75, Rand: .5}, JobWaiting, time.Second, true, ReasonExitCode},
		"a code that is not retried":     {ending{Exit: exited(3), Retry: only75}, JobFailed, 0, true, ReasonExitCode},
		"a signal where codes are named": {ending{Exit: &executor.Exit{Cause: executor.CauseExited, Signal: syscall.SIGSEGV}, Retry: only75}, JobFailed, 0, true, ReasonSignal},
		"failure after a cancel":         {ending{Exit: exited(3), Retry: three, CancelRequested: true}, JobCancelled, 0, true, ReasonExitCode},
		"last failure after a cancel":    {ending{Exit: exited(3), Retry: three, Failures: 2, CancelRequested: true}, JobFailed, 0, true, ReasonExitCode},
		"cancelled":                      {ending{Exit: stopped(stopCancel), Retry: three}, JobCancelled, 0, false, ReasonCancelled},
		"superseded":                     {ending{Exit: stopped(stopSuperseded), Retry: three}, JobCancelled, 0, false, ReasonCancelled},
		"shutdown":                       {ending{Exit: stopped(stopShutdown), Retry: three}, JobFailed, 0, false, ReasonShutdown},
		"shutdown, on_lost retry":        {ending{Exit: stopped(stopShutdown), OnLost: spec.OnLostRetry}, JobWaiting, 0, false, ReasonShutdown},
		"shutdown after a cancel":        {ending{Exit: stopped(stopShutdown), OnLost: spec.OnLostRetry, CancelRequested: true}, JobCancelled, 0, false, ReasonShutdown},
		"timeout":                        {ending{Exit: timeout, Retry: spec.Retry{Attempts: 1}}, JobFailed, 0, true, ReasonTimeout},
		"timeout with a policy":          {ending{Exit: timeout, Retry: three, Rand: .5}, JobWaiting, time.Second, true, ReasonTimeout},
		"timeout of the run":             {ending{Exit: timeout, Retry: three, RunOver: true}, JobFailed, 0, true, ReasonTimeout},
		"stopped by the run's timeout":   {ending{Exit: stopped(stopRunTimeout), Retry: three}, JobFailed, 0, false, ReasonTimeout},
		"not found":                      {ending{Exit: cannot(syscall.ENOENT), Retry: three}, JobFailed, 0, true, ReasonNotFound},
		"not executable":                 {ending{Exit: cannot(syscall.EACCES), Retry: three}, JobFailed, 0, true, ReasonNotExecutable},
		"no memory to start":             {ending{Exit: cannot(syscall.ENOMEM), Retry: three, Rand: .5}, JobWaiting, time.Second, true, ReasonCannotStart},
		"lost":                           {ending{Exit: lost, Retry: three}, JobFailed, 0, true, ReasonExitUnknown},
		"lost, on_lost retry":            {ending{Exit: lost, OnLost: spec.OnLostRetry}, JobWaiting, 0, false, ReasonExitUnknown},
		"lost after a cancel":            {ending{Exit: lost, OnLost: spec.OnLostRetry, CancelRequested: true}, JobFailed, 0, true, ReasonExitUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := decide(c.ending)
			if got.State != c.state || got.Delay != c.delay || got.Counted != c.count || got.Reason.Code != c.code {
				t.Errorf("got %+v, want %s after %s, counted %v, %s", got, c.state, c.delay, c.count, c.code)
			}
			if got.Reason.Text == "" {
				t.Error("the reason has no sentence")
			}
		})
	}
}

func TestSurvivorsAreNamed(t *testing.T) {
	t.Parallel()
	exit := &executor.Exit{
		Cause: executor.CauseStopped, StopReason: stopCancel,
		Survivors: []executor.Survivor{{PID: 42, Command: "nfsd", State: "D"}},
	}
	if text := decide(ending{Exit: exit}).Reason.Text; !strings.Contains(text, "pid 42 (nfsd, state D)") {
		t.Errorf("%q does not name who is left", text)
	}
}

func TestBackoffStaysWithinItsBounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		retry := spec.Retry{
			Backoff:    spec.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "backoff")),
			MaxBackoff: spec.Duration(rapid.Int64Range(int64(time.Hour), int64(100*time.Hour)).Draw(t, "max")),
			Jitter:     rapid.Float64Range(0, 1).Draw(t, "jitter"),
		}
		failures := rapid.IntRange(1, 1000).Draw(t, "failures")
		wait := backoff(retry, failures, rapid.Float64Range(0, 0.999999).Draw(t, "rand"))
		most := time.Duration(float64(retry.MaxBackoff) * (1 + retry.Jitter))
		if wait < 0 || wait > most+1 {
			t.Fatalf("the wait after %d failures is %s, beyond 0..%s", failures, wait, most)
		}
	})
}
