package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

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

// PIDs lists the orphans, zombies among them. That there are none is certain;
// a list that is read while one of them is reaped may lack another, so it is
// read until it is the same twice.
func (o *Orphans) PIDs() ([]int, error) {
	list, err := o.read()
	for range maxReads {
		if err != nil || len(list) == 0 {
			break
		}
		before := list
		if list, err = o.read(); slices.Equal(before, list) {
			break
		}
	}
	return list, err
}

// maxReads bounds how often a list that changes all the time is read again.
const maxReads = 8

func (o *Orphans) read() ([]int, error) {
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
// has none, is gone, or may not be looked into. It answers unsure if there is
// nothing to see at all: the process was started with an empty environment, or
// it is just being executed, and will have one in a moment.
func Token(pid int) (token string, unsure bool) {
	environment, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return "", false
	}
	if len(environment) == 0 {
		return "", true
	}
	for variable := range bytes.SplitSeq(environment, []byte{0}) {
		if value, ok := bytes.CutPrefix(variable, []byte(TokenVariable+"=")); ok {
			return string(value), false
		}
	}
	return "", false
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
// among the given ones and their descendants; and those of the given ones that
// nothing is known of yet. Ended ones are left out: nothing of them runs, and
// whoever is their parent reaps them.
func (m Mark) Left(among []int) (found, unsure []Stat) {
	seen := make(map[int]bool, len(among)) // whether the pid was found to be marked
	var walk func(pid int, marked, given bool)
	walk = func(pid int, marked, given bool) {
		if before, ok := seen[pid]; ok && (before || !marked) {
			return
		}
		s, err := ReadStat(pid)
		if err != nil {
			return
		}
		doubt := false
		if !marked {
			marked, doubt = m.on(s)
		}
		seen[pid] = marked
		switch {
		case s.Ended():
		case marked:
			found = append(found, s)
		case doubt && given:
			unsure = append(unsure, s)
		}
		for _, child := range Children(pid) {
			walk(child, marked, false)
		}
	}
	for _, pid := range among {
		walk(pid, false, true)
	}
	return found, unsure
}

func (m Mark) on(s Stat) (marked, unsure bool) {
	if m.Leader != 0 && s.Group == m.Leader {
		return true, false
	}
	token, unsure := Token(s.PID)
	return m.Token != "" && token == m.Token, unsure
}

// ByToken finds every process that carries one of the wanted tokens, in one
// walk over all there are. Ended ones are left out. It may take some
// milliseconds more for those that are just being executed, and show their
// token only afterwards.
func ByToken(wanted map[string]bool) (map[string][]Stat, error) {
	found := make(map[string][]Stat)
	if len(wanted) == 0 {
		return found, nil
	}
	pids, err := All()
	if err != nil {
		return nil, err
	}
	for range execLooks {
		pids = addByToken(found, wanted, pids)
		if len(pids) == 0 {
			break
		}
		time.Sleep(execPause)
	}
	return found, nil
}

// An exec takes less than a millisecond on a machine that has time for it.
const (
	execLooks = 8
	execPause = 2 * time.Millisecond
)

// kthreadd is the pid of the parent of all threads of the kernel, which have no
// environment.
const kthreadd = 2

// addByToken adds those of pids that carry a wanted token to found, and answers
// those that may still turn out to.
func addByToken(found map[string][]Stat, wanted map[string]bool, pids []int) (unsure []int) {
	for _, pid := range pids {
		token, doubt := Token(pid)
		if !wanted[token] && !doubt {
			continue
		}
		s, err := ReadStat(pid)
		switch {
		case err != nil || s.Ended():
		case wanted[token]:
			found[token] = append(found[token], s)
		case s.Parent != kthreadd && s.PID != kthreadd:
			unsure = append(unsure, pid)
		}
	}
	return unsure
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
