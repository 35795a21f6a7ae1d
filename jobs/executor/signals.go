package executor

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The signals that Go's runtime leaves alone: C libraries use them for threads.
// Everything else it catches, or we do, and what is caught is reset by a
// child's exec. But what is ignored stays ignored, and some shells and makes
// start programs with these ignored.
const (
	firstUncaught = 32
	lastUncaught  = 34
)

// sigaction is the kernel's own struct sigaction, or as much of it as is read
// or written; all zero it means the default action.
type sigaction struct {
	handler uintptr
	flags   uint64
	rest    [2]uint64
}

// signalIgnored is SIG_IGN.
const signalIgnored = 1

// sigsetBytes is the size of the kernel's signal set.
const sigsetBytes = 8

// stopIgnoring gives signals that whoever started us has ignored, and that Go
// does not catch, their default action: a child begins with none ignored.
func stopIgnoring() error {
	for signal := uintptr(firstUncaught); signal <= lastUncaught; signal++ {
		var now, defaults sigaction
		if _, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, signal, 0, uintptr(unsafe.Pointer(&now)), sigsetBytes, 0, 0); errno != 0 {
			return fmt.Errorf("cannot read the action of signal %d: %w", signal, errno)
		}
		if now.handler != signalIgnored {
			continue
		}
		if _, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, signal, uintptr(unsafe.Pointer(&defaults)), 0, sigsetBytes, 0, 0); errno != 0 {
			return fmt.Errorf("cannot reset the action of signal %d: %w", signal, errno)
		}
	}
	return nil
}
