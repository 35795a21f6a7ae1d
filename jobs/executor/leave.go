package executor

import (
	"errors"
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/heroproc/heroproc/jobs/executor/process"
)

// maxOutputFile is how much of an attempt's output file is kept, in bytes.
const maxOutputFile = 64 << 10

// mainEnded is called when the pidfd of the main process says that it has
// ended.
func (l *loop) mainEnded(c *child) {
	if !l.reap(c) {
		return
	}
	l.poller.remove(c.main.PIDFD, c.main.watch)
	c.main.watch = 0
	l.timers.disarm(&c.young)
	l.timers.disarm(&c.timeout)
	l.timers.disarm(&c.next)
	c.phase = phaseLeaving
	l.readDry(c)
	l.sweep(c)
}

// reap learns how the main process ended; false if it has not.
//
// Every loop waits for its own children alone, each by its pid: a wait for any
// child would take the exits of other loops' children, and the orphans. The pid
// is safe, because nobody else can reap it.
func (l *loop) reap(c *child) bool {
	if c.main.adopted {
		c.main.status, c.main.known = process.ExitStatus(c.main.identity(), c.main.PIDFD)
		return c.main.hasEnded()
	}
	for {
		pid, err := unix.Wait4(c.main.PID, &c.main.status, unix.WNOHANG, &c.main.usage)
		switch {
		case err == unix.EINTR:
		case err != nil:
			// Nobody else reaps our children. If somebody did, the exit is lost but
			// the attempt is over.
			l.log.Error("cannot reap process", "attempt", c.order.Attempt, "pid", c.main.PID, "err", err)
			return true
		default:
			c.main.known = pid == c.main.PID
			return c.main.known
		}
	}
}

// sweep ends what the main process has left behind, as often as it takes to see
// that nothing is left.
func (l *loop) sweep(c *child) {
	found := l.look(c)
	pause := min(max(firstSweepPause, 2*c.end.pause), lastSweepPause)
	c.end.pause = pause
	if !found.any {
		if len(found.unsure) > 0 && pause < longestDoubt {
			l.timers.arm(&c.next, l.now.Add(pause))
			return
		}
		l.remember(found.unsure)
		l.settle(c)
		return
	}
	// Who was asked to end may take the time he was given, like the main process.
	// Only the group was asked.
	if found.group && l.now.Before(c.end.mercy) {
		l.timers.arm(&c.next, earlier(l.now.Add(pause), c.end.mercy))
		return
	}
	if c.end.since.IsZero() {
		c.end.since = l.now
	}
	if l.now.Sub(c.end.since) >= l.config.StuckAfter {
		c.end.survivors = survivors(l.name(c, found))
		l.settle(c)
		return
	}
	l.end(c, found)
	l.timers.arm(&c.next, l.now.Add(pause))
}

// The pauses between two looks at what is left of an attempt after SIGKILL: at
// first what the kernel needs to carry it out, then ever longer.
const (
	firstSweepPause = time.Millisecond
	lastSweepPause  = 64 * time.Millisecond
)

// longestDoubt is the pause before which a process that shows no environment is
// looked at again: an exec takes less than a millisecond, all looks together
// 15.
const longestDoubt = 16 * time.Millisecond

// remember takes note of orphans that turned out to have no environment at all,
// so that the ends of other attempts are not held up by them.
func (l *loop) remember(unsure []process.Stat) {
	for _, s := range unsure {
		l.strangers[process.Identity{PID: s.PID, StartTicks: s.StartTicks}] = true
	}
}

// remains is what a look has found of an attempt whose main process is gone.
type remains struct {
	any bool
	// group: the attempt's process group has members.
	group bool
	// processes are those found one by one, where there is no cgroup.
	processes []process.Stat
	// unsure are orphans that may turn out to be the attempt's.
	unsure []process.Stat
}

// look finds out whether anything is left of an attempt. The kernel knows
// exactly where there is a cgroup. Elsewhere it is the attempt's process group,
// and whatever carries its token among the processes that came to us when their
// parent died; in the usual case that nobody came, two system calls tell.
func (l *loop) look(c *child) remains {
	r := remains{group: c.main.PIDFD >= 0 && c.main.Group.Signal(0) == nil}
	if c.leaf != nil {
		populated, err := c.leaf.Populated()
		if err != nil {
			l.log.Warn("cannot look into cgroup", "attempt", c.order.Attempt, "err", err)
		}
		// What cannot be looked into is not known to be empty.
		r.any = populated || err != nil
		return r
	}
	var among []int
	var err error
	if c.main.adopted {
		// What an adopted process has left went to whoever was above its starter.
		among, err = process.All()
	} else {
		among, err = l.orphans.PIDs()
	}
	if err != nil {
		l.log.Warn("cannot list processes", "attempt", c.order.Attempt, "err", err)
	}
	if len(among) == 0 {
		clear(l.strangers)
		if !r.group {
			return r
		}
	}
	mark := process.Mark{Token: c.order.Token}
	if r.group {
		mark.Leader = c.main.PID
	}
	r.processes, r.unsure = mark.Left(among)
	if !c.main.adopted {
		l.lookAtNewcomers(mark, among, &r)
	}
	r.unsure = slices.DeleteFunc(r.unsure, func(s process.Stat) bool {
		return c.main.adopted || l.strangers[process.Identity{PID: s.PID, StartTicks: s.StartTicks}]
	})
	// A group may have zombies alone, which their parent is about to reap.
	r.any = len(r.processes) > 0
	r.group = r.group && r.any
	return r
}

// newcomerLooks bounds how often a look goes on to those who came meanwhile: one
// who forks faster than that is found by the next look.
const newcomerLooks = 8

