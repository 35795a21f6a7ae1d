package process

import (
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pidfdInfo is struct pidfd_info of Linux 6.15, version 1 (64 bytes).
type pidfdInfo struct {
	Mask     uint64
	CgroupID uint64
	PID      uint32
	TGID     uint32
	PPID     uint32
	IDs      [8]uint32
	ExitCode int32
}

const (
	pidfdInfoExit = 1 << 3     // PIDFD_INFO_EXIT
	pidfdGetInfo  = 0xC040FF0B // PIDFD_GET_INFO for a struct of 64 bytes
)

// ExitStatus answers how a process ended that is no child of ours, after its
// pidfd has become readable: from /proc while it waits for its parent to reap
// it, and from its pidfd afterwards, where the kernel keeps it (Linux 6.15).
// It answers false when nobody can know any more, or when it has not ended.
func ExitStatus(id Identity, pidfd int) (unix.WaitStatus, bool) {
	if s, err := ReadStat(id.PID); err == nil && s.StartTicks == id.StartTicks {
		if !s.Ended() {
			return 0, false
		}
		// A kernel that does not let us see the status shows 0, which would also be
		// success: PTRACE access is needed, and we have it for our own user's
		// processes and as root.
		return s.ExitStatus, s.ExitStatus != 0 || mayTrace(id.PID)
	}
	info := pidfdInfo{Mask: pidfdInfoExit}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(pidfd), pidfdGetInfo, uintptr(unsafe.Pointer(&info)))
	if errno != 0 || info.Mask&pidfdInfoExit == 0 {
		return 0, false
	}
	return unix.WaitStatus(info.ExitCode), true
}

// mayTrace tells whether the kernel shows us what it keeps from strangers: a
// process of our own user, or any if we are root.
func mayTrace(pid int) bool {
	uid := os.Geteuid()
	if uid == 0 {
		return true
	}
	var s unix.Stat_t
	return unix.Stat("/proc/"+strconv.Itoa(pid), &s) == nil && int(s.Uid) == uid
}
