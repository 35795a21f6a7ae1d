package jobs

import (
	"context"
	"database/sql/driver"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/heroproc/heroproc/db"
	"github.com/heroproc/heroproc/jobs/executor"
	"github.com/heroproc/heroproc/jobs/spec"
)

// executorRole makes the test binary an executor, so that runners under test
// have a real one in a process of its own.
const executorRole = "HEROPROC_TEST_EXECUTOR"

func TestMain(m *testing.M) {
	if os.Getenv(executorRole) != "" {
		if err := runExecutor(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func runExecutor(args []string) error {
	var c executor.Config
	flags := flag.NewFlagSet("executor", flag.ContinueOnError)
	flags.StringVar(&c.Home, "home", "", "")
	flags.Uint64Var(&c.AfterEpoch, "after-epoch", 0, "")
	flags.IntVar(&c.ReadyFD, "ready-fd", -1, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	return executor.Run(context.Background(), c)
}

// house is a runner on a home and a database of its own.
type house struct {
	*Runner
	db   *db.DB
	home string
	// window is how many queued jobs it holds in memory; 0 is the default.
	window int
	// driver opens its database's connections; nil is SQLite's own.
	driver driver.Driver
}

// newHouse starts a runner; its parts are ended with the test.
func newHouse(t testing.TB, slots int, change ...func(*house)) *house {
	t.Helper()
	// Not t.TempDir: the sockets' paths have to stay short.
	home, err := os.MkdirTemp("", "hp")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	h := &house{home: home}
	for _, c := range change {
		c(h)
	}
	h.open(t, slots)
	t.Cleanup(func() { h.close(t, false) })
	return h
}

func (h *house) open(t testing.TB, slots int) {
	t.Helper()
	var err error
	if h.db, err = db.Open(context.Background(), db.Options{
		Path: filepath.Join(h.home, "heroproc.db"), Backups: filepath.Join(h.home, "backups"),
		Driver: h.driver,
	}); err != nil {
		t.Fatal(err)
	}
	h.Runner, err = New(Config{
		DB: h.db, Home: h.home, Slots: slots, Window: h.window,
		// The race detector makes a process rest for a second before it ends.
		Executor: []string{"env", executorRole + "=1", "GORACE=atexit_sleep_ms=0", os.Args[0]},
	})
	if err != nil {
		t.Fatal(err)
	}
	h.Start()
	<-h.Recovered()
}

// close ends the runner; unless leaveRunning its executor is gone afterwards.
func (h *house) close(t testing.TB, leaveRunning bool) {
	t.Helper()
	ctx := context.Background()
	if err := h.Stop(ctx, leaveRunning); err != nil {
		t.Error(err)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if err := h.db.Close(ctx); err != nil {
		t.Error(err)
	}
	if leaveRunning {
		return
	}
	lock, err := os.Open(filepath.Join(h.home, "executor.lock"))
	if err != nil {
		t.Error(err)
		return
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Error(err)
	}
}

// single is a run of one job.
func single(action spec.Action) spec.Run {
	return spec.Run{Jobs: map[string]spec.Job{"main": {Action: action}}}
}

// submitOne submits one run.
func (h *house) submitOne(t testing.TB, run spec.Run) int64 {
	t.Helper()
	results, err := h.Submit(context.Background(), []spec.Run{run})
	if err != nil {
		t.Fatal(err)
	}
	return results[0].ID
}
