// Package cgroup gives every attempt a cgroup (version 2) of its own, where the
// machine lets us: the kernel then knows all processes of an attempt, whatever
// they did to their session, group, parent or environment, and ends them with
// one write. No controller is needed for that.
package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrUnavailable says that this machine, or our place on it, has no cgroup tree
// that we may write to; attempts are then found by group, parent and token.
var ErrUnavailable = errors.New("no cgroup of our own")

// Root is our own branch of the cgroup tree, directly below the cgroup we run
// in. Everything in it belongs to us.
type Root struct {
	mount string // where the tree is mounted
	path  string // our branch, below the mount
}

// Open makes the branch called name, or finds the one that a former executor
// has left, and tries it out.
func Open(name string) (*Root, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	mount, ok := parseMount(mounts)
	if !ok {
		return nil, fmt.Errorf("%w: cgroup version 2 is not mounted", ErrUnavailable)
	}
	place, ok := parsePlace(own)
	if !ok {
		return nil, fmt.Errorf("%w: we are in no cgroup of version 2", ErrUnavailable)
	}
	r := &Root{mount: mount, path: filepath.Join(place, name)}
	if err := os.Mkdir(filepath.Join(mount, r.path), 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if err := r.try(); err != nil {
		_ = os.Remove(filepath.Join(mount, r.path)) // the error that counts is the first one
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return r, nil
}

// try starts a program that does not exist inside a leaf: clone3 may be
// forbidden, or the leaf be of a kind that takes no processes, and then every
// start would fail with an error that could as well be the program's.
func (r *Root) try() error {
	leaf, err := r.make("try")
	if err != nil {
		return err
	}
	defer func() { _ = leaf.Remove() }() // what stays is removed by the next executor
	if _, err := os.Stat(leaf.file("cgroup.kill")); err != nil {
		return err
	}
	fd, err := leaf.FD()
	if err != nil {
		return err
	}
	missing := leaf.file("no such program")
	_, err = syscall.ForkExec(missing, []string{missing}, &syscall.ProcAttr{
		Sys: &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: fd},
	})
	if !errors.Is(err, syscall.ENOENT) {
		return fmt.Errorf("cannot start a process inside %s: %w", leaf.Path(), err)
	}
	return nil
}

// Leaf names the leaf at a path that Leaf.Path has answered once, maybe to a
// former executor. It answers false when there is none, or when the path lies
// outside our branch.
func (r *Root) Leaf(path string) (*Leaf, bool) {
	if filepath.Dir(path) != r.path {
		return nil, false
	}
	info, err := os.Lstat(filepath.Join(r.mount, path))
	if err != nil || !info.IsDir() {
		return nil, false
	}
	leaf := r.leaf(path)
	leaf.spent = true // who knows what was done to it
	return leaf, true
}

// Of names the leaf that a process lives in, be it further down. It answers
// false when the process lives elsewhere, or not at all.
func (r *Root) Of(pid int) (*Leaf, bool) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return nil, false
	}
	place, _ := parsePlace(text)
	below, ok := strings.CutPrefix(place, r.path+"/")
	if !ok {
		return nil, false
	}
	name, _, _ := strings.Cut(below, "/")
	return r.Leaf(filepath.Join(r.path, name))
}

// Leaves lists every leaf there is.
func (r *Root) Leaves() ([]*Leaf, error) {
	entries, err := os.ReadDir(filepath.Join(r.mount, r.path))
	if err != nil {
		return nil, fmt.Errorf("cannot list cgroups: %w", err)
	}
	var list []*Leaf
	for _, entry := range entries {
		if entry.IsDir() {
			list = append(list, r.leaf(filepath.Join(r.path, entry.Name())))
		}
	}
	return list, nil
}

// Close removes the branch, if nobody is left in it.
func (r *Root) Close() error {
	leaves, err := r.Leaves()
	if err != nil {
		return err
	}
	for _, leaf := range leaves {
		if err := leaf.Remove(); err != nil {
			return err
		}
	}
	err = os.Remove(filepath.Join(r.mount, r.path))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("cannot remove cgroup: %w", err)
	}
	return nil
}

func (r *Root) leaf(path string) *Leaf {
	return &Leaf{mount: r.mount, path: path, dir: -1, events: -1}
}

func (r *Root) make(name string) (*Leaf, error) {
	leaf := r.leaf(filepath.Join(r.path, name))
	if err := os.Mkdir(filepath.Join(r.mount, leaf.path), 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("cannot make cgroup: %w", err)
	}
	return leaf, nil
}

// Leaf is one attempt's cgroup. Its methods are for one goroutine.
type Leaf struct {
	mount, path string
	// spent says that it must not be lent again, because it was killed or may have
	// been. Linux (6.18 at least) compares the count of kills of the cgroup that a
	// process is started into with that of its parent's: in a leaf that was ever
	// killed, every process is killed at its start.
	spent bool
	// dir and events are descriptors that are opened when first needed; -1 while
	// they are not.
	dir, events int
}

