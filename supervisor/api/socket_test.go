package api

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestFailure47_SocketPermissions: at no moment may others connect.
func TestFailure47_SocketPermissions(t *testing.T) {
	t.Parallel()
	path := filepath.Join(privateDir(t), "rpc.sock")
	for range 50 {
		first := make(chan os.FileMode)
		looking := make(chan struct{})
		go func() {
			close(looking)
			for {
				if info, err := os.Lstat(path); err == nil {
					first <- info.Mode().Perm()
					return
				}
			}
		}()
		<-looking
		s, err := bind(path)
		if err != nil {
			t.Fatal(err)
		}
		if mode := <-first; mode != 0o600 {
			t.Errorf("the socket began with mode %04o", mode)
		}
		if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the socket has %v, %v", info.Mode(), err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFailure48_PlantedSocket: what somebody has put in the socket's place is
// named and left alone.
func TestFailure48_PlantedSocket(t *testing.T) {
	t.Parallel()
	must := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name  string
		plant func(t *testing.T, dir, path string)
		want  string
	}{
		{
			"a file",
			func(t *testing.T, _, path string) { must(t, os.WriteFile(path, []byte("precious"), 0o600)) },
			"a regular file is in its place",
		},
		{
			"a directory",
			func(t *testing.T, _, path string) { must(t, os.Mkdir(path, 0o700)) },
			"a directory is in its place",
		},
		{
			"a FIFO",
			func(t *testing.T, _, path string) { must(t, syscall.Mkfifo(path, 0o600)) },
			"a FIFO is in its place",
		},
		{
			"a symbolic link to a socket of ours",
			func(t *testing.T, dir, path string) {
				leave(t, filepath.Join(dir, "other.sock"))
				must(t, os.Symlink("other.sock", path))
			},
			"a symbolic link is in its place",
		},
		{
			"a symbolic link to nowhere",
			func(t *testing.T, _, path string) { must(t, os.Symlink("nowhere", path)) },
			"a symbolic link is in its place",
		},
		{
			"a socket of somebody else",
			func(t *testing.T, _, path string) {
				leave(t, path)
				needRoot(t)
				must(t, os.Chown(path, 65534, 65534))
			},
			"a socket of uid 65534 is in its place",
		},
		{
			"a socket of another kind",
			func(t *testing.T, _, path string) {
				conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
				must(t, err)
				t.Cleanup(func() { conn.Close() })
			},
			"cannot tell whether somebody answers",
		},
		{
			"a socket that somebody answers",
			func(t *testing.T, _, path string) {
				listener, err := net.Listen("unix", path)
				must(t, err)
				t.Cleanup(func() { listener.Close() })
			},
			"somebody answers on it already",
		},
		{
			"a socket whose queue is full",
			func(t *testing.T, _, path string) {
				fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
				must(t, err)
				t.Cleanup(func() { unix.Close(fd) })
				must(t, unix.Bind(fd, &unix.SockaddrUnix{Name: path}))
				must(t, unix.Listen(fd, 0))
				conn, err := net.Dial("unix", path)
				must(t, err)
				t.Cleanup(func() { conn.Close() })
			},
			"somebody answers on it already",
		},
		{
			"a directory that others may write",
			func(t *testing.T, dir, _ string) { must(t, os.Chmod(dir, 0o770)) },
			"others may write in the directory",
		},
		{
			"a directory of somebody else",
			func(t *testing.T, dir, _ string) { needRoot(t); must(t, os.Chown(dir, 65534, 65534)) },
			"belongs to uid 65534, not to 0",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := privateDir(t)
			path := filepath.Join(dir, "rpc.sock")
			test.plant(t, dir, path)
			before, _ := os.Lstat(path)
			s, err := bind(path)
			if err == nil {
				s.Close()
				t.Fatal("it was replaced")
			}
			if !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v", err)
			}
			if after, _ := os.Lstat(path); (before == nil) != (after == nil) || before != nil && !os.SameFile(before, after) {
				t.Error("what was planted has changed")
			}
		})
	}

	t.Run("a socket that nobody answers is replaced", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(privateDir(t), "rpc.sock")
		leave(t, path)
		s, err := bind(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})

	t.Run("a socket that has taken our place outlives us", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(privateDir(t), "rpc.sock")
		ours, err := bind(path)
		if err != nil {
			t.Fatal(err)
		}
		must(t, os.Rename(path, path+".old"))
		leave(t, path)
		must(t, ours.Close())
		if _, err := os.Lstat(path); err != nil {
			t.Error(err)
		}
	})
}

func TestSocketPathsThatCannotWork(t *testing.T) {
	t.Parallel()
	dir := privateDir(t)
	long := filepath.Join(dir, strings.Repeat("x", 107-len(dir)))
	for path, want := range map[string]string{
		long:                              fmt.Sprintf("the socket path %s has 108 bytes, and the kernel allows 107", long),
		"rpc.sock":                        `the socket path "rpc.sock" is not absolute`,
		"@rpc.sock":                       `the socket path "@rpc.sock" is not absolute`,
		filepath.Join(dir, "no/rpc.sock"): "no such file or directory",
	} {
		if s, err := bind(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v %v", path, s, err)
		}
	}
	s, err := bind(long[:107])
	if err != nil {
		t.Fatalf("a path of 107 bytes: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// leave makes a socket that nobody answers.
func leave(t *testing.T, path string) {
	t.Helper()
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	listener.SetUnlinkOnClose(false)
	listener.Close()
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can be two users")
	}
}

// strangerEnv makes the test binary a caller of another user, on that socket.
const strangerEnv = "API_TEST_STRANGER"

// callAsStranger asks for health and prints what it is told.
func callAsStranger(socket string) {
	conn, err := net.Dial("unix", socket)
	if err == nil {
		_, err = io.WriteString(conn, "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	}
	if err == nil {
		_, err = io.Copy(os.Stdout, conn)
	}
	if err != nil {
		fmt.Println(err)
	}
	os.Exit(0)
}

// TestFailure49_WhoIsCalling: even where the files let another user through, the
// server does not.
func TestFailure49_WhoIsCalling(t *testing.T) {
	t.Parallel()
	needRoot(t)
	call := func(t *testing.T, b *bench, uid uint32) string {
		t.Helper()
		child := exec.CommandContext(t.Context(), "/proc/self/exe")
		child.Env = []string{strangerEnv + "=" + b.config.Socket}
		child.Dir = "/"
		child.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		text, err := child.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		return string(text)
	}
	b := setup(t, &fakeRuns{})
	if text := call(t, b, 65534); !strings.Contains(text, "permission denied") {
		t.Errorf("the files let a stranger through: %s", text)
	}
	if err := errors.Join(os.Chmod(filepath.Dir(b.config.Socket), 0o755), os.Chmod(b.config.Socket, 0o666)); err != nil {
		t.Fatal(err)
	}
	const want = `{"code":-32003,"message":"this daemon serves only its own user and root"}`
	if text := call(t, b, 65534); !strings.Contains(text, "403 Forbidden") || !strings.Contains(text, want) {
		t.Errorf("a stranger got %s", text)
	}
	if log := b.log.String(); !strings.Contains(log, "a caller of another user is refused") || !strings.Contains(log, "Uid:65534") {
		t.Errorf("the log has %s", log)
	}
	if text := call(t, b, 0); !strings.Contains(text, "200 OK") {
		t.Errorf("root got %s", text)
	}
	response, _ := b.do(t, http.MethodGet, "/health", nil)
	if response.StatusCode != http.StatusOK {
		t.Errorf("the owner got HTTP %s", response.Status)
	}
}
