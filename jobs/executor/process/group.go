package process

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// Group is the process group that a process was started to lead, named by the
// leader's pidfd: the kernel then never mistakes another group for it, not even
// when the leader has been reaped and its pid given out again.
type Group struct {
	PIDFD int
	// PID is the leader's, for kernels before 6.9, which know no groups by pidfd.
	PID int
}

// pidfdSignalProcessGroup is PIDFD_SIGNAL_PROCESS_GROUP of Linux 6.9.
const pidfdSignalProcessGroup = 1 << 2

// Signal sends a signal to every member of the group. It answers unix.ESRCH
// when the group has none. Signal 0 only asks.
func (g Group) Signal(signal syscall.Signal) error {
	err := unix.PidfdSendSignal(g.PIDFD, signal, nil, pidfdSignalProcessGroup)
	if err == unix.EINVAL {
		return g.signalByPID(signal)
	}
	return err
}

// signalByPID is Signal where a group can only be named by number. The number
// is ours while the leader has not been reaped or a member is left; between the
// reaping and a check that follows at once, the kernel would have to give out
// all other pids first.
func (g Group) signalByPID(signal syscall.Signal) error {
	return unix.Kill(-g.PID, signal)
}

// Signal sends a signal to one process, named by its pidfd.
func Signal(pidfd int, signal syscall.Signal) error {
	return unix.PidfdSendSignal(pidfd, signal, nil, 0)
}
