package executor

import (
	"fmt"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/heroproc/heroproc/jobs/executor/process"
)

// A start that failed for want of something is tried again after 5, 10, 20, 40,
// 80 and 160 ms: long enough for another process to end, short enough that
// nobody takes the attempt for hung.
const (
	startTries      = 6
	firstStartPause = 5 * time.Millisecond
)

// accept takes an order. One whose token is known is answered by nothing: it
// was carried out, or is being, or is over.
func (l *loop) accept(o Order) {
	if _, live := l.children[o.Token]; live || l.ledger.ended[o.Token] || l.config.endedBefore[o.Token] {
		l.log.Info("order repeated", "attempt", o.Attempt)
		return
	}
	c := newChild(o)
	l.ledger.intent(&c.order, l.now)
	l.hold(c)
	l.accepted = append(l.accepted, c)
}

// startsPerTurn is how many orders are carried out before the loop looks again
// whether anybody has ended: a start takes a third of a millisecond, and an
// exit, which somebody waits for, should not stand behind many of them.
const startsPerTurn = 2

// startAccepted carries out orders that were accepted.
func (l *loop) startAccepted() {
	for range startsPerTurn {
		if len(l.accepted) == 0 {
			return
		}
		c := l.accepted[0]
		l.accepted = l.accepted[1:]
		if c.phase == phaseAccepted { // or it was stopped meanwhile
			l.tryStart(c)
		}
	}
}

func (l *loop) tryStart(c *child) {
	// An intent that is not on disk would be a process nobody ever finds again.
	if err := l.flushLedger(); err != nil {
		l.cannotStart(c, errnoOf(err), fmt.Sprintf("cannot start %q: cannot note the intent: %v", programOf(&c.order), err))
		return
	}
	err := l.spawn(c)
	switch {
	case err == nil:
	case isTransient(err) && c.tries < startTries:
		l.timers.arm(&c.next, l.now.Add(firstStartPause<<c.tries))
		c.tries++
	default:
		l.cannotStart(c, errnoOf(err), explainStart(&c.order, err))
	}
}

// spawn starts the process of an attempt.
func (l *loop) spawn(c *child) error {
	program, err := findProgram(&c.order)
	if err != nil {
		return err
	}
	var ends [2]int // the child's
	for i := range ends {
		if ends[i], err = c.streams[i].open(); err != nil {
			closeAll(ends[:i])
			l.closeStreams(c)
			return err
		}
	}
	defer closeAll(ends[:])
	pidfd := -1
	attributes := syscall.ProcAttr{
		Dir:   c.order.Dir,
		Env:   c.order.Env,
		Files: []uintptr{l.config.null.Fd(), uintptr(ends[0]), uintptr(ends[1])},
		Sys:   &syscall.SysProcAttr{Setpgid: true, PidFD: &pidfd},
	}
	if attributes.Env == nil {
		attributes.Env = []string{}
	}
	if err := l.enterLeaf(c, attributes.Sys); err != nil {
		l.closeStreams(c)
		return err
	}
	before := process.Ticks()
	pid, err := syscall.ForkExec(program, c.order.Command, &attributes)
	if err != nil {
		l.closeStreams(c)
		l.leaveLeaf(c)
		return err
	}
	c.order.Command, c.order.Env = nil, nil
	c.main.Group = process.Group{PIDFD: pidfd, PID: pid}
	if c.main.startTicks, err = startTicks(pid, before); err != nil {
		l.log.Error("cannot identify process", "attempt", c.order.Attempt, "pid", pid, "err", err)
	}
	l.begin(c)
	return nil
}

// startTicks answers the kernel's start time of a process that was started just
// now, not before the tick before. Mostly that tick is not over, and there is
// nothing to ask: /proc would answer the same after a tenth of what the whole
// start costs. Nobody has waited for the process yet, so its entry is there even
// if it has ended.
func startTicks(pid int, before uint64) (uint64, error) {
	if process.Ticks() == before {
		return before, nil
	}
	stat, err := process.ReadStat(pid)
	return stat.StartTicks, err
}