// Path names the leaf below the mount; it is what is kept with an attempt.
func (l *Leaf) Path() string { return l.path }

func (l *Leaf) file(name string) string { return filepath.Join(l.mount, l.path, name) }

// FD answers a descriptor of the leaf, for starting a process inside it. It
// stays the leaf's.
func (l *Leaf) FD() (int, error) {
	if l.dir < 0 {
		fd, err := unix.Open(filepath.Join(l.mount, l.path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return -1, fmt.Errorf("cannot open cgroup %s: %w", l.path, err)
		}
		l.dir = fd
	}
	return l.dir, nil
}

// Rest closes the descriptors; they are opened again when needed. Every open
// descriptor makes every fork dearer, so a process that lives long keeps none.
func (l *Leaf) Rest() {
	for _, fd := range []*int{&l.dir, &l.events} {
		if *fd >= 0 {
			unix.Close(*fd)
			*fd = -1
		}
	}
}

// Populated tells whether any process lives in the leaf or below it. A leaf
// that has been removed has none.
func (l *Leaf) Populated() (bool, error) {
	text, err := l.readEvents()
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return !bytes.Contains(text, []byte("populated 0")), nil
}

func (l *Leaf) readEvents() ([]byte, error) {
	if l.events < 0 {
		fd, err := unix.Open(l.file("cgroup.events"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("cannot open events of cgroup %s: %w", l.path, err)
		}
		l.events = fd
	}
	var buffer [256]byte
	n, err := unix.Pread(l.events, buffer[:], 0)
	if err != nil {
		return nil, fmt.Errorf("cannot read events of cgroup %s: %w", l.path, err)
	}
	return buffer[:n], nil
}

// Kill sends SIGKILL to every process in the leaf and below it, also to those
// that are being forked at that moment.
func (l *Leaf) Kill() error {
	l.spent = true
	err := os.WriteFile(l.file("cgroup.kill"), []byte("1"), 0)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("cannot kill cgroup: %w", err)
	}
	return nil
}

// PIDs lists the processes that live in the leaf itself.
func (l *Leaf) PIDs() ([]int, error) {
	text, err := os.ReadFile(l.file("cgroup.procs"))
	if err != nil {
		return nil, fmt.Errorf("cannot list the processes of a cgroup: %w", err)
	}
	var list []int
	for field := range strings.FieldsSeq(string(text)) {
		var pid int
		if _, err := fmt.Sscan(field, &pid); err == nil && pid > 0 {
			list = append(list, pid)
		}
	}
	return list, nil
}

// Remove removes the leaf and what its processes have made below it.
func (l *Leaf) Remove() error {
	l.Rest()
	path := filepath.Join(l.mount, l.path)
	err := os.Remove(path)
	if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.ENOTEMPTY) {
		err = removeTree(path)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("cannot remove cgroup: %w", err)
	}
	return nil
}

// removeTree removes cgroups from the bottom up: their files are not removed,
// only their directories.
func removeTree(path string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.IsDir() {
			if err := removeTree(filepath.Join(path, entry.Name())); err != nil {
				return err
			}
		}
	}
	return os.Remove(path)
}

// reusable tells whether the leaf is as if new: it is not spent, nothing lives
// in it, it is not frozen and nobody has made cgroups below it (a directory has
// two links and one for each directory in it).
func (l *Leaf) reusable() bool {
	if l.spent {
		return false
	}
	text, err := l.readEvents()
	if err != nil || !bytes.Contains(text, []byte("populated 0")) || bytes.Contains(text, []byte("frozen 1")) {
		return false
	}
	fd, err := l.FD()
	if err != nil {
		return false
	}
	var s unix.Stat_t
	return unix.Fstat(fd, &s) == nil && s.Nlink == 2
}

// parseMount finds where cgroup version 2 is mounted, in the format of
// /proc/self/mountinfo. Blanks in the path are written as octal there; such a
// mount point is not looked for.
func parseMount(mountinfo []byte) (string, bool) {
	for line := range strings.SplitSeq(string(mountinfo), "\n") {
		head, tail, ok := strings.Cut(line, " - ")
		fields := strings.Fields(head)
		if ok && len(fields) > 4 && strings.HasPrefix(tail, "cgroup2 ") {
			return fields[4], true
		}
	}
	return "", false
}

// parsePlace finds a process's place in the tree of version 2, in the format of
// /proc/PID/cgroup.
func parsePlace(text []byte) (string, bool) {
	for line := range strings.SplitSeq(string(text), "\n") {
		if place, ok := strings.CutPrefix(line, "0::"); ok && strings.HasPrefix(place, "/") {
			return place, true
		}
	}
	return "", false
}
