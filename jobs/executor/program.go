package executor

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// defaultPath is where programs are looked for when the environment has no
// PATH, as in execvp(3).
const defaultPath = "/bin:/usr/bin"

// findProgram answers the file that an order's command names. A name with a
// slash is taken as it is, relative to the order's directory; any other is
// looked up in the PATH of the order's environment. The error is one of the
// system's: ENOENT, or EACCES when there was a file that may not be executed.
func findProgram(o *Order) (string, error) {
	name := programOf(o)
	if name == "" {
		return "", syscall.EINVAL
	}
	if strings.Contains(name, "/") {
		return name, nil
	}
	failure := error(syscall.ENOENT)
	for _, dir := range filepath.SplitList(pathOf(o.Env)) {
		file := filepath.Join(o.Dir, name)
		if filepath.IsAbs(dir) {
			file = dir + "/" + name
		} else if dir != "" {
			file = filepath.Join(o.Dir, dir, name)
		}
		var s unix.Stat_t
		if err := unix.Stat(file, &s); err != nil {
			if err == unix.EACCES {
				failure = syscall.EACCES
			}
			continue
		}
		if s.Mode&unix.S_IFMT == unix.S_IFREG && unix.Faccessat(unix.AT_FDCWD, file, unix.X_OK, unix.AT_EACCESS) == nil {
			return file, nil
		}
		failure = syscall.EACCES
	}
	return "", failure
}

// programOf answers what an order names as its program; "" if nothing.
func programOf(o *Order) string {
	if len(o.Command) == 0 {
		return ""
	}
	return o.Command[0]
}

func pathOf(env []string) string {
	// The last one counts, as for getenv of most programs that change their own.
	for _, pair := range slices.Backward(env) {
		if path, ok := strings.CutPrefix(pair, "PATH="); ok {
			return path
		}
	}
	return defaultPath
}

// isTransient tells whether a start that failed may succeed a moment later: the
// machine is short of processes, memory or descriptors, or the program is just
// being written, maybe by a fork that has not come to its exec yet.
func isTransient(err error) bool {
	for _, errno := range []syscall.Errno{syscall.EAGAIN, syscall.ENOMEM, syscall.ETXTBSY, syscall.EMFILE, syscall.ENFILE} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// explainStart says why an order could not be started, for people.
func explainStart(o *Order, err error) string {
	errno := errnoOf(err)
	name := programOf(o)
	if name == "" {
		return "cannot start: the command is empty"
	}
	because := errno.Error()
	if dir := dirProblem(o.Dir); dir != nil {
		return fmt.Sprintf("cannot start %q: cannot enter directory %q: %v", name, o.Dir, dir)
	}
	searched := !strings.Contains(name, "/")
	switch {
	case errno == syscall.ENOENT && searched:
		because = "no such program in PATH " + pathOf(o.Env)
	case errno == syscall.ENOENT && exists(o, name):
		because = "the interpreter it names does not exist"
	case errno == syscall.EACCES:
		because = "it is not an executable file: " + because
	case errno == syscall.ENOEXEC:
		because = "it is no program for this machine, and names no interpreter in a first line #!: " + because
	case errno == syscall.E2BIG:
		because = "its arguments and environment are too long: " + because
	case errno == syscall.EINVAL:
		because = "an argument or variable has a NUL byte: " + because
	}
	return fmt.Sprintf("cannot start %q: %s", name, because)
}

func exists(o *Order, name string) bool {
	if !filepath.IsAbs(name) {
		name = filepath.Join(o.Dir, name)
	}
	var s unix.Stat_t
	return unix.Stat(name, &s) == nil
}

// dirProblem says why a process could not enter dir; nil if it could.
func dirProblem(dir string) error {
	if dir == "" {
		return nil
	}
	var s unix.Stat_t
	if err := unix.Stat(dir, &s); err != nil {
		return err
	}
	if s.Mode&unix.S_IFMT != unix.S_IFDIR {
		return syscall.ENOTDIR
	}
	return unix.Faccessat(unix.AT_FDCWD, dir, unix.X_OK, unix.AT_EACCESS)
}
