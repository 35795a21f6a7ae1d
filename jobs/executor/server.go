package executor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// helloTimeout is how long a connection may take to say hello.
	helloTimeout = 5 * time.Second
	// helloLimit bounds a hello in bytes; 16 for each epoch the daemon knows.
	helloLimit = 1 << 20
	// maxStrangers is how many connections may be about to say hello at once,
	// beside those of one daemon that greets every loop.
	maxStrangers = 64
)

// door is where daemons come in: it listens, makes sure of who is there, and
// hands each connection to the loop that it asks for.
type door struct {
	settings *settings
	loops    []*loop
	listener *net.UnixListener
	path     string

	mu        sync.Mutex
	strangers map[net.Conn]bool // have not said hello yet
	closed    bool
	waiting   sync.WaitGroup
}

// listen makes the socket, for our own user alone. A socket that is there
// belongs to an executor that is gone, since we hold the lock.
func listen(s *settings, loops []*loop) (*door, error) {
	path := filepath.Join(s.Home, socketName)
	if err := removeStale(path); err != nil {
		return nil, err
	}
	// The kernel limits the path of a socket to 107 bytes, but not where a short
	// one leads.
	dir, err := os.Open(s.Home)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", path, err)
	}
	defer dir.Close()
	address := fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), socketName)
	// The socket is made with the mode it is to have: changing it afterwards would
	// leave a moment in which others could come in. Nothing else makes files yet.
	old := unix.Umask(0o177)
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: address, Net: "unix"})
	unix.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", path, err)
	}
	listener.SetUnlinkOnClose(false) // we remove it ourselves, by its real path
	return &door{settings: s, loops: loops, listener: listener, path: path, strangers: make(map[net.Conn]bool)}, nil
}

// removeStale removes a socket of ours that nobody listens on any more. What is
// no socket of ours is not touched.
func removeStale(path string) error {
	var s unix.Stat_t
	err := unix.Lstat(path, &s)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w", path, err)
	}
	if s.Mode&unix.S_IFMT != unix.S_IFSOCK || int(s.Uid) != os.Geteuid() {
		return fmt.Errorf("cannot listen on %s: something is in the way that is not our socket; move it away", path)
	}
	if err := unix.Unlink(path); err != nil {
		return fmt.Errorf("cannot remove the old socket %s: %w", path, err)
	}
	return nil
}

// serve accepts connections until close.
func (d *door) serve() {
	for {
		conn, err := d.listener.AcceptUnix()
		switch {
		case err == nil:
			d.admit(conn)
		case errors.Is(err, net.ErrClosed):
			return
		default:
			// Mostly for want of descriptors; they come back.
			d.settings.Logger.Error("cannot accept a connection", "err", err)
			time.Sleep(retryPause)
		}
	}
}

// close stops listening, lets strangers go and removes the socket. It may be
// called twice.
func (d *door) close() {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return
	}
	d.closed = true
	_ = unix.Unlink(d.path) // before it goes deaf: who comes later sees that nobody is here
	_ = d.listener.Close()
	for conn := range d.strangers {
		_ = conn.Close()
	}
	d.mu.Unlock()
	d.waiting.Wait()
}

// admit lets a stranger say hello, beside others, so that a silent one keeps
// nobody waiting.
func (d *door) admit(conn *net.UnixConn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || len(d.strangers) >= maxStrangers+len(d.loops) {
		_ = conn.Close()
		return
	}
	d.strangers[conn] = true
	d.waiting.Go(func() {
		defer func() {
			_ = conn.Close() // the loop has a descriptor of its own
			d.mu.Lock()
			defer d.mu.Unlock()
			delete(d.strangers, conn)
		}()
		if err := d.greet(conn); err != nil {
			d.settings.Logger.Warn("connection refused", "err", err)
		}
	})
}

// greet reads the hello and hands the connection to its loop.
func (d *door) greet(conn *net.UnixConn) error {
	if err := checkPeer(conn); err != nil {
		return err
	}
	if err := conn.SetDeadline(time.Now().Add(helloTimeout)); err != nil {
		return err
	}
	h, err := readHello(conn)
	if err != nil {
		return err
	}
	refusal := ""
	if h.protocol != protocolVersion {
		refusal = fmt.Sprintf("it speaks protocol %d, this executor %d", h.protocol, protocolVersion)
	} else if h.loop >= uint32(len(d.loops)) {
		refusal = fmt.Sprintf("it asks for loop %d of %d", h.loop, len(d.loops))
	}
	if refusal != "" {
		answer := appendFrame(nil, frameWelcome, appendWelcome, welcome{
			protocol:  protocolVersion,
			pid:       d.settings.pid,
			startedAt: d.settings.startedAt,
			version:   d.settings.Version,
			failure:   refusal,
		})
		_, err := conn.Write(answer)
		return errors.Join(errors.New(refusal), err)
	}
	fd, err := duplicate(conn)
	if err != nil {
		return err
	}
	d.settings.census.daemons(+1)
	d.loops[h.loop].mailbox.put(func(l *loop) { l.attach(visitor{fd: fd, hello: h}) })
	return nil
}

// readHello reads exactly one frame: what follows is the loop's to read.
func readHello(conn io.Reader) (hello, error) {
	frame := make([]byte, frameHeaderBytes)
	if _, err := io.ReadFull(conn, frame); err != nil {
		return hello{}, fmt.Errorf("it does not say hello: %w", err)
	}
	length := binary.LittleEndian.Uint32(frame)
	if frameKind(frame[4]) != frameHello || length > helloLimit {
		return hello{}, errors.New("it does not begin with a hello")
	}
	payload := make([]byte, length)
	if _, err := io.ReadFull(conn, payload); err != nil {
		return hello{}, fmt.Errorf("it does not end its hello: %w", err)
	}
	return decodeHello(payload)
}

// duplicate answers a descriptor of the connection that belongs to nobody else.
func duplicate(conn *net.UnixConn) (int, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd := -1
	var failure error
	if err := raw.Control(func(original uintptr) {
		fd, failure = unix.FcntlInt(original, syscall.F_DUPFD_CLOEXEC, 3)
	}); err != nil {
		return -1, err
	}
	if failure != nil {
		return -1, fmt.Errorf("cannot take the connection over: %w", failure)
	}
	return fd, nil
}
