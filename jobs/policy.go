package jobs

import (
	"slices"
	"syscall"
	"time"

	"github.com/heroproc/heroproc/jobs/executor"
	"github.com/heroproc/heroproc/jobs/spec"
)

// verdict is what follows from the end of an attempt.
type verdict struct {
	// State is where the job goes: final, or waiting for its next attempt.
	State JobState
	// Delay is the wait before the next attempt.
	Delay time.Duration
	// Counted says that the end counts against the retry policy.
	Counted bool
	// Reason says why.
	Reason Reason
}

// ending is what a verdict is given on.
type ending struct {
	Exit *executor.Exit
	// Failures counts the attempts that counted before this one.
	Failures int
	Retry    spec.Retry
	OnLost   string
	// CancelRequested: somebody wants the job to end for good.
	CancelRequested bool
	// RunOver: the run's own timeout is over, so that nothing starts again.
	RunOver bool
	// Rand spreads the back-off; in [0, 1).
	Rand float64
}

// decide is the policy after every end of an attempt. A success stands even if
// a cancellation was on its way: the process ended by itself first.
func decide(e ending) verdict {
	reason := exitReason(e.Exit)
	switch e.Exit.Cause {
	case executor.CauseStopped:
		switch {
		case e.Exit.StopReason == stopRunTimeout:
			return verdict{State: JobFailed, Reason: reason}
		case e.Exit.StopReason != stopShutdown || e.CancelRequested:
			return verdict{State: JobCancelled, Reason: reason}
		case e.OnLost == spec.OnLostRetry:
			return verdict{State: JobWaiting, Reason: reason}
		default:
			return verdict{State: JobFailed, Reason: reason}
		}
	case executor.CauseLost:
		if e.OnLost == spec.OnLostRetry && !e.CancelRequested && !e.RunOver {
			return verdict{State: JobWaiting, Reason: reason}
		}
		return verdict{State: JobFailed, Counted: true, Reason: reason}
	case executor.CauseExited:
		if e.Exit.Code == 0 && e.Exit.Signal == 0 {
			return verdict{State: JobSucceeded, Reason: reason}
		}
	case executor.CauseTimeout, executor.CauseCannotStart:
	}

	failures := e.Failures + 1
	if !worthAnother(e.Exit, e.Retry) || failures >= e.Retry.Attempts || e.RunOver {
		return verdict{State: JobFailed, Counted: true, Reason: reason}
	}
	if e.CancelRequested {
		return verdict{State: JobCancelled, Counted: true, Reason: reason}
	}
	return verdict{State: JobWaiting, Delay: backoff(e.Retry, failures, e.Rand), Counted: true, Reason: reason}
}

// worthAnother tells whether a failure is one the policy retries. A program
// that is not there or may not be executed will not be there a second later.
func worthAnother(exit *executor.Exit, retry spec.Retry) bool {
	if exit.Cause == executor.CauseCannotStart {
		switch exit.Errno {
		case syscall.EAGAIN, syscall.ENOMEM, syscall.ETXTBSY, syscall.ENFILE, syscall.EMFILE, syscall.ENOSPC, syscall.EIO:
			return true
		default:
			return false
		}
	}
	if len(retry.OnExitCodes) == 0 {
		return true
	}
	return exit.Cause == executor.CauseExited && exit.Signal == 0 && slices.Contains(retry.OnExitCodes, exit.Code)
}

// backoff is the wait after the given number of failures: the base doubles with
// each, up to the maximum, and is then spread by up to the jitter's part of it in
// both directions, so that jobs that failed together do not return together.
func backoff(retry spec.Retry, failures int, rand float64) time.Duration {
	wait, limit := time.Duration(retry.Backoff), time.Duration(retry.MaxBackoff)
	for range failures - 1 {
		if wait >= limit {
			break
		}
		wait *= 2
	}
	wait = min(wait, limit)
	spread := retry.Jitter * (2*rand - 1)
	return wait + time.Duration(spread*float64(wait))
}
