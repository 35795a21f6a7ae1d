package executor

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/heroproc/heroproc/jobs/executor/journal"
)

const (
	// outLimit is how much waits in memory for a daemon that reads slowly, in
	// bytes. What comes on top is in the journal, and read back from there.
	outLimit = 1 << 20
	// refillBytes is how much is read back from the journal at once.
	refillBytes = 256 << 10
	// pumpsPerTurn is how often a turn of the loop writes to the daemon's socket.
	pumpsPerTurn = 8
	// inBytes is how much one read takes from the daemon's connection.
	inBytes = 64 << 10
)

// daemon is the connection of the daemon to one loop. It never blocks: what the
// socket does not take waits, and what is too much to wait is left to the
// journal.
type daemon struct {
	fd     int
	watch  handle
	events uint32 // what is watched for
	in     []byte
	out    []byte // not yet sent
	// past are former executors' epochs that are still to be replayed, for the
	// first loop's daemon.
	past []position
	// sent is the number of the last event of this loop's epoch that was put into
	// out, or that the daemon had before.
	sent uint64
	// current: every event in the journal has been put into out. While it is
	// false, they are read from the journal.
	current bool
	// caughtUp: the daemon was told what lives; from then on events come as they
	// happen.
	caughtUp bool
}

// position is where in an epoch a daemon is.
type position struct {
	epoch, number uint64
}

// errEnough ends a reading of the journal that has brought enough for now.
var errEnough = errors.New("enough for now")

// visitor is a daemon that has said hello and waits to be taken by its loop.
type visitor struct {
	fd    int
	hello hello
}

// attach takes a daemon, in place of the one there is. Orders that the old one
// has sent whole are carried out first; the new daemon is told of them.
func (l *loop) attach(v visitor) {
	if l.retired {
		unix.Close(v.fd)
		l.config.census.daemons(-1)
		return
	}
	if l.daemon != nil {
		l.hear(true)
	}
	if l.daemon != nil {
		l.detach("another connection has replaced it")
	}
	d := &daemon{fd: v.fd, events: unix.EPOLLIN, sent: v.hello.positions[l.epoch]}
	h, err := l.poller.add(v.fd, d.events, source{role: roleDaemon})
	if err != nil {
		l.log.Error("cannot attach daemon", "err", err)
		unix.Close(v.fd)
		l.config.census.daemons(-1)
		return
	}
	d.watch = h
	l.daemon = d
	l.dismiss(false)
	// What it has applied before is as good as acknowledged.
	for _, epoch := range slices.Sorted(maps.Keys(v.hello.positions)) {
		l.acknowledge(ack{epoch: epoch, number: v.hello.positions[epoch]})
	}
	if l.index == 0 {
		d.past = l.config.past.after(v.hello.positions)
	}
	d.out = appendFrame(d.out, frameWelcome, appendWelcome, welcome{
		protocol:  protocolVersion,
		pid:       l.config.pid,
		startedAt: l.config.startedAt,
		version:   l.config.Version,
		loops:     uint32(l.config.Loops),
		epoch:     l.epoch,
		bootID:    l.config.bootID,
		whole:     l.config.past.whole,
	})
	l.log.Info("daemon attached", "positions", len(v.hello.positions))
}

// detach ends the daemon's connection. The children stay.
func (l *loop) detach(why string) {
	l.poller.remove(l.daemon.fd, l.daemon.watch)
	unix.Close(l.daemon.fd)
	l.daemon = nil
	l.config.census.daemons(-1)
	l.log.Info("daemon detached", "why", why)
}

// hear reads what the daemon has sent and acts on it: one read, or, if all is
// set, as long as there is something.
func (l *loop) hear(all bool) {
	d := l.daemon
	for l.daemon == d {
		d.in = slices.Grow(d.in, inBytes)
		n, err := unix.Read(d.fd, d.in[len(d.in):cap(d.in)])
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return
		case err != nil:
			l.detach(err.Error())
			return
		case n == 0:
			l.detach("it has closed the connection")
			return
		}
		d.in = d.in[:len(d.in)+n]
		if err := l.obey(d); err != nil {
			l.log.Warn("daemon speaks nonsense", "err", err)
			l.detach("it does not keep to the protocol")
			return
		}
		if !all {
			return
		}
	}
}

// obey acts on every whole frame that was read.
func (l *loop) obey(d *daemon) error {
	rest := d.in
	for {
		kind, payload, after, ok, err := nextFrame(rest)
		if err != nil {
			return err
		}
		if !ok {
			d.in = append(d.in[:0], rest...)
			return nil
		}
		rest = after
		if err := l.obeyFrame(kind, payload); err != nil {
			return err
		}
	}
}

func (l *loop) obeyFrame(kind frameKind, payload []byte) error {
	switch kind {
	case frameOrder:
		o, err := decodeOrder(payload)
		if err != nil {
			return err
		}
		l.accept(o)
	case frameStop:
		s, err := decodeStop(payload)
		if err != nil {
			return err
		}
		l.stop(s)
	case frameAck:
		a, err := decodeAck(payload)
		if err != nil {
			return err
		}
		l.acknowledge(a)
	case frameShutdown:
		l.dismiss(true)
	default:
		return fmt.Errorf("a frame of kind %d is not for us", kind)
	}
	return nil
}

