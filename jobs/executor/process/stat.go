package process

import (
	"bytes"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// Stat is what /proc/PID/stat says of a process, as far as anybody here asks.
type Stat struct {
	PID int
	// Command is the name of the executable, cut to 15 bytes by the kernel.
	Command string
	// State is the kernel's letter, such as 'R', 'S', 'D' (uninterruptible sleep)
	// or 'Z' (ended, not yet reaped).
	State byte
	// Parent, Group and Session are pids.
	Parent, Group, Session int
	// Threads counts its threads; a 'Z' with more than one still runs.
	Threads int
	// StartTicks is when it started, in clock ticks since boot.
	StartTicks uint64
	// ExitStatus is the wait status of a process that has ended; 0 for one that
	// has not, and for one whose status we may not see.
	ExitStatus unix.WaitStatus
}

// Ended says that no instruction of the process runs any more: it waits to be
// reaped, or is just being.
func (s Stat) Ended() bool {
	return (s.State == 'Z' || s.State == 'X') && s.Threads <= 1
}

// ReadStat reads what the kernel knows of pid. The error is unix.ENOENT or
// unix.ESRCH when there is no such process.
//
// It uses bare system calls, because it is called for each of maybe thousands
// of processes: through package os the same costs twice as much.
func ReadStat(pid int) (Stat, error) {
	var path [32]byte
	name := strconv.AppendInt(append(path[:0], "/proc/"...), int64(pid), 10)
	var buffer [1024]byte // the kernel's longest line is about 400 bytes
	text, err := readInto(string(append(name, "/stat"...)), buffer[:])
	if err != nil {
		return Stat{}, err
	}
	return parseStat(text)
}

// readInto reads a file of /proc that fits into buffer.
func readInto(path string, buffer []byte) ([]byte, error) {
	fd, err := openRead(path)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	n, err := unix.Read(fd, buffer)
	if err != nil {
		return nil, err
	}
	return buffer[:n], nil
}

func openRead(path string) (int, error) {
	for {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// The fields of /proc/PID/stat behind the command, counted from 0 (field 3 of
// proc(5), the state).
const (
	fieldState      = 0
	fieldParent     = 1
	fieldGroup      = 2
	fieldSession    = 3
	fieldThreads    = 17
	fieldStartTicks = 19
	fieldExitStatus = 49
)

// parseStat takes a line of /proc/PID/stat apart. The command stands in
// parentheses and may itself hold spaces and parentheses, hence the search for
// the last one.
func parseStat(line []byte) (Stat, error) {
	open, end := bytes.IndexByte(line, '('), bytes.LastIndexByte(line, ')')
	if open < 1 || end < open {
		return Stat{}, fmt.Errorf("cannot read process status %q: no command in parentheses", line)
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(line[:open])))
	if err != nil {
		return Stat{}, fmt.Errorf("cannot read process status %q: no pid", line)
	}
	s := Stat{PID: pid, Command: string(line[open+1 : end])}
	field := 0
	for text := range bytes.FieldsSeq(line[end+1:]) {
		if field == fieldState {
			s.State = text[0]
		} else if n, ok := parseNumber(text); !ok {
			return Stat{}, fmt.Errorf("cannot read process status %q: field %d is no number", line, field+3)
		} else {
			s.set(field, n)
		}
		field++
	}
	if field <= fieldStartTicks {
		return Stat{}, fmt.Errorf("cannot read process status %q: it ends early", line)
	}
	return s, nil
}

func (s *Stat) set(field int, n int64) {
	switch field {
	case fieldParent:
		s.Parent = int(n)
	case fieldGroup:
		s.Group = int(n)
	case fieldSession:
		s.Session = int(n)
	case fieldThreads:
		s.Threads = int(n)
	case fieldStartTicks:
		s.StartTicks = uint64(n)
	case fieldExitStatus:
		s.ExitStatus = unix.WaitStatus(n)
	}
}

// parseNumber reads a decimal number as the kernel prints it. Numbers over 63
// bits, such as a resource limit, wrap: none of the fields we keep is one.
func parseNumber(text []byte) (n int64, ok bool) {
	digits := bytes.TrimPrefix(text, []byte("-"))
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	if len(digits) < len(text) {
		n = -n
	}
	return n, len(digits) > 0
}
