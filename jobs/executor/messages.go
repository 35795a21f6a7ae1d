package executor

import (
	"syscall"
	"time"

	"github.com/heroproc/heroproc/jobs/logs"
)

// Order asks the executor to start one attempt. It carries everything a start
// needs, because the executor knows no configuration: an order whose token the
// executor knows already is answered by nothing, it is never started twice.
type Order struct {
	// Attempt is the attempt's id; it tags its output and its events.
	Attempt int64
	// Token is the attempt's random token, also in its environment.
	Token string
	// Command is the program and its arguments; a name without a slash is looked
	// up in the PATH of Env.
	Command []string
	// Env is the whole environment, KEY=VALUE; nothing is added to it.
	Env []string
	// Dir is the absolute working directory.
	Dir string
	// Timeout ends the attempt, counted from its start; 0 means none.
	Timeout time.Duration
	// Stop is how the attempt is ended when its timeout is over.
	Stop StopSequence
	// Drain limits how long output is still read after the main process ended,
	// while a process that outlived it holds the pipe.
	Drain time.Duration
	// LogBudget limits the bytes of output kept; 0 means no limit.
	LogBudget int64
	// OutputFile is read when the attempt ends, kept with its exit and deleted;
	// empty means none.
	OutputFile string
}

// StopSequence is how an attempt is ended: the signal to its process group,
// then after Grace SIGKILL to everything that is left of it.
type StopSequence struct {
	Signal syscall.Signal
	Grace  time.Duration
}

// Cause says who ended an attempt. It is part of the protocol and the journal:
// numbers are never reused.
type Cause uint8

const (
	// CauseExited: the main process ended by itself.
	CauseExited Cause = 1
	// CauseTimeout: the order's timeout was over and the process was ended.
	CauseTimeout Cause = 2
	// CauseStopped: a Stop ended it; Exit.StopReason has the word that came with
	// the stop.
	CauseStopped Cause = 3
	// CauseCannotStart: there never was a process; Exit.Errno and Exit.Message
	// say why.
	CauseCannotStart Cause = 4
	// CauseLost: the process is gone and nobody could learn its exit status.
	CauseLost Cause = 5
)

// Stop asks the executor to end one attempt. Reason travels to the exit event:
// if the process ends by itself before the first signal is sent, the exit says
// CauseExited and the stop has lost the race.
type Stop struct {
	Attempt int64
	Token   string
	Reason  string
	Stop    StopSequence
}

// EventKind says what happened. It is part of the protocol and the journal:
// numbers are never reused.
type EventKind uint8

const (
	// EventIntent: the order was accepted; nothing has been started yet. Only the
	// journal knows it, it is not sent to the daemon.
	EventIntent EventKind = 1
	// EventStarted: the process exists.
	EventStarted EventKind = 2
	// EventExited: the attempt is over: the main process and whatever was left of
	// it are gone (or named in Exit.Survivors), and its output has been written.
	EventExited EventKind = 3
	// EventStuck: the stop sequence is over and somebody survives it; the
	// executor keeps waiting for the exit. Survivors names them.
	EventStuck EventKind = 4
)

// Event is one journalled fact. (Epoch, Number) names it for ever: each loop of
// each executor opens an epoch of its own, numbers in it are contiguous from 1.
type Event struct {
	Epoch   uint64
	Number  uint64
	Kind    EventKind
	Attempt int64
	Token   string
	At      time.Time

	// Started is set for EventStarted, and for an EventExited whose started was
	// not sent before because the process was short-lived.
	Started *Started
	// Exit is set for EventExited.
	Exit *Exit
	// Survivors is set for EventStuck.
	Survivors []Survivor
}

// Started identifies a process beyond its pid: a pid alone is never believed.
type Started struct {
	At  time.Time
	PID int
	// StartTicks is the kernel's start time of the process, in clock ticks since
	// boot (field 22 of /proc/PID/stat).
	StartTicks uint64
	BootID     string
	// Cgroup is the path below the cgroup v2 mount; empty where there is none.
	Cgroup string
	Log    logs.Place
}

// Exit is how an attempt ended.
type Exit struct {
	Cause      Cause
	StopReason string
	// Code is the exit code when Signal is 0.
	Code       int
	Signal     syscall.Signal
	CoreDumped bool
	// Errno and Message are set for CauseCannotStart.
	Errno   syscall.Errno
	Message string

	UserCPU, SystemCPU time.Duration
	MaxRSSBytes        int64

	// Log is where the whole output is; LogBytes of it are kept, DroppedBytes
	// were dropped by a budget or a full disk.
	Log          logs.Place
	LogBytes     int64
	DroppedBytes int64
	// StderrTail is the last of stderr, at most 4 KiB; only set when the attempt
	// did not end well.
	StderrTail []byte
	// Output is what the attempt wrote to Order.OutputFile, at most 64 KiB.
	Output []byte
	// Survivors are processes of the attempt that no signal could end.
	Survivors []Survivor
}

// Survivor is a process that a stop could not end, such as one in
// uninterruptible sleep.
type Survivor struct {
	PID     int
	Command string
	// State is the letter of /proc/PID/stat, such as "D".
	State string
}

// Live is an attempt the executor holds now: its exit is still to come.
type Live struct {
	Attempt int64
	Token   string
	// Started is nil while the order is accepted but not yet carried out.
	Started *Started
}
