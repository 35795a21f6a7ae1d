package executor

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// role says what a watched descriptor is.
type role uint8

const (
	roleMailbox role = iota // others hand something to the loop
	roleDaemon              // the daemon's connection
	roleMain                // the pidfd of an attempt's main process
	roleStdout
	roleStderr
)

// source is who a watched descriptor belongs to.
type source struct {
	role  role
	child *child // nil for the mailbox and the daemon
}

// handle names one watch of one descriptor for ever: the slot in its low half,
// the slot's generation in its high half. The zero handle is none.
type handle uint64

// poller is one epoll instance. The kernel gives back with an event what was
// stored with the descriptor; that is a handle and not a number of ours alone,
// because an event that was already fetched may belong to a descriptor that was
// closed, and its slot taken again, a moment ago.
type poller struct {
	fd     int
	slots  []slot
	free   []uint32
	events []unix.EpollEvent
}

type slot struct {
	source
	generation uint32
}

// eventBatch is how many events one wait fetches: more than are ready in all
// but the busiest moments, and little memory (12 bytes each).
const eventBatch = 256

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cannot create an epoll instance: %w", err)
	}
	return &poller{fd: fd, events: make([]unix.EpollEvent, eventBatch)}, nil
}

func (p *poller) close() error { return unix.Close(p.fd) }

// add watches fd for events (EPOLLIN and the like), level-triggered.
func (p *poller) add(fd int, events uint32, s source) (handle, error) {
	h := p.take(s)
	err := unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, h.event(events))
	if err != nil {
		p.release(h)
		return 0, fmt.Errorf("cannot watch a descriptor: %w", err)
	}
	return h, nil
}

// change watches fd, which has the handle h, for other events.
func (p *poller) change(fd int, h handle, events uint32) error {
	if err := unix.EpollCtl(p.fd, unix.EPOLL_CTL_MOD, fd, h.event(events)); err != nil {
		return fmt.Errorf("cannot watch a descriptor: %w", err)
	}
	return nil
}

// remove ends a watch; it must come before fd is closed. Closing alone would
// not do: a child between fork and exec still holds a copy of every descriptor,
// and until its exec the events would go on.
func (p *poller) remove(fd int, h handle) {
	if h == 0 {
		return
	}
	// It can only fail for a descriptor that is not watched, and then nothing is
	// to be done.
	_ = unix.EpollCtl(p.fd, unix.EPOLL_CTL_DEL, fd, nil)
	p.release(h)
}

// wait sleeps until something is ready, or until timeout is over (negative:
// for ever), and answers how many events there are. A signal may end it early.
func (p *poller) wait(timeout time.Duration) (int, error) {
	milliseconds := -1
	if timeout >= 0 {
		// Rounded up: waking before the time would only mean to wait again. A day at
		// most, so that it fits.
		timeout = min(timeout, 24*time.Hour)
		milliseconds = int((timeout + time.Millisecond - 1) / time.Millisecond)
	}
	n, err := unix.EpollWait(p.fd, p.events, milliseconds)
	if err == unix.EINTR {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("cannot wait for events: %w", err)
	}
	return n, nil
}

// ready answers the i-th event of the last wait; false when whom it was for has
// been removed since.
func (p *poller) ready(i int) (s source, events uint32, ok bool) {
	e := &p.events[i]
	h := handle(uint32(e.Fd)) | handle(uint32(e.Pad))<<32
	slot := &p.slots[uint32(h)]
	if slot.generation != uint32(h>>32) {
		return source{}, 0, false
	}
	return slot.source, e.Events, true
}

func (p *poller) take(s source) handle {
	if len(p.free) == 0 {
		p.free = append(p.free, uint32(len(p.slots)))
		p.slots = append(p.slots, slot{generation: 1})
	}
	last := len(p.free) - 1
	i := p.free[last]
	p.free = p.free[:last]
	p.slots[i].source = s
	return handle(i) | handle(p.slots[i].generation)<<32
}

func (p *poller) release(h handle) {
	i := uint32(h)
	p.slots[i].source = source{}
	p.slots[i].generation++
	if p.slots[i].generation == 0 {
		p.slots[i].generation = 1 // or the handle of slot 0 would be none
	}
	p.free = append(p.free, i)
}

func (h handle) event(events uint32) *unix.EpollEvent {
	return &unix.EpollEvent{Events: events, Fd: int32(uint32(h)), Pad: int32(uint32(h >> 32))}
}
