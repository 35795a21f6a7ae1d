package executor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	socketName = "executor.sock"
	lockName   = "executor.lock"

	// maxLoops bounds what a welcome can make a client connect to.
	maxLoops = 4096
	// The waits between two looks at an executor that holds the lock and does not
	// listen: it is just coming or just going, which takes milliseconds.
	firstLook = time.Millisecond
	lastLook  = 100 * time.Millisecond
)

func lockPath(home string) string { return filepath.Join(home, lockName) }

// Attach connects to the executor that holds the home's lock, or starts one
// when the lock is free, and answers what it knew. An executor that holds the
// lock and does not answer is an *UnansweredError, one of another version a
// *ProtocolError. Ending the context ends only the attempt to attach.
func Attach(ctx context.Context, o ClientOptions) (*Client, *Attached, error) {
	if o.AnswerTimeout <= 0 {
		o.AnswerTimeout = DefaultAnswerTimeout
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	home, err := filepath.Abs(o.Home)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot attach to an executor: %w", err)
	}
	o.Home = home
	a := attacher{options: o}
	c, attached, err := a.attach(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot attach to the executor of %s: %w", home, err)
	}
	return c, attached, nil
}

// attacher is one Attach.
type attacher struct {
	options ClientOptions
	spawned *spawned // the executor started by this Attach; nil before
}

// attach tries until somebody answers or is found to hang. It looks again after
// a moment where an executor holds the lock but its socket leads nowhere: that
// one is about to listen, or about to be gone.
func (a *attacher) attach(ctx context.Context) (*Client, *Attached, error) {
	var waited time.Duration
	for wait := firstLook; ; wait = min(2*wait, lastLook) {
		pid, held, err := lockHolder(a.options.Home)
		if err != nil {
			return nil, nil, err
		}
		if ctx.Err() != nil {
			return nil, nil, context.Cause(ctx)
		}
		if !held {
			if a.spawned != nil {
				return nil, nil, a.spawned.failure(ctx, a.options.AnswerTimeout)
			}
			if a.spawned, err = spawn(ctx, a.options); err != nil {
				return nil, nil, err
			}
			pid = a.spawned.pid
		}
		c, attached, err := a.connect(ctx)
		switch {
		case err == nil:
			return c, attached, nil
		case ctx.Err() != nil:
			return nil, nil, context.Cause(ctx)
		case errors.Is(err, os.ErrDeadlineExceeded) || waited >= a.options.AnswerTimeout:
			return nil, nil, &UnansweredError{PID: pid, Home: a.options.Home, Err: err}
		case !leadsNowhere(err):
			return nil, nil, err
		}
		select {
		case <-time.After(wait):
			waited += wait
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		}
	}
}

// leadsNowhere tells a socket nobody listens on any more, or not yet, from one
// whose owner has something to say.
func leadsNowhere(err error) bool {
	for _, nowhere := range []error{
		fs.ErrNotExist, syscall.ECONNREFUSED, syscall.EAGAIN, syscall.ECONNRESET, syscall.EPIPE, errHungUp,
	} {
		if errors.Is(err, nowhere) {
			return true
		}
	}
	return false
}

// lockHolder answers whether an executor holds the home, and its pid as it has
// written it into the lock; 0 if it has not.
func lockHolder(home string) (pid int, held bool, err error) {
	f, err := os.Open(lockPath(home))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("cannot look at the executor's lock: %w", err)
	}
	defer f.Close() // and with it goes the lock, if it was free
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return 0, false, nil
	}
	if !errors.Is(err, syscall.EWOULDBLOCK) {
		return 0, false, fmt.Errorf("cannot try the executor's lock %s: %w", f.Name(), err)
	}
	text := make([]byte, 32)
	n, _ := f.ReadAt(text, 0) // what is there says the pid, or it stays unknown
	pid, _ = strconv.Atoi(strings.TrimSpace(string(text[:n])))
	return pid, true, nil
}

// connect makes a link to every loop. Nothing of it stays after an error.
func (a *attacher) connect(ctx context.Context) (_ *Client, _ *Attached, err error) {
	c := &Client{}
	defer func() {
		if err != nil {
			c.disconnect()
		}
	}()
	first, err := a.greet(ctx, 0)
	if err != nil {
		return nil, nil, err
	}
	c.links = make([]*link, first.welcome.loops)
	c.links[0] = first
	parts := make([]Attached, len(c.links))
	failures := make([]error, len(c.links))
	var loops sync.WaitGroup
	for i := range c.links {
		loops.Go(func() {
			if i > 0 {
				if c.links[i], failures[i] = a.greet(ctx, uint32(i)); failures[i] != nil {
					return
				}
			}
			failures[i] = a.catchUp(ctx, c.links[i], &parts[i])
		})
	}
	loops.Wait()
	c.links = slices.DeleteFunc(c.links, func(l *link) bool { return l == nil })
	if err := cmp.Or(failures...); err != nil {
		return nil, nil, err
	}
	attached, err := joinParts(c.links, parts)
	if err != nil {
		return nil, nil, err
	}
	for _, l := range c.links {
		c.senders.Go(func() {
			if err := l.send(); err != nil {
				c.lose(err)
			}
		})
	}
	return c, attached, nil
}