// dismiss notes whether the executor is to end, as far as this loop was told.
// That holds when the daemon that wished it has gone, until the next one comes.
func (l *loop) dismiss(yes bool) {
	switch {
	case yes && !l.dismissed:
		l.config.census.dismissals(+1)
	case !yes && l.dismissed:
		l.config.census.dismissals(-1)
	}
	l.dismissed = yes
}

// acknowledge takes note of what the daemon has on disk.
func (l *loop) acknowledge(a ack) {
	if a.epoch != l.epoch {
		if l.index > 0 {
			return // former epochs are the first loop's
		}
		if err := l.config.past.acknowledge(a); err != nil {
			l.log.Warn("cannot remove old journal", "err", err)
		}
		return
	}
	if !l.ledger.acknowledged(a.number) {
		return
	}
	l.ledger.opened()
	for _, c := range l.children {
		l.noteAgain(c)
	}
	if l.flushLedger() == nil {
		l.ledger.drop(a.number)
	}
}

// noteAgain writes down once more all that a later executor must know of an
// attempt, so that the earlier records may go.
func (l *loop) noteAgain(c *child) {
	l.ledger.intent(&c.order, l.now)
	if c.started != nil {
		l.noteStarted(c)
	}
}

// tell sends an event that was just journalled, if the daemon is so far.
func (l *loop) tell(number uint64, payload []byte) {
	d := l.daemon
	if d == nil || !d.current {
		return
	}
	if len(d.out) > outLimit {
		d.current = false
		return
	}
	d.out = appendEventFrame(d.out, l.epoch, number, payload)
	d.sent = number
}

// pump sends what waits, and reads on from the journal where the daemon is
// behind, until the socket is full or nothing is left, or the children have
// waited for long enough.
func (l *loop) pump() {
	d := l.daemon
	for range pumpsPerTurn {
		if !d.current && len(d.out) < refillBytes {
			if err := l.refill(d); err != nil {
				l.log.Error("cannot read journal", "err", err)
				l.detach("its events cannot be read back")
				return
			}
		}
		if len(d.out) == 0 {
			l.watchDaemon(unix.EPOLLIN)
			return
		}
		n, err := unix.SendmsgN(d.fd, d.out, nil, nil, unix.MSG_NOSIGNAL)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			l.watchDaemon(unix.EPOLLIN | unix.EPOLLOUT)
			return
		case err != nil:
			// It has gone, but what it has sent before is still there.
			if l.hear(true); l.daemon == d {
				l.detach(err.Error())
			}
			return
		}
		d.out = append(d.out[:0], d.out[n:]...)
		if len(d.out) == 0 && cap(d.out) > 2*refillBytes {
			d.out = nil
		}
	}
	l.watchDaemon(unix.EPOLLIN | unix.EPOLLOUT)
}

// watchDaemon changes what the daemon's connection is watched for.
func (l *loop) watchDaemon(events uint32) {
	d := l.daemon
	if d.events == events {
		return
	}
	if err := l.poller.change(d.fd, d.watch, events); err != nil {
		l.log.Error("cannot watch daemon", "err", err)
		l.detach("it cannot be watched")
		return
	}
	d.events = events
}

// refill puts the next events from the journals into out: those of former
// executors, then our own, then, the first time, what lives.
func (l *loop) refill(d *daemon) error {
	for len(d.past) > 0 {
		p := &d.past[0]
		if err := replay(d, p.epoch, &p.number, l.config.past.store.Read); err != nil {
			return ignoreEnough(err)
		}
		d.past = d.past[1:]
	}
	err := replay(d, l.epoch, &d.sent, func(_, after uint64, fn func(uint64, []byte) error) error {
		return l.ledger.journal.Read(after, fn)
	})
	if err != nil {
		return ignoreEnough(err)
	}
	d.current = true
	if d.caughtUp {
		return nil
	}
	d.caughtUp = true
	for _, token := range slices.Sorted(maps.Keys(l.children)) {
		d.out = appendFrame(d.out, frameLive, appendLive, l.children[token].live())
	}
	d.out = appendEmptyFrame(d.out, frameCaughtUp)
	return nil
}

func ignoreEnough(err error) error {
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// replay puts the public events of an epoch behind number into out, and moves
// number on. It ends with errEnough when out is full.
func replay(d *daemon, epoch uint64, number *uint64, read func(epoch, after uint64, fn func(uint64, []byte) error) error) error {
	return read(epoch, *number, func(n uint64, payload []byte) error {
		if len(d.out) >= refillBytes {
			return errEnough
		}
		if isPublic(payload) {
			d.out = appendEventFrame(d.out, epoch, n, payload)
		}
		*number = n
		return nil
	})
}

// past is what former executors have left in their journals, for daemons that
// have not yet heard all of it. It belongs to the first loop once the loops
// run; what is fixed from the start may be read by all.
type past struct {
	store *journal.Store
	// whole: no journal has a gap.
	whole bool
	// last are the numbers of the last event that a daemon hears of, by epoch.
	last map[uint64]uint64
}

// after answers where a daemon with these positions has to go on.
func (p *past) after(positions map[uint64]uint64) []position {
	var list []position
	for _, epoch := range slices.Sorted(maps.Keys(p.last)) {
		list = append(list, position{epoch: epoch, number: positions[epoch]})
	}
	return list
}

// acknowledge removes the journal of an epoch of which the daemon has
// everything.
func (p *past) acknowledge(a ack) error {
	last, ok := p.last[a.epoch]
	if !ok || a.number < last {
		return nil
	}
	delete(p.last, a.epoch)
	return p.store.Remove(a.epoch)
}
