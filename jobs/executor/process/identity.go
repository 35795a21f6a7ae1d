package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Identity names one process for ever: the kernel gives a pid out again, but
// not with the same start time in the same boot.
type Identity struct {
	PID int
	// StartTicks is the kernel's start time, in clock ticks since boot.
	StartTicks uint64
}

// ErrGone says that the process of an Identity does not exist any more, even if
// its pid does.
var ErrGone = errors.New("the process is gone")

// BootID names this boot of the machine; nothing that ran in another one lives.
func BootID() (string, error) {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("cannot read the boot id: %w", err)
	}
	return string(bytes.TrimSpace(text)), nil
}

// Ticks is the kernel's time in what /proc counts start times in: clock ticks
// since boot, also of a machine that was suspended.
func Ticks() uint64 { return uint64(sinceBoot() / tick) }

// tick is one of USER_HZ ticks a second. The number is part of Linux's ABI, 100
// on every architecture Go runs on.
const tick = time.Second / 100

// Age answers how long ago a process started, by a clock that nobody can set.
func (i Identity) Age() time.Duration {
	return max(0, sinceBoot()-time.Duration(i.StartTicks)*tick)
}

func sinceBoot() time.Duration {
	var now unix.Timespec
	// It cannot fail: no kernel we run on lacks the clock.
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &now)
	return time.Duration(now.Nano())
}

// Open opens a pidfd of exactly this process, which may be a zombie. The error
// is ErrGone when it does not exist any more.
func (i Identity) Open() (pidfd int, err error) {
	pidfd, err = unix.PidfdOpen(i.PID, 0)
	switch {
	case errors.Is(err, unix.ESRCH), errors.Is(err, unix.EINVAL):
		// EINVAL: the pid is that of a thread today.
		return -1, ErrGone
	case err != nil:
		return -1, fmt.Errorf("cannot open process %d: %w", i.PID, err)
	}
	// The pidfd holds on to whatever had the pid when it was opened; if the pid
	// still means our process now, it was our process then.
	if s, err := ReadStat(i.PID); err != nil || s.StartTicks != i.StartTicks {
		unix.Close(pidfd)
		return -1, ErrGone
	}
	return pidfd, nil
}

// Kill sends SIGKILL to exactly this process. That it is gone already is no
// error.
func (i Identity) Kill() error {
	pidfd, err := i.Open()
	if errors.Is(err, ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(pidfd)
	err = unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0)
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("cannot kill process %d: %w", i.PID, err)
	}
	return nil
}