// lookAtNewcomers looks at the orphans that came to us while a look that found
// nothing was under way: a process that was listed may have forked and ended
// before its turn, and its child is then in no list that was read.
func (l *loop) lookAtNewcomers(mark process.Mark, seen []int, r *remains) {
	known := make(map[int]bool, len(seen))
	for range newcomerLooks {
		if len(seen) == 0 || len(r.processes) > 0 {
			return
		}
		for _, pid := range seen {
			known[pid] = true
		}
		now, err := l.orphans.PIDs()
		if err != nil {
			l.log.Warn("cannot list processes", "err", err)
			return
		}
		seen = slices.DeleteFunc(now, func(pid int) bool { return known[pid] })
		found, unsure := mark.Left(seen)
		r.processes, r.unsure = append(r.processes, found...), append(r.unsure, unsure...)
	}
}

// end sends SIGKILL to what was found.
func (l *loop) end(c *child, found remains) {
	if c.leaf != nil {
		if err := c.leaf.Kill(); err != nil {
			l.log.Warn("cannot kill cgroup", "attempt", c.order.Attempt, "err", err)
		}
		return
	}
	if found.group {
		_ = c.main.Group.Signal(syscall.SIGKILL) // who is gone meanwhile needs none
	}
	for _, s := range found.processes {
		id := process.Identity{PID: s.PID, StartTicks: s.StartTicks}
		if err := id.Kill(); err != nil {
			l.log.Warn("cannot kill process", "attempt", c.order.Attempt, "pid", s.PID, "err", err)
		}
	}
}

// name lists what was found and did not go away.
func (l *loop) name(c *child, found remains) []process.Stat {
	if c.leaf == nil {
		return found.processes
	}
	pids, err := c.leaf.PIDs()
	if err != nil {
		l.log.Warn("cannot name what is left", "attempt", c.order.Attempt, "err", err)
	}
	var list []process.Stat
	for _, pid := range pids {
		if s, err := process.ReadStat(pid); err == nil {
			list = append(list, s)
		}
	}
	return list
}

// settle is called when nothing is left of an attempt that could be ended. All
// it ever wrote is in its pipes then; but one that survives, or that carries no
// sign of where it came from, may still hold them and write more: that is read
// for as long as the order says.
func (l *loop) settle(c *child) {
	l.readDry(c)
	if !c.held() || !l.mayHold(c) || c.order.Drain <= 0 {
		l.finish(c)
		return
	}
	c.phase = phaseDraining
	l.watchStreams(c)
	l.timers.arm(&c.next, l.now.Add(c.order.Drain))
}

// mayHold tells whether a process that was the attempt's once may hold its
// pipes. That they are not closed tells nothing: for a moment, every child of
// any loop holds a copy of all our descriptors, between its fork and its exec.
func (l *loop) mayHold(c *child) bool {
	if len(c.end.survivors) > 0 {
		return true
	}
	if c.leaf != nil {
		return false
	}
	pids, err := l.orphans.PIDs()
	return err != nil || len(pids) > 0
}

// streamReady is called when a watched pipe has something to read, or is
// closed by its last writer.
func (l *loop) streamReady(c *child, i int) {
	l.read(c, i)
	if c.phase == phaseDraining && !c.held() {
		l.finish(c)
	}
}

// finish notes the exit: the attempt is over.
func (l *loop) finish(c *child) {
	l.closeStreams(c)
	x := c.exit()
	if c.started != nil {
		x.Log = c.started.Log
	}
	if c.output != nil {
		x.Log, x.LogBytes, x.DroppedBytes = c.output.Close(l.now)
		c.output = nil
	}
	if !x.endedWell() {
		x.StderrTail = c.streams[1].tail
	}
	if c.order.OutputFile != "" {
		x.Output = l.takeOutputFile(c)
	}
	l.leaveLeaf(c)
	if c.main.PIDFD >= 0 {
		unix.Close(c.main.PIDFD)
	}
	l.conclude(c, x)
}

// conclude notes the exit of an attempt. It stays in hand until that is written.
func (l *loop) conclude(c *child, x *Exit) {
	c.phase = phaseOver
	for _, t := range []*timer{&c.young, &c.timeout, &c.next} {
		l.timers.disarm(t)
	}
	e := c.event(EventExited, l.now)
	e.Exit = x
	if !c.announced {
		e.Started = c.started
	}
	l.ledger.exited(e)
	l.over = append(l.over, c)
}

// takeOutputFile reads what the attempt wrote to its output file, and deletes
// it. The attempt had the directory in its hands, so whatever it put there in
// place of a plain file is not followed and not waited for.
func (l *loop) takeOutputFile(c *child) []byte {
	path := c.order.OutputFile
	defer func() {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			l.log.Warn("cannot remove output file", "attempt", c.order.Attempt, "err", err)
		}
	}()
	content, err := readPlain(path, maxOutputFile)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		l.log.Warn("cannot read output file", "attempt", c.order.Attempt, "err", err)
	}
	return content
}

// readPlain reads at most limit bytes of a plain file.
func readPlain(path string, limit int) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	var s unix.Stat_t
	if err := unix.Fstat(fd, &s); err != nil {
		return nil, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if s.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, &os.PathError{Op: "read", Path: path, Err: errors.New("it is no plain file")}
	}
	content := make([]byte, min(int64(limit), s.Size))
	n := 0
	for n < len(content) {
		got, err := unix.Read(fd, content[n:])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return content[:n], &os.PathError{Op: "read", Path: path, Err: err}
		}
		if got == 0 {
			break
		}
		n += got
	}
	return content[:n], nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
