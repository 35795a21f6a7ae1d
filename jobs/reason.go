package jobs

import (
	"fmt"
	"syscall"

	"github.com/heroproc/heroproc/jobs/executor"
	"golang.org/x/sys/unix"
)

// Reason says why the last decision was taken: a code for programs and a
// sentence for people. It is stored with every transition.
type Reason struct {
	Code string
	Text string
}

// The codes of reasons.
const (
	ReasonSubmitted     = "submitted"
	ReasonDependency    = "dependency"
	ReasonBackoff       = "backoff"
	ReasonAdmitted      = "admitted"
	ReasonStarted       = "started"
	ReasonSucceeded     = "succeeded"
	ReasonExitCode      = "exit_code"
	ReasonSignal        = "signal"
	ReasonTimeout       = "timeout"
	ReasonNotFound      = "not_found"
	ReasonNotExecutable = "not_executable"
	ReasonCannotStart   = "cannot_start"
	ReasonExitUnknown   = "exit_unknown"
	ReasonShutdown      = "shutdown"
	ReasonCancelled     = "cancelled"
	ReasonNeedFailed    = "need_failed"
	ReasonStuck         = "stuck"
)

// The words that a stop carries to the executor and back with the exit.
const (
	stopCancel     = "cancel"
	stopShutdown   = "shutdown"
	stopRunTimeout = "run_timeout"
	// stopSuperseded ends a process that the database does not want: its job was
	// ended by somebody else, or does not exist any more.
	stopSuperseded = "superseded"
)

// Exit codes that stand for something else than a process's own, as shells and
// timeout(1) have them.
const (
	exitTimeout       = 124
	exitNotExecutable = 126
	exitNotFound      = 127
	exitSignalBase    = 128
	exitCancelled     = 130
)

// exitReason says in words how an attempt ended.
func exitReason(exit *executor.Exit) Reason {
	switch exit.Cause {
	case executor.CauseTimeout:
		return Reason{ReasonTimeout, "the timeout was over" + survivorsText(exit.Survivors)}
	case executor.CauseStopped:
		return stoppedReason(exit)
	case executor.CauseCannotStart:
		return cannotStartReason(exit)
	case executor.CauseLost:
		return Reason{ReasonExitUnknown, "exit unknown: the process is gone and nobody saw its end"}
	case executor.CauseExited:
	}
	switch {
	case exit.Signal != 0:
		text := fmt.Sprintf("ended by signal %d (%s)", int(exit.Signal), unix.SignalName(exit.Signal))
		if exit.CoreDumped {
			text += ", core dumped"
		}
		return Reason{ReasonSignal, text + survivorsText(exit.Survivors)}
	case exit.Code != 0:
		return Reason{ReasonExitCode, fmt.Sprintf("exit code %d", exit.Code) + survivorsText(exit.Survivors)}
	default:
		return Reason{ReasonSucceeded, "exit code 0" + survivorsText(exit.Survivors)}
	}
}

func stoppedReason(exit *executor.Exit) Reason {
	left := survivorsText(exit.Survivors)
	switch exit.StopReason {
	case stopCancel:
		return Reason{ReasonCancelled, "cancelled on request" + left}
	case stopShutdown:
		return Reason{ReasonShutdown, "stopped because heroproc was shut down" + left}
	case stopRunTimeout:
		return Reason{ReasonTimeout, "the run's timeout was over" + left}
	default:
		return Reason{ReasonCancelled, "stopped: " + exit.StopReason + left}
	}
}

func cannotStartReason(exit *executor.Exit) Reason {
	code := ReasonCannotStart
	switch exit.Errno {
	case syscall.ENOENT:
		code = ReasonNotFound
	case syscall.EACCES, syscall.ENOEXEC, syscall.EISDIR:
		code = ReasonNotExecutable
	}
	return Reason{code, exit.Message}
}

// survivorsText names who could not be ended, so that "cancelled" never hides a
// process.
func survivorsText(survivors []executor.Survivor) string {
	text := ""
	for i, s := range survivors {
		if i == 0 {
			text = "; still alive:"
		}
		text += fmt.Sprintf(" pid %d (%s, state %s)", s.PID, s.Command, s.State)
	}
	return text
}
