package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/heroproc/heroproc/supervisor/api/rpc"
	"golang.org/x/sys/unix"
)

// ErrInUse says that somebody answers on the socket already.
var ErrInUse = errors.New("somebody answers on it already")

// probeTimeout bounds the test whether somebody answers on a socket that was
// found. Connecting to a unix socket never waits for the other side, so it only
// guards against a kernel that is very busy.
const probeTimeout = time.Second

// socket is the listening socket, and the knowledge which file it is: only that
// very file is removed at the end.
type socket struct {
	*net.UnixListener
	path string
	file os.FileInfo
	once sync.Once
	err  error
}

// bind makes the socket, readable and writable by its owner alone from its first
// moment on. A socket of ours on which nobody answers is replaced; anything else
// in its place is an error that names it, and is left alone.
//
// Between the test and the bind another daemon could do the same; the lock of
// the home, which the caller holds, keeps it out.
func bind(path string) (*socket, error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	if err := checkDir(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("cannot make the socket %s: %w", path, err)
	}
	if err := removeStale(path); err != nil {
		return nil, fmt.Errorf("cannot make the socket %s: %w", path, err)
	}
	config := net.ListenConfig{Control: private}
	listener, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, fmt.Errorf("cannot make the socket %s: %w", path, err)
	}
	s := &socket{UnixListener: listener.(*net.UnixListener), path: path}
	s.SetUnlinkOnClose(false)
	if s.file, err = os.Lstat(path); err != nil {
		listener.Close()
		return nil, fmt.Errorf("cannot find the socket just made: %w", err)
	}
	return s, nil
}

// checkPath refuses what the kernel would refuse with "invalid argument", and
// what would not be a file.
func checkPath(path string) error {
	switch {
	case !filepath.IsAbs(path):
		return fmt.Errorf("the socket path %q is not absolute", path)
	case len(path) > rpc.MaxSocketPath:
		return fmt.Errorf("the socket path %s has %d bytes, and the kernel allows %d: use a shorter home",
			path, len(path), rpc.MaxSocketPath)
	default:
		return nil
	}
}

// checkDir makes sure that nobody else can put anything in the socket's place.
func checkDir(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	switch {
	case !info.IsDir():
		return fmt.Errorf("%s is not a directory", dir)
	case owner(info) != os.Geteuid():
		return fmt.Errorf("the directory %s belongs to uid %d, not to %d", dir, owner(info), os.Geteuid())
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("others may write in the directory %s (mode %04o): chmod 700 it", dir, info.Mode().Perm())
	default:
		return nil
	}
}

// removeStale removes a socket that an earlier daemon has left.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("a %s is in its place; look at it and move it away", kind(info))
	case owner(info) != os.Geteuid():
		return fmt.Errorf("a socket of uid %d is in its place; look at it and move it away", owner(info))
	}
	conn, err := net.DialTimeout("unix", path, probeTimeout)
	switch {
	case err == nil:
		conn.Close()
		return ErrInUse
	case errors.Is(err, syscall.EAGAIN):
		// Its queue of connections is full: that is somebody, too.
		return ErrInUse
	case errors.Is(err, syscall.ECONNREFUSED):
		return os.Remove(path)
	default:
		return fmt.Errorf("cannot tell whether somebody answers on the socket that is there: %w", err)
	}
}

// private gives the socket its mode before it has a name: bind(2) makes the file
// with the mode of the socket. A chmod afterwards would leave a moment in which
// others can connect, and a umask would count for every thread of the process.
func private(_, _ string, conn syscall.RawConn) error {
	var err error
	if failed := conn.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), 0o600) }); failed != nil {
		return failed
	}
	return err
}

// Close removes the file, if it is still the one that bind made, and then stops
// listening: the other way round somebody could find a socket that nobody
// answers, replace it, and lose it. It may be called again.
func (s *socket) Close() error {
	s.once.Do(func() {
		if now, err := os.Lstat(s.path); err == nil && os.SameFile(now, s.file) {
			s.err = os.Remove(s.path)
		}
		s.err = errors.Join(s.err, s.UnixListener.Close())
	})
	return s.err
}

// peerOf asks the kernel who was at the other end when it connected. Where that
// cannot be told, the answer is nil.
func peerOf(conn net.Conn) *unix.Ucred {
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		return nil
	}
	raw, err := unixConn.SyscallConn()
	if err != nil {
		return nil
	}
	var peer *unix.Ucred
	failed := raw.Control(func(fd uintptr) { peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if failed != nil || err != nil {
		return nil
	}
	return peer
}

// mayCall tells whether a peer may use the API: a process of our own user, or of
// root. Its pid says nothing: the number may be somebody else's by now.
func mayCall(peer *unix.Ucred) bool {
	return peer != nil && (peer.Uid == 0 || int(peer.Uid) == os.Geteuid())
}

// owner is the uid that a file belongs to.
func owner(info os.FileInfo) int { return int(info.Sys().(*syscall.Stat_t).Uid) }

// kind names what somebody has put in the socket's place.
func kind(info os.FileInfo) string {
	switch info.Mode().Type() {
	case 0:
		return "regular file"
	case fs.ModeDir:
		return "directory"
	case fs.ModeSymlink:
		return "symbolic link"
	case fs.ModeNamedPipe:
		return "FIFO"
	default:
		return "device"
	}
}
