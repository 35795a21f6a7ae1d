package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// lockTries is how often a lock is tried whose holder is gone by the time it is
// looked up: another daemon that starts may have it then.
const lockTries = 3

// Lock makes this process the one daemon of the home, until it ends or closes
// what is answered. The error names the daemon that is there already.
func (h Home) Lock() (io.Closer, error) {
	file, err := os.OpenFile(h.lockFile(), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock the home directory: %w", err)
	}
	if err := h.lock(file); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

func (h Home) lock(file *os.File) error {
	name := ""
	for range lockTries {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return fmt.Errorf("cannot lock %s: %w", file.Name(), err)
		}
		if pid := holder(file); pid > 0 {
			name = fmt.Sprintf(" (pid %d)", pid)
			break
		}
	}
	return fmt.Errorf("a daemon runs on %s already%s; stop it with: heroproc --home %[1]s shutdown", h.Path, name)
}

// holder asks the kernel which process holds the lock of a file; 0 if none that
// can be seen from here does. A pid that was written down would be another's for
// a moment: the last daemon's, until the new one has written its own.
func holder(file *os.File) (pid int) {
	var stat unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &stat); err != nil {
		return 0
	}
	locks, err := os.Open("/proc/locks")
	if err != nil {
		return 0
	}
	defer locks.Close()
	want := fmt.Sprintf("%02x:%02x:%d", unix.Major(stat.Dev), unix.Minor(stat.Dev), stat.Ino)
	for lines := bufio.NewScanner(locks); lines.Scan(); {
		// Such as "1: FLOCK  ADVISORY  WRITE 4711 fe:00:9977923 0 EOF".
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 || fields[1] != "FLOCK" || fields[5] != want {
			continue
		}
		if _, err := fmt.Sscan(fields[4], &pid); err == nil {
			return pid
		}
	}
	return 0
}
