package executor

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/heroproc/heroproc/jobs/executor/cgroup"
	"github.com/heroproc/heroproc/jobs/executor/process"
	"github.com/heroproc/heroproc/jobs/logs"
)

// phase is how far an attempt has come. It only ever grows.
//
//	accepted ─▶ running ─▶ stopping ─▶ killed
//	    │          │           │         │
//	    │          └───────────┴─────────┴─▶ leaving ─▶ draining ─▶ over
//	    └─▶ over
type phase uint8

const (
	// phaseAccepted: the intent is noted; there is no process yet.
	phaseAccepted phase = iota
	// phaseRunning: the main process lives and nobody has asked it to end.
	phaseRunning
	// phaseStopping: it was asked to end, its grace is running.
	phaseStopping
	// phaseKilled: it was sent SIGKILL.
	phaseKilled
	// phaseLeaving: the main process is gone, what else is left of the attempt is
	// being ended.
	phaseLeaving
	// phaseDraining: nothing is left that we could end, but somebody still holds
	// the output.
	phaseDraining
	// phaseOver: the exit is noted.
	phaseOver
)

// child is one attempt in the hands of a loop.
type child struct {
	order   Order // without command and environment once they are of no more use
	phase   phase
	main    mainProcess
	streams [2]stream // stdout and stderr
	output  *logs.Output
	leaf    *cgroup.Leaf // nil where there are no cgroups
	started *Started     // nil before there is a process
	// announced says that the daemon was told of started, or is with the next
	// flush.
	announced bool
	end       ending
	tries     int // failed tries to start it

	// young fires when the child is old enough to be told of, timeout when its
	// time is over, next when its phase has taken too long.
	young, timeout, next timer
}

// mainProcess is the process that was started; its end is the attempt's.
type mainProcess struct {
	process.Group
	startTicks uint64
	// adopted: a former executor started it. It is not our child.
	adopted bool
	watch   handle
	// status and usage are what the kernel said when it ended; known is false
	// when nobody could learn it.
	status unix.WaitStatus
	usage  unix.Rusage
	known  bool
}

func (m *mainProcess) identity() process.Identity {
	return process.Identity{PID: m.PID, StartTicks: m.startTicks}
}

// ending is why and how an attempt ends, other than by itself.
type ending struct {
	cause  Cause // 0 while nobody has ended it
	reason string
	// mercy is until when what is left may go on obeying the stop signal.
	mercy time.Time
	// since is when what the main process left behind was first sent SIGKILL. The
	// main process's own end may take any time, and most of what it leaves was not
	// sent anything before.
	since time.Time
	// pause is how long to wait before looking again.
	pause     time.Duration
	stuckTold bool
	survivors []Survivor
}

func newChild(o Order) *child {
	c := &child{order: o}
	c.young = timer{child: c, fire: (*loop).announce}
	c.timeout = timer{child: c, fire: (*loop).timeIsOver}
	c.next = timer{child: c, fire: (*loop).phaseIsOver}
	c.main.PIDFD = -1
	for i := range c.streams {
		c.streams[i].fd = -1
	}
	return c
}

// live is what a daemon that attaches is told.
func (c *child) live() Live {
	return Live{Attempt: c.order.Attempt, Token: c.order.Token, Started: c.started}
}

func (c *child) event(kind EventKind, now time.Time) *Event {
	return &Event{Kind: kind, Attempt: c.order.Attempt, Token: c.order.Token, At: now}
}

// exit describes how the attempt ended, as far as its main process tells.
func (c *child) exit() *Exit {
	x := &Exit{Cause: CauseExited, Survivors: c.end.survivors}
	if c.end.cause != 0 {
		x.Cause, x.StopReason = c.end.cause, c.end.reason
	}
	if !c.main.known {
		if c.end.cause == 0 {
			x.Cause = CauseLost
		}
		return x
	}
	if status := c.main.status; status.Signaled() {
		x.Signal, x.CoreDumped = status.Signal(), status.CoreDump()
	} else {
		x.Code = status.ExitStatus()
	}
	usage := &c.main.usage
	x.UserCPU = time.Duration(usage.Utime.Nano())
	x.SystemCPU = time.Duration(usage.Stime.Nano())
	// The kernel counts what a process had before its exec too, so this is never
	// less than the executor's own memory was at the fork.
	x.MaxRSSBytes = usage.Maxrss << 10
	return x
}

// endedWell says that nobody will ask what went wrong.
func (x *Exit) endedWell() bool {
	return x.Cause == CauseExited && x.Code == 0 && x.Signal == 0
}
