package spec

import (
	"maps"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Argv is the program and its arguments that carry the action out: the command,
// or the interpreter with the script as its last argument.
func (a *Action) Argv() []string {
	if len(a.Command) > 0 {
		return a.Command
	}
	interpreter := a.Interpreter
	if len(interpreter) == 0 {
		interpreter = Interpreter{"sh", "-c"}
	}
	argv := make([]string, 0, len(interpreter)+1)
	return append(append(argv, interpreter...), a.Script)
}

// RetryPolicy is what happens after a failure: a single attempt where the action
// says nothing.
func (a *Action) RetryPolicy() Retry {
	if a.Retry == nil {
		return *NewRetry(1)
	}
	return *a.Retry
}

// LostPolicy is what happens when the exit status is truly lost: OnLostFail
// where the action says nothing.
func (a *Action) LostPolicy() string {
	if a.OnLost == "" {
		return OnLostFail
	}
	return a.OnLost
}

// StopSequence is how the action is ended: the signal that is sent first, and
// how long it may take to obey.
func (a *Action) StopSequence() (syscall.Signal, time.Duration) {
	stop := a.Stop
	if stop == nil {
		stop = NewStop()
	}
	signal, _ := SignalNumber(stop.Signal)
	return signal, time.Duration(stop.Timeout)
}

// SignalNumber is the signal that has the name, with or without SIG before it
// and in any case; it is not ok where none has.
func SignalNumber(name string) (signal syscall.Signal, ok bool) {
	signal = unix.SignalNum("SIG" + strings.TrimPrefix(strings.ToUpper(name), "SIG"))
	return signal, signal != 0
}

// Effective is the action of the named job with what the run gives to every job:
// the run's environment below the job's, and the run's directory where the job
// has none.
func (r *Run) Effective(name string) Action {
	action := r.Jobs[name].Action
	switch {
	case len(action.Env) == 0:
		action.Env = r.Env
	case len(r.Env) > 0:
		env := maps.Clone(r.Env)
		maps.Copy(env, action.Env)
		action.Env = env
	}
	if action.Dir == "" {
		action.Dir = r.Dir
	}
	if action.Dir == "" {
		action.Dir = DefaultDir
	}
	return action
}