// joinParts makes one answer of what the loops have said.
func joinParts(links []*link, parts []Attached) (*Attached, error) {
	w := links[0].welcome
	all := &Attached{Whole: true, Info: Info{
		PID:       w.pid,
		StartedAt: w.startedAt,
		Version:   w.version,
		Protocol:  w.protocol,
		BootID:    w.bootID,
		Loops:     len(links),
	}}
	for i, l := range links {
		if l.welcome.pid != w.pid || !l.welcome.startedAt.Equal(w.startedAt) || l.welcome.loops != w.loops {
			return nil, fmt.Errorf("executor %d took the place of %d: %w", l.welcome.pid, w.pid, errHungUp)
		}
		all.Whole = all.Whole && l.welcome.whole
		all.Info.Epochs = append(all.Info.Epochs, l.welcome.epoch)
		all.Events = append(all.Events, parts[i].Events...)
		all.Live = append(all.Live, parts[i].Live...)
	}
	// Every epoch of a former executor is smaller than those of this one.
	slices.SortStableFunc(all.Events, func(a, b Event) int { return cmp.Compare(a.Epoch, b.Epoch) })
	return all, nil
}

// greet connects to one loop and exchanges hello and welcome.
func (a *attacher) greet(ctx context.Context, loop uint32) (_ *link, err error) {
	conn, err := dial(ctx, a.options.Home)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = conn.Close() // nothing was sent that could be lost
		}
	}()
	stop := hurry(ctx, conn)
	defer stop()
	l := newLink(conn)
	h := hello{protocol: protocolVersion, loop: loop, positions: a.options.Positions}
	if err := conn.SetWriteDeadline(time.Now().Add(a.options.AnswerTimeout)); err != nil {
		return nil, err
	}
	if _, err := conn.Write(appendFrame(nil, frameHello, appendHello, h)); err != nil {
		return nil, fmt.Errorf("cannot greet the executor: %w", err)
	}
	kind, payload, err := a.await(l)
	if err != nil {
		return nil, err
	}
	if kind != frameWelcome {
		return nil, fmt.Errorf("the executor answered a hello by a frame of kind %d", kind)
	}
	if l.welcome, err = decodeWelcome(payload); err != nil {
		return nil, err
	}
	switch w := l.welcome; {
	case w.protocol != protocolVersion:
		return nil, &ProtocolError{
			PID: w.pid, Version: w.version, Theirs: w.protocol, Ours: protocolVersion, TheirsFailure: w.failure,
		}
	case w.failure != "":
		return nil, fmt.Errorf("executor %s (pid %d) refuses: %s", w.version, w.pid, w.failure)
	case w.loops == 0 || w.loops > maxLoops:
		return nil, fmt.Errorf("executor %s (pid %d) says it has %d loops", w.version, w.pid, w.loops)
	}
	return l, nil
}

// catchUp reads a loop's replay, until what comes happens now.
func (a *attacher) catchUp(ctx context.Context, l *link, part *Attached) error {
	stop := hurry(ctx, l.conn)
	defer stop()
	for {
		kind, payload, err := a.await(l)
		if err != nil {
			return err
		}
		switch kind {
		case frameEvent:
			e, err := decodeEventFrame(payload)
			if err != nil {
				return err
			}
			part.Events = append(part.Events, e)
		case frameLive:
			live, err := decodeLive(payload)
			if err != nil {
				return err
			}
			part.Live = append(part.Live, live)
		case frameCaughtUp:
			if !stop() {
				return context.Cause(ctx)
			}
			return l.conn.SetDeadline(time.Time{})
		default:
			return fmt.Errorf("the executor sent a frame of kind %d while it was caught up with", kind)
		}
	}
}

// await answers the next frame. Each byte that comes buys the executor another
// AnswerTimeout: a long replay is no silence.
func (a *attacher) await(l *link) (frameKind, []byte, error) {
	for {
		kind, payload, ok, err := l.in.next()
		if ok || err != nil {
			return kind, payload, err
		}
		if err := l.conn.SetReadDeadline(time.Now().Add(a.options.AnswerTimeout)); err != nil {
			return 0, nil, err
		}
		if err := l.in.fill(); err != nil {
			return 0, nil, fmt.Errorf("cannot hear the executor: %w", err)
		}
	}
}

// hurry makes the end of the context end what waits on the connection. The
// function it answers takes that back, and says whether it was in time.
func hurry(ctx context.Context, conn net.Conn) (stop func() bool) {
	return context.AfterFunc(ctx, func() { conn.Close() })
}

// dial connects to the home's socket. It goes by the open directory, because a
// socket's path may have no more than 107 bytes and a home's may.
func dial(ctx context.Context, home string) (*net.UnixConn, error) {
	path := filepath.Join(home, socketName)
	dir, err := os.Open(home)
	if err != nil {
		return nil, fmt.Errorf("cannot connect to %s: %w", path, err)
	}
	defer dir.Close()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), socketName))
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err // it names a path nobody knows
		}
		return nil, fmt.Errorf("cannot connect to %s: %w", path, err)
	}
	unix := conn.(*net.UnixConn)
	if err := checkPeer(unix); err != nil {
		_ = unix.Close() // nothing was sent that could be lost
		return nil, fmt.Errorf("cannot trust %s: %w", path, err)
	}
	return unix, nil
}

// checkPeer makes sure that the other end is of our own user or root: orders
// carry environments that nobody else may see.
func checkPeer(conn *net.UnixConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var peer *syscall.Ucred
	var failure error
	err = raw.Control(func(fd uintptr) {
		peer, failure = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err := cmp.Or(err, failure); err != nil {
		return err
	}
	if uid := uint32(os.Getuid()); peer.Uid != uid && peer.Uid != 0 {
		return fmt.Errorf("it belongs to user %d, we are %d", peer.Uid, uid)
	}
	return nil
}
