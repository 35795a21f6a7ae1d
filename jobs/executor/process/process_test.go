package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start starts a process that leads a group of its own, and ends it with the
// test.
func start(t *testing.T, env []string, command ...string) *exec.Cmd {
	t.Helper()
	c := exec.Command(command[0], command[1:]...)
	c.Env = env
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = unix.Kill(-c.Process.Pid, unix.SIGKILL)
		_ = c.Wait()
	})
	return c
}

func identify(t *testing.T, pid int) Identity {
	t.Helper()
	s, err := ReadStat(pid)
	if err != nil {
		t.Fatal(err)
	}
	return Identity{PID: pid, StartTicks: s.StartTicks}
}

// until waits for something that nobody tells of.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestReadStat(t *testing.T) {
	t.Parallel()

	t.Run("OfALivingProcess", func(t *testing.T) {
		t.Parallel()
		before := Ticks()
		c := start(t, nil, "/bin/sleep", "999")
		after := Ticks()
		s, err := ReadStat(c.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		if s.PID != c.Process.Pid || s.Command != "sleep" || s.Parent != os.Getpid() || s.Group != s.PID || s.Threads != 1 || s.Ended() {
			t.Errorf("status is %+v", s)
		}
		if s.StartTicks < before || s.StartTicks > after {
			t.Errorf("it started at %d, between %d and %d", s.StartTicks, before, after)
		}
	})

	t.Run("OfAZombie", func(t *testing.T) {
		t.Parallel()
		c := start(t, nil, "/bin/sh", "-c", "exit 7")
		until(t, "the process to end", func() bool {
			s, err := ReadStat(c.Process.Pid)
			return err == nil && s.Ended() && s.ExitStatus.ExitStatus() == 7
		})
	})

	t.Run("OfNobody", func(t *testing.T) {
		t.Parallel()
		c := start(t, nil, "/bin/true")
		if err := c.Wait(); err != nil {
			t.Fatal(err)
		}
		if s, err := ReadStat(c.Process.Pid); !IsGone(err) {
			t.Errorf("status is %+v, %v", s, err)
		}
	})
}

func TestParseStat(t *testing.T) {
	t.Parallel()
	const numbers = " S 1 2 3 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 4 0 12345 1 2 18446744073709551615 1 1 1 1 1 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 256"
	want := Stat{PID: 42, State: 'S', Parent: 1, Group: 2, Session: 3, Threads: 4, StartTicks: 12345, ExitStatus: 256}
	for _, command := range []string{"sh", "a b", "a) R 9 (b", "", ")", "(", "\xff\n"} {
		want.Command = command
		got, err := parseStat([]byte("42 (" + command + ")" + numbers + "\n"))
		if err != nil {
			t.Errorf("%q: %v", command, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: %s", command, diff)
		}
	}
	for _, bad := range []string{"", "42", "42 (sh", "42 sh) S 1", "x (sh)" + numbers, "42 (sh) S 1 2", "42 (sh) S 1 x" + numbers} {
		if s, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q was read as %+v", bad, s)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("42 (a b) S 1 2 3 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 12345 0"))
	f.Add([]byte("()"))
	f.Fuzz(func(t *testing.T, line []byte) {
		s, err := parseStat(line)
		if err == nil && !strings.Contains(string(line), "("+s.Command+")") {
			t.Errorf("the command of %q is said to be %q", line, s.Command)
		}
	})
}

func TestIdentity(t *testing.T) {
	t.Parallel()

	t.Run("OpensAndKillsTheProcessItNames", func(t *testing.T) {
		t.Parallel()
		c := start(t, nil, "/bin/sleep", "999")
		id := identify(t, c.Process.Pid)
		pidfd, err := id.Open()
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(pidfd)
		if err := Signal(pidfd, 0); err != nil {
			t.Error(err)
		}
		if err := id.Kill(); err != nil {
			t.Error(err)
		}
		var exit *exec.ExitError
		if err := c.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != unix.SIGKILL {
			t.Errorf("the process ended with %v", err)
		}
		if _, err := id.Open(); !errors.Is(err, ErrGone) {
			t.Errorf("it can still be opened: %v", err)
		}
		if err := id.Kill(); err != nil {
			t.Errorf("killing it again: %v", err)
		}
	})

	t.Run("NeverMeansAnotherProcessWithThePID", func(t *testing.T) {
		t.Parallel()
		c := start(t, nil, "/bin/sleep", "999")
		id := identify(t, c.Process.Pid)
		id.StartTicks--
		if _, err := id.Open(); !errors.Is(err, ErrGone) {
			t.Errorf("opening it: %v", err)
		}
		if err := id.Kill(); err != nil {
			t.Error(err)
		}
		if s, err := ReadStat(id.PID); err != nil || s.Ended() {
			t.Errorf("the other process was ended: %+v, %v", s, err)
		}
	})
}

func TestExitStatus(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]unix.WaitStatus{
		"exit 0":      0,
		"exit 7":      7 << 8,
		"kill -9 $$":  9,
		"kill -15 $$": 15,
	} {
		c := start(t, nil, "/bin/sh", "-c", "read x; "+script)
		id := identify(t, c.Process.Pid)
		pidfd, err := id.Open()
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(pidfd)
		until(t, "the zombie of "+script, func() bool {
			s, err := ReadStat(id.PID)
			return err == nil && s.Ended()
		})
		if got, ok := ExitStatus(id, pidfd); !ok || got != want {
			t.Errorf("%s, as a zombie: %v, %v", script, got, ok)
		}
		_ = c.Wait() // says the same
		if got, ok := ExitStatus(id, pidfd); !ok {
			t.Log("this kernel keeps no exit in a pidfd")
		} else if got != want {
			t.Errorf("%s, reaped: %v", script, got)
		}
	}

	t.Run("OfALivingProcessIsNotKnown", func(t *testing.T) {
		c := start(t, nil, "/bin/sleep", "999")
		id := identify(t, c.Process.Pid)
		pidfd, err := id.Open()
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(pidfd)
		if got, ok := ExitStatus(id, pidfd); ok {
			t.Errorf("it is %v", got)
		}
	})
}

func TestGroup(t *testing.T) {
	t.Parallel()
	c := start(t, nil, "/bin/sh", "-c", "sleep 999 & exit 0")
	pidfd, err := identify(t, c.Process.Pid).Open()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pidfd)
	g := Group{PIDFD: pidfd, PID: c.Process.Pid}
	if err := c.Wait(); err != nil {
		t.Fatal(err)
	}
	// The leader is gone, the group is not.
	if err := g.Signal(0); err != nil {
		t.Errorf("asking: %v", err)
	}
	if err := g.signalByPID(0); err != nil {
		t.Errorf("asking by pid: %v", err)
	}
	if err := g.Signal(unix.SIGKILL); err != nil {
		t.Errorf("killing: %v", err)
	}
	until(t, "the group to be gone", func() bool { return g.Signal(0) == unix.ESRCH })
	if err := g.signalByPID(0); err != unix.ESRCH {
		t.Errorf("asking by pid: %v", err)
	}
}

