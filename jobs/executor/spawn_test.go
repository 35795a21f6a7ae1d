package executor

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fakeVariable makes the test binary a process that is an executor to whoever
// starts it, without any children.
const fakeVariable = "HEROPROC_TEST_FAKE_EXECUTOR"

// The process is chosen before any test or TestMain is.
func init() {
	mode := os.Getenv(fakeVariable)
	if mode == "" {
		return
	}
	if err := runFake(mode); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// runFake is an executor until it is told to shut down or has lost its daemon.
// Its version says how it was started.
func runFake(mode string) error {
	var home, after string
	var ready int
	flags := flag.NewFlagSet("executor", flag.ContinueOnError)
	flags.StringVar(&home, "home", "", "")
	flags.StringVar(&after, "after-epoch", "", "")
	flags.IntVar(&ready, "ready-fd", -1, "")
	if err := flags.Parse(os.Args[2:]); err != nil {
		return err
	}
	f, err := listenFake(home)
	if err != nil {
		return err
	}
	session, err := sessionOf(os.Getpid())
	if err != nil {
		return err
	}
	input, err := os.Readlink("/proc/self/fd/0")
	if err != nil {
		return err
	}
	directory, err := os.Getwd()
	if err != nil {
		return err
	}
	f.welcome.version = fmt.Sprint(os.Args[1], " ", after, " ", session == os.Getpid(), " ", input, " ", directory)
	f.serve()
	readiness := os.NewFile(uintptr(ready), "ready")
	if mode != "silently" {
		if _, err := readiness.WriteString("\n"); err != nil {
			return err
		}
	}
	readiness.Close()
	for h := range f.heard {
		if h.kind == frameShutdown {
			return nil
		}
	}
	return nil
}

// sessionOf reads a process's session from /proc/PID/stat.
func sessionOf(pid int) (int, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, fields, _ := strings.Cut(string(stat), ") ")
	var state string
	var parent, group, session int
	_, err = fmt.Sscan(fields, &state, &parent, &group, &session)
	return session, err
}

func TestSpawn(t *testing.T) {
	t.Parallel()

	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	setup := func(t *testing.T, command ...string) ClientOptions {
		return ClientOptions{
			Home: t.TempDir(), Command: command, AnswerTimeout: time.Minute, Logger: slog.New(slog.DiscardHandler),
		}
	}
	fake := func(mode string) []string {
		return []string{"/usr/bin/env", fakeVariable + "=" + mode, self, "executor"}
	}
	// shutdown ends a fake that was started, and waits until it has let go of
	// its lock.
	shutdown := func(t *testing.T, c *Client, home string) {
		t.Helper()
		lock, err := os.Open(lockPath(home))
		if err != nil {
			t.Fatal(err)
		}
		defer lock.Close()
		if err := errors.Join(c.Shutdown(), c.Close(), syscall.Flock(int(lock.Fd()), syscall.LOCK_EX)); err != nil {
			t.Error(err)
		}
	}

	t.Run("StartsAnExecutorWhereThereIsNone", func(t *testing.T) {
		t.Parallel()
		for _, mode := range []string{"aloud", "silently"} {
			t.Run(mode, func(t *testing.T) {
				t.Parallel()
				o := setup(t, fake(mode)...)
				o.AfterEpoch, o.Positions = 7, map[uint64]uint64{5: 1, 9: 3}
				// A lock nobody holds is what a killed executor leaves.
				if err := os.WriteFile(lockPath(o.Home), []byte("1\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				c, attached := attach(t, o)
				if want := "executor 9 true /dev/null /"; attached.Info.Version != want {
					t.Errorf("it was started with %q, want %q", attached.Info.Version, want)
				}
				again, second := attach(t, o)
				if second.Info.PID != attached.Info.PID {
					t.Errorf("a second executor %d beside %d", second.Info.PID, attached.Info.PID)
				}
				if err := again.Close(); err != nil {
					t.Error(err)
				}
				shutdown(t, c, o.Home)
			})
		}
	})

	t.Run("SaysWhyAnExecutorEndedAtOnce", func(t *testing.T) {
		t.Parallel()
		o := setup(t, "/bin/sh", "-c", "echo the disk is on fire >&2; exit 3", "executor")
		log := filepath.Join(o.Home, executorLogName)
		if err := os.WriteFile(log, []byte("from an earlier one\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, err := Attach(t.Context(), o)
		if err == nil || !strings.Contains(err.Error(), "(exit status 3); its last words: the disk is on fire") {
			t.Errorf("got %v", err)
		}
	})

	t.Run("PointsToTheLogOfOneThatSaidNothing", func(t *testing.T) {
		t.Parallel()
		o := setup(t, "/bin/false")
		_, _, err := Attach(t.Context(), o)
		if err == nil || !strings.Contains(err.Error(), filepath.Join(o.Home, executorLogName)) {
			t.Errorf("got %v", err)
		}
	})

	t.Run("NamesAnExecutorThatDoesNotGetReady", func(t *testing.T) {
		t.Parallel()
		o := setup(t, "/bin/sh", "-c", "exec sleep 1000", "executor")
		o.AnswerTimeout = 20 * time.Millisecond
		_, _, err := Attach(t.Context(), o)
		var unanswered *UnansweredError
		if !errors.As(err, &unanswered) {
			t.Fatalf("got %v", err)
		}
		// It is our child and not yet waited for by anybody but the goroutine that
		// its end ends: the pid is its.
		if err := syscall.Kill(unanswered.PID, syscall.SIGKILL); err != nil {
			t.Error(err)
		}
	})

	t.Run("WaitsNoLongerThanItsContext", func(t *testing.T) {
		t.Parallel()
		o := setup(t)
		said := filepath.Join(o.Home, "said")
		if err := syscall.Mkfifo(said, 0o600); err != nil {
			t.Fatal(err)
		}
		o.Command = []string{"/bin/sh", "-c", "echo $$ >" + said + "; exec sleep 1000", "executor"}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		attaching := make(chan error, 1)
		go func() {
			_, _, err := Attach(ctx, o)
			attaching <- err
		}()
		// It is read once the process is there and says nothing about being ready.
		text, err := os.ReadFile(said)
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := <-attaching; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err == nil {
			err = syscall.Kill(pid, syscall.SIGKILL) // our child, waited for by its goroutine alone
		}
		if err != nil {
			t.Error(err)
		}
	})

	t.Run("StartsNothingForAContextThatHasEnded", func(t *testing.T) {
		t.Parallel()
		o := setup(t, "/bin/false")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, _, err := Attach(ctx, o); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if _, err := os.Stat(filepath.Join(o.Home, executorLogName)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("an executor was started: %v", err)
		}
	})

	t.Run("NeedsACommandThatCanBeStarted", func(t *testing.T) {
		t.Parallel()
		for _, command := range [][]string{nil, {"/nowhere/executor"}} {
			if _, _, err := Attach(t.Context(), setup(t, command...)); err == nil {
				t.Errorf("%q was started", command)
			}
		}
	})

	t.Run("SetsALargeLogAside", func(t *testing.T) {
		t.Parallel()
		o := setup(t, "/bin/false")
		log := filepath.Join(o.Home, executorLogName)
		if err := os.WriteFile(log, make([]byte, executorLogBytes+1), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := Attach(t.Context(), o); err == nil {
			t.Fatal("attached to nobody")
		}
		if info, err := os.Stat(log); err != nil || info.Size() != 0 {
			t.Errorf("%+v, %v", info, err)
		}
		if _, err := os.Stat(filepath.Join(o.Home, executorLogOld)); err != nil {
			t.Error(err)
		}
	})
}