// begin takes note of a process that was just started.
func (l *loop) begin(c *child) {
	now := time.Now() // a start takes long enough to make the loop's clock wrong
	c.output = l.logs.Open(c.order.Attempt, c.order.LogBudget, now)
	c.started = &Started{
		At:         now,
		PID:        c.main.PID,
		StartTicks: c.main.startTicks,
		BootID:     l.config.bootID,
		Log:        c.output.Place(),
	}
	if c.leaf != nil {
		c.started.Cgroup = c.leaf.Path()
	}
	c.phase = phaseRunning
	l.noteStarted(c)
	if c.order.Timeout > 0 {
		l.timers.arm(&c.timeout, now.Add(c.order.Timeout))
	}
	l.timers.arm(&c.young, now.Add(l.config.YoungFor))
	l.watchMain(c)
}

// noteStarted tells a later executor of the process; the daemon hears of it
// when the child is no longer young, or with its exit.
func (l *loop) noteStarted(c *child) {
	e := c.event(EventStarted, c.started.At)
	e.Started = c.started
	l.ledger.event(e, false)
}

// watchMain makes the loop hear of the end of the main process. If the kernel
// refuses for the moment, it is tried again: a child is never forgotten.
func (l *loop) watchMain(c *child) {
	if c.main.watch != 0 {
		return
	}
	h, err := l.poller.add(c.main.PIDFD, unix.EPOLLIN, source{role: roleMain, child: c})
	if err != nil {
		l.log.Error("cannot watch process", "attempt", c.order.Attempt, "pid", c.main.PID, "err", err)
		l.timers.arm(&c.young, l.now.Add(retryPause))
		return
	}
	c.main.watch = h
}

// retryPause is how long a loop waits before it tries again what the system
// refused.
const retryPause = 100 * time.Millisecond

// announce is called when a child is no longer young: most never come here, and
// have cost neither a message nor a watch for each of their pipes.
func (l *loop) announce(c *child) {
	if c.phase > phaseKilled {
		return
	}
	l.watchMain(c)
	l.watchStreams(c)
	if c.leaf != nil {
		c.leaf.Rest()
	}
	if !c.announced {
		c.announced = true
		e := c.event(EventStarted, c.started.At)
		e.Started = c.started
		l.ledger.event(e, true)
	}
}

// maxMessage is how much is told of why an order could not be started, in bytes.
// It quotes the order, which may have megabytes, and a record that is too large
// for the journal would keep out every later one.
const maxMessage = 4 << 10

// cannotStart ends an attempt that never had a process.
func (l *loop) cannotStart(c *child, errno syscall.Errno, message string) {
	if len(message) > maxMessage {
		message = strings.ToValidUTF8(message[:maxMessage], "") + "…"
	}
	l.conclude(c, &Exit{Cause: CauseCannotStart, Errno: errno, Message: message})
}

// enterLeaf makes the process start inside a cgroup of its own, where there are
// any.
func (l *loop) enterLeaf(c *child, attributes *syscall.SysProcAttr) error {
	if l.leaves == nil {
		return nil
	}
	leaf, err := l.leaves.Lend()
	if err != nil {
		return err
	}
	fd, err := leaf.FD()
	if err != nil {
		_ = leaf.Remove() // the error that counts is the first one
		return err
	}
	c.leaf = leaf
	attributes.UseCgroupFD, attributes.CgroupFD = true, fd
	return nil
}

// leaveLeaf gives the attempt's cgroup back, in which nothing lives any more,
// or leaves it alone if somebody survives in it.
func (l *loop) leaveLeaf(c *child) {
	if c.leaf == nil {
		return
	}
	if len(c.end.survivors) > 0 {
		c.leaf.Rest()
	} else if err := l.leaves.Return(c.leaf); err != nil {
		l.log.Warn("cannot return cgroup", "attempt", c.order.Attempt, "err", err)
	}
	c.leaf = nil
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}