func TestMark(t *testing.T) {
	t.Parallel()
	token := fmt.Sprintf("test-%d-%d", os.Getpid(), Ticks())
	c := start(t, []string{TokenVariable + "=" + token, "PATH=/usr/bin:/bin"}, "/bin/sh", "-c", "env -i sleep 999 & sleep 999 & wait")
	other := start(t, []string{"A=B"}, "/bin/sleep", "999")
	bare := start(t, []string{}, "/bin/sleep", "999")
	pids := []int{other.Process.Pid, c.Process.Pid, bare.Process.Pid, 1 << 29}
	commands := func(list []Stat) []string {
		var names []string
		for _, s := range list {
			names = append(names, s.Command)
		}
		slices.Sort(names)
		return names
	}
	var unsure []Stat
	until(t, "the children to be started", func() bool {
		var found []Stat
		found, unsure = Mark{Token: token}.Left(pids)
		return slices.Equal(commands(found), []string{"sh", "sleep", "sleep"})
	})
	if len(unsure) != 1 || unsure[0].PID != bare.Process.Pid {
		t.Errorf("unsure is %+v", unsure)
	}
	if found, _ := (Mark{Token: "another", Leader: other.Process.Pid}).Left(pids); len(found) != 1 || found[0].PID != other.Process.Pid {
		t.Errorf("found by group %+v", found)
	}
	// A descendant that is met before its ancestor counts as well.
	if found, _ := (Mark{Token: token}).Left(append(Children(c.Process.Pid), c.Process.Pid)); len(found) != 3 {
		t.Errorf("found %+v", found)
	}

	found, err := ByToken(map[string]bool{token: true, "nobody's": true})
	if err != nil || len(found) != 1 || len(found[token]) != 2 {
		t.Errorf("found by token %+v, %v", found, err)
	}
	if leader, ok := Leader(found[token]); !ok || leader.PID != c.Process.Pid {
		t.Errorf("the leader is %+v, %v", leader, ok)
	}
	if _, ok := Leader(nil); ok {
		t.Error("nobody has a leader")
	}
	if got, unsure := Token(c.Process.Pid); got != token || unsure {
		t.Errorf("the token is %q, %v", got, unsure)
	}
	if _, unsure := Token(1 << 29); unsure {
		t.Error("nobody may have a token")
	}
}

func TestBootID(t *testing.T) {
	t.Parallel()
	if id, err := BootID(); err != nil || len(id) != 36 {
		t.Errorf("the boot id is %q, %v", id, err)
	}
}
