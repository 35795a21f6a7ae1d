package executor

import (
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/heroproc/heroproc/jobs/executor/process"
)

// stop carries out a Stop. One for an attempt that is not here comes too late:
// its exit is in the journal.
func (l *loop) stop(s Stop) {
	c := l.children[s.Token]
	if c == nil || c.order.Attempt != s.Attempt {
		return
	}
	switch c.phase {
	case phaseAccepted:
		l.timers.disarm(&c.next)
		l.conclude(c, &Exit{Cause: CauseStopped, StopReason: s.Reason})
	case phaseRunning:
		l.ask(c, CauseStopped, s.Reason, s.Stop)
	case phaseStopping:
		// The first stop is the cause; a later one may be less patient.
		if until := l.now.Add(s.Stop.Grace); until.Before(c.end.mercy) {
			c.end.mercy = until
			l.timers.arm(&c.next, until)
		}
	case phaseLeaving:
		if until := l.now.Add(s.Stop.Grace); until.Before(c.end.mercy) {
			c.end.mercy = until
		}
	}
}

// timeIsOver ends an attempt whose time is over.
func (l *loop) timeIsOver(c *child) {
	if c.phase == phaseRunning {
		l.ask(c, CauseTimeout, "", c.order.Stop)
	}
}

// defaultStopSignal is what a stop sequence without a signal begins with.
const defaultStopSignal = syscall.SIGTERM

// ask begins the stop sequence. A process that has ended by itself is not
// asked: its exit is on the way, and says so.
func (l *loop) ask(c *child, cause Cause, reason string, s StopSequence) {
	if c.main.hasEnded() {
		return
	}
	signal := s.Signal
	if signal <= 0 {
		signal = defaultStopSignal
	}
	if err := c.main.signal(signal); process.IsGone(err) {
		return
	} else if err != nil {
		l.log.Warn("cannot signal attempt", "attempt", c.order.Attempt, "pid", c.main.PID, "signal", int(signal), "err", err)
	}
	c.end.cause, c.end.reason = cause, reason
	c.end.mercy = l.now.Add(s.Grace)
	c.phase = phaseStopping
	l.timers.disarm(&c.timeout)
	if signal == syscall.SIGKILL || s.Grace <= 0 {
		l.kill(c)
		return
	}
	// A stopped process obeys nothing until it continues.
	_ = c.main.signal(syscall.SIGCONT)
	l.timers.arm(&c.next, c.end.mercy)
}

// kill ends the attempt by force. Its end is still waited for.
func (l *loop) kill(c *child) {
	c.phase = phaseKilled
	c.end.mercy = l.now
	_ = c.main.signal(syscall.SIGKILL) // it fails only where nothing is left to be killed
	_ = process.Signal(c.main.PIDFD, syscall.SIGKILL)
	if c.leaf != nil {
		if err := c.leaf.Kill(); err != nil {
			l.log.Warn("cannot kill cgroup", "attempt", c.order.Attempt, "err", err)
		}
	}
	l.timers.arm(&c.next, l.now.Add(l.config.StuckAfter))
}

// phaseIsOver is called when a phase has taken its time.
func (l *loop) phaseIsOver(c *child) {
	switch c.phase {
	case phaseAccepted:
		l.accepted = append(l.accepted, c)
	case phaseStopping:
		l.kill(c)
	case phaseKilled:
		l.tellStuck(c)
	case phaseLeaving:
		l.sweep(c)
	case phaseDraining:
		l.finish(c)
	}
}

// tellStuck says once that the main process does not end, not even by SIGKILL:
// it is in uninterruptible sleep, and nobody can tell for how long.
func (l *loop) tellStuck(c *child) {
	if c.end.stuckTold {
		return
	}
	c.end.stuckTold = true
	e := c.event(EventStuck, l.now)
	if s, err := process.ReadStat(c.main.PID); err == nil && s.StartTicks == c.main.startTicks {
		e.Survivors = survivors([]process.Stat{s})
	}
	l.ledger.event(e, true)
}

// signal sends a signal to the main process and its group; to the process
// alone if it has left its group.
func (m *mainProcess) signal(signal syscall.Signal) error {
	err := m.Group.Signal(signal)
	if err == unix.ESRCH {
		err = process.Signal(m.PIDFD, signal)
	}
	return err
}

// hasEnded tells whether the main process has ended, without reaping it.
func (m *mainProcess) hasEnded() bool {
	poll := []unix.PollFd{{Fd: int32(m.PIDFD), Events: unix.POLLIN}}
	n, err := unix.Poll(poll, 0)
	return err == nil && n > 0
}

func survivors(left []process.Stat) []Survivor {
	var list []Survivor
	for _, s := range left {
		list = append(list, Survivor{PID: s.PID, Command: s.Command, State: string(s.State)})
	}
	return list
}
