package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Orphans are the processes that came to us because their parent died: we are
// their subreaper, and Linux makes them children of our main thread. What our
// other threads have started themselves is not among them.
type Orphans struct {
	fd     int
	buffer []byte
}

// OpenOrphans keeps the kernel's list of orphans open, so that asking whether
// there are any costs one system call. One Orphans serves one goroutine.
func OpenOrphans() (*Orphans, error) {
	pid := strconv.Itoa(os.Getpid())
	path := "/proc/self/task/" + pid + "/children"
	fd, err := openRead(path)
	if err != nil {
		return nil, fmt.Errorf("cannot open %s: %w", path, err)
	}
	return &Orphans{fd: fd, buffer: make([]byte, 4096)}, nil
}

// Close lets go of the list.
func (o *Orphans) Close() error { return unix.Close(o.fd) }

// PIDs lists the orphans, zombies among them. The list is what the kernel had
// while it was read: whoever needs certainty reads again until nothing changes.
func (o *Orphans) PIDs() ([]int, error) {
	var list []int
	var offset int64
	rest := 0 // bytes of a pid that was cut at the end of the buffer
	for {
		n, err := unix.Pread(o.fd, o.buffer[rest:], offset)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cannot list orphans: %w", err)
		}
		if n == 0 {
			return appendPIDs(list, o.buffer[:rest]), nil
		}
		offset += int64(n)
		text := o.buffer[:rest+n]
		whole := bytes.LastIndexByte(text, ' ') + 1
		list = appendPIDs(list, text[:whole])
		rest = copy(o.buffer, text[whole:])
	}
}

func appendPIDs(list []int, text []byte) []int {
	for field := range bytes.FieldsSeq(text) {
		if pid, ok := parseNumber(field); ok {
			list = append(list, int(pid))
		}
	}
	return list
}

// Children lists the children of all threads of pid; none if it is gone.
func Children(pid int) []int {
	var list []int
	threads := "/proc/" + strconv.Itoa(pid) + "/task"
	entries, err := os.ReadDir(threads)
	if err != nil {
		return nil
	}
	for _, thread := range entries {
		text, err := os.ReadFile(threads + "/" + thread.Name() + "/children")
		if err == nil {
			list = appendPIDs(list, text)
		}
	}
	return list
}

// TokenVariable is the variable by which every process of an attempt is known:
// children inherit it, and the kernel shows it even of a process that has taken
// it out of its own environment.
const TokenVariable = "HEROPROC_TOKEN"

// Token answers the value of TokenVariable that pid was executed with; "" if it
// has none, is gone, or may not be looked into.
func Token(pid int) string {
	environment, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return ""
	}
	for variable := range bytes.SplitSeq(environment, []byte{0}) {
		if value, ok := bytes.CutPrefix(variable, []byte(TokenVariable+"=")); ok {
			return string(value)
		}
	}
	return ""
}

// All lists the pids of every process in our pid namespace.
func All() ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("cannot list processes: %w", err)
	}
	var list []int
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil {
			list = append(list, pid)
		}
	}
	return list, nil
}

// Mark is what the processes of one attempt have in common.
type Mark struct {
	// Token is the value of TokenVariable; "" matches by leader alone.
	Token string
	// Leader is the pid that the attempt's process group is named by; 0 when that
	// group has no members, for then the number may mean another group.
	Leader int
}

// Left lists the processes that carry the mark, or descend from one that does,
// among the given ones and their descendants. Ended ones are left out: nothing
// of them runs, and whoever is their parent reaps them.
func (m Mark) Left(among []int) []Stat {
	var found []Stat
	seen := make(map[int]bool, len(among)) // whether the pid was found to be marked
	var walk func(pid int, marked bool)
	walk = func(pid int, marked bool) {
		if before, ok := seen[pid]; ok && (before || !marked) {
			return
		}
		s, err := ReadStat(pid)
		if err != nil {
			return
		}
		marked = marked || m.on(s)
		seen[pid] = marked
		if marked && !s.Ended() {
			found = append(found, s)
		}
		for _, child := range Children(pid) {
			walk(child, marked)
		}
	}
	for _, pid := range among {
		walk(pid, false)
	}
	return found
}

func (m Mark) on(s Stat) bool {
	if m.Leader != 0 && s.Group == m.Leader {
		return true
	}
	return m.Token != "" && Token(s.PID) == m.Token
}

// ByToken finds every process that carries one of the wanted tokens, in one
// walk over all there are. Ended ones are left out.
func ByToken(wanted map[string]bool) (map[string][]Stat, error) {
	found := make(map[string][]Stat)
	if len(wanted) == 0 {
		return found, nil
	}
	pids, err := All()
	if err != nil {
		return nil, err
	}
	for _, pid := range pids {
		token := Token(pid)
		if !wanted[token] {
			continue
		}
		if s, err := ReadStat(pid); err == nil && !s.Ended() {
			found[token] = append(found[token], s)
		}
	}
	return found, nil
}

// Leader picks the process that an attempt was started as from all that carry
// its token: the oldest that leads a process group, since that is how it is
// started, and what descends from it comes later.
func Leader(processes []Stat) (leader Stat, ok bool) {
	for _, s := range processes {
		if s.Group == s.PID && (!ok || s.StartTicks < leader.StartTicks) {
			leader, ok = s, true
		}
	}
	return leader, ok
}

// IsGone says whether an error of this package or of a signal only means that
// there is no such process any more.
func IsGone(err error) bool {
	return errors.Is(err, ErrGone) || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENOENT)
}
