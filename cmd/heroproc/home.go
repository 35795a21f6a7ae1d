package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/heroproc/heroproc/supervisor/api/rpc"
)

const (
	// rootHome is where root's heroproc lives.
	rootHome = "/var/lib/heroproc"
	// longestSocket is the longest name of a socket in a home.
	longestSocket = "executor.sock"
)

// Home is the one directory that holds everything of one heroproc: database,
// sockets, journal, logs and backups.
type Home struct {
	// Path is absolute.
	Path string
}

// ResolveHome says where the home is: the flag, else the directory of
// $HEROPROC_SOCKET (which a job is given), else $HEROPROC_HOME, else the usual
// place of the user.
func ResolveHome(flag string, getenv func(string) string, uid int) (Home, error) {
	path := flag
	if socket := getenv("HEROPROC_SOCKET"); path == "" && socket != "" {
		path = filepath.Dir(socket)
	}
	if path == "" {
		path = getenv("HEROPROC_HOME")
	}
	if path == "" && uid == 0 {
		path = rootHome
	}
	if state := getenv("XDG_STATE_HOME"); path == "" && state != "" {
		path = filepath.Join(state, "heroproc")
	}
	if user := getenv("HOME"); path == "" && user != "" {
		path = filepath.Join(user, ".local", "state", "heroproc")
	}
	if path == "" {
		return Home{}, badInput("cannot tell where the home directory is: HOME is not set; name it with --home")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return Home{}, fmt.Errorf("cannot resolve the home directory: %w", err)
	}
	if socket := filepath.Join(path, longestSocket); len(socket) > rpc.MaxSocketPath {
		return Home{}, badInput("the home directory's path is too long: the socket %s has %d bytes and the kernel takes at most %d; choose a shorter one with --home",
			socket, len(socket), rpc.MaxSocketPath)
	}
	return Home{Path: path}, nil
}

// Socket is where the daemon answers.
func (h Home) Socket() string { return filepath.Join(h.Path, "rpc.sock") }

// Database is the file that remembers everything.
func (h Home) Database() string { return filepath.Join(h.Path, "heroproc.db") }

// Backups holds copies of the database made before migrations.
func (h Home) Backups() string { return filepath.Join(h.Path, "backups") }

// lockFile is held by the daemon for its life and names its pid.
func (h Home) lockFile() string { return filepath.Join(h.Path, "daemon.lock") }

// Prepare makes the directory if need be, and refuses one that somebody else
// could look into or write to: whoever can, can act as the daemon's user.
func (h Home) Prepare() error {
	if err := os.MkdirAll(filepath.Dir(h.Path), 0o755); err != nil {
		return fmt.Errorf("cannot make the home directory: %w", err)
	}
	if err := os.Mkdir(h.Path, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("cannot make the home directory: %w", err)
	}
	info, err := os.Stat(h.Path)
	if err != nil {
		return fmt.Errorf("cannot use the home directory: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("cannot use the home directory: %s is not a directory", h.Path)
	}
	if owner := info.Sys().(*syscall.Stat_t).Uid; int(owner) != os.Geteuid() {
		return fmt.Errorf("cannot use the home directory: %s belongs to uid %d and not to uid %d, which runs the daemon; name another with --home",
			h.Path, owner, os.Geteuid())
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("cannot use the home directory: %s is open to others (mode %04o); close it with: chmod 700 %[1]s", h.Path, mode)
	}
	if err := unix.Access(h.Path, unix.W_OK|unix.X_OK); err != nil {
		return fmt.Errorf("cannot use the home directory: %s is not writable: %w", h.Path, err)
	}
	return nil
}
