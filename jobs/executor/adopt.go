package executor

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/heroproc/heroproc/jobs/executor/journal"
	"github.com/heroproc/heroproc/jobs/executor/process"
)

// history is what the journals of former executors tell.
type history struct {
	past *past
	// ended are the tokens of attempts whose exit is known.
	ended map[string]bool
	// open are the attempts of this boot whose exit is not.
	open []inherited
	// empty are epochs that have nothing a daemon would hear of.
	empty []uint64
}

// inherited is an attempt that a former executor had in hand.
type inherited struct {
	order   Order    // as far as the journal has it
	started *Started // nil if only the intent is known
}

// readHistory reads every journal that was left. What cannot be read makes the
// past one with gaps; that is for the daemon to judge.
func readHistory(store *journal.Store, bootID string, log *slog.Logger) *history {
	h := &history{
		past:  &past{store: store, whole: true, last: make(map[uint64]uint64)},
		ended: make(map[string]bool),
	}
	open := make(map[string]*inherited)
	for _, left := range store.Left() {
		if left.Damage != nil {
			log.Warn("journal damaged", "epoch", left.Epoch, "last", left.Last, "whole", left.Whole, "err", left.Damage)
		}
		h.past.whole = h.past.whole && left.Whole
		if err := h.readEpoch(left.Epoch, bootID, open); err != nil {
			log.Error("cannot read journal", "epoch", left.Epoch, "err", err)
			h.past.whole = false
		}
		if h.past.last[left.Epoch] == 0 {
			delete(h.past.last, left.Epoch)
			h.empty = append(h.empty, left.Epoch)
		}
	}
	for _, token := range slices.Sorted(maps.Keys(open)) {
		h.open = append(h.open, *open[token])
	}
	return h
}

func (h *history) readEpoch(epoch uint64, bootID string, open map[string]*inherited) error {
	sameBoot := false
	return h.past.store.Read(epoch, 0, func(number uint64, payload []byte) error {
		if len(payload) > 0 && payload[0] == recordOpened {
			d := decoder{rest: payload[1:]}
			sameBoot = d.string() == bootID
			return decodeError("opening of an epoch", &d)
		}
		if isPublic(payload) {
			h.past.last[epoch] = number
		}
		e, err := decodeEvent(epoch, number, payload)
		if err != nil {
			return err
		}
		if e.Kind == EventExited {
			h.ended[e.Token] = true
			delete(open, e.Token)
		}
		if !sameBoot || h.ended[e.Token] {
			return nil // nothing of another boot lives
		}
		switch e.Kind {
		case EventIntent:
			o, err := decodeIntent(payload)
			if err != nil {
				return err
			}
			if open[e.Token] == nil {
				open[e.Token] = &inherited{order: o}
			}
		case EventStarted:
			if open[e.Token] == nil {
				open[e.Token] = &inherited{order: Order{Attempt: e.Attempt, Token: e.Token}}
			}
			open[e.Token].started = e.Started
		}
		return nil
	})
}

// adoptAll hands every open attempt to the loop it belongs to. When it returns
// without an error, the loops' own journals have them all, and those that only
// had them may go.
func (h *history) adoptAll(loops []*loop, log *slog.Logger) error {
	wanted := make(map[string]bool, len(h.open))
	for _, i := range h.open {
		wanted[i.order.Token] = true
	}
	found, err := process.ByToken(wanted)
	if err != nil {
		return err
	}
	for _, i := range h.open {
		l := loops[loopOf(i.order.Attempt, len(loops))]
		l.adopt(i, found[i.order.Token])
	}
	for _, l := range loops {
		if err := l.flushLedger(); err != nil {
			return fmt.Errorf("cannot take over attempts: %w", err)
		}
	}
	for _, epoch := range h.empty {
		if err := h.past.store.Remove(epoch); err != nil {
			log.Warn("cannot remove old journal", "epoch", epoch, "err", err)
		}
	}
	return nil
}

// adopt takes over an attempt of a former executor. Processes are what carries
// the attempt's token today. If the main process is gone its exit is lost, but
// what is left of it is ended before anybody is told.
func (l *loop) adopt(i inherited, processes []process.Stat) {
	c := newChild(i.order)
	c.main.adopted = true
	c.started = i.started
	c.announced = i.started != nil // the journal that told us tells the daemon too
	if c.started == nil {
		if leader, ok := process.Leader(processes); ok {
			c.started = l.startedAs(leader)
		}
	}
	if c.started != nil {
		c.main.PID, c.main.startTicks = c.started.PID, c.started.StartTicks
		if pidfd, err := c.main.identity().Open(); err == nil {
			c.main.PIDFD = pidfd
		} else if !process.IsGone(err) {
			l.log.Error("cannot watch process", "attempt", c.order.Attempt, "pid", c.main.PID, "err", err)
		}
		if l.config.cgroups != nil && c.started.Cgroup != "" {
			c.leaf, _ = l.config.cgroups.Leaf(c.started.Cgroup)
		}
	}
	l.hold(c)
	l.noteAgain(c)
	if c.main.PIDFD < 0 {
		l.log.Warn("attempt lost", "attempt", c.order.Attempt, "pid", c.main.PID)
		c.phase = phaseLeaving
		if c.leaf == nil && len(processes) == 0 {
			l.finish(c)
		} else {
			l.sweep(c)
		}
		return
	}
	l.log.Info("attempt adopted", "attempt", c.order.Attempt, "pid", c.main.PID)
	c.phase = phaseRunning
	if c.order.Timeout > 0 {
		l.timers.arm(&c.timeout, l.now.Add(c.order.Timeout-c.main.identity().Age()))
	}
	l.announce(c)
}

// startedAs describes a process that was found by its token. Its cgroup is part
// of that: one that no attempt in hand has would be cleaned away with it.
func (l *loop) startedAs(s process.Stat) *Started {
	id := process.Identity{PID: s.PID, StartTicks: s.StartTicks}
	started := &Started{
		At:         l.now.Add(-id.Age()),
		PID:        s.PID,
		StartTicks: s.StartTicks,
		BootID:     l.config.bootID,
	}
	if l.config.cgroups != nil {
		if leaf, ok := l.config.cgroups.Of(s.PID); ok {
			started.Cgroup = leaf.Path()
		}
	}
	return started
}

// cleanCgroups removes the cgroups that no attempt in hand has. What lives in
// them was started under a journal that is gone: nobody knows of it, and the
// daemon will take its attempt for lost and may start it again, so it is ended.
func cleanCgroups(config *settings, loops []*loop) {
	if config.cgroups == nil {
		return
	}
	used := make(map[string]bool)
	for _, l := range loops {
		for _, c := range l.children {
			if c.leaf != nil {
				used[c.leaf.Path()] = true
			}
		}
	}
	leaves, err := config.cgroups.Leaves()
	if err != nil {
		config.Logger.Warn("cannot clean cgroups", "err", err)
		return
	}
	for _, leaf := range leaves {
		if used[leaf.Path()] {
			continue
		}
		if populated, err := leaf.Populated(); err == nil && populated {
			config.Logger.Warn("killing processes that belong to no attempt", "cgroup", leaf.Path())
			err = leaf.Kill()
			if err != nil {
				config.Logger.Warn("cannot kill cgroup", "err", err)
			}
		}
		if err := leaf.Remove(); err != nil && !errors.Is(err, unix.EBUSY) {
			config.Logger.Warn("cannot remove cgroup", "err", err)
		}
	}
}
