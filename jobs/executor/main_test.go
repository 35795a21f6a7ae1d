package executor

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// The test binary is also the executor under test and its worst children: it
// executes itself with one of these words as its first argument.
const (
	asExecutor = "executor-under-test"
	asChild    = "child-under-test"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case asExecutor:
			os.Exit(runExecutor(os.Args[2:]))
		case asChild:
			os.Exit(runChild(os.Args[2:]))
		}
	}
	// Under the race detector a process sleeps for a second before it ends; an
	// executor that has let go of its home would look like one that was left.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE")); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// runExecutor is what `heroproc executor` is, with knobs for tests.
func runExecutor(args []string) int {
	c := Config{Version: "test", Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	flags := flag.NewFlagSet(asExecutor, flag.ContinueOnError)
	flags.BoolVar(&c.NoCgroups, "no-cgroups", false, "")
	flags.IntVar(&c.Loops, "loops", 0, "")
	flags.DurationVar(&c.IdleTimeout, "idle", time.Minute, "")
	flags.DurationVar(&c.YoungFor, "young", 0, "")
	flags.DurationVar(&c.StuckAfter, "stuck", 0, "")
	flags.StringVar(&c.Home, "home", "", "")
	flags.Uint64Var(&c.AfterEpoch, "after-epoch", 0, "")
	flags.IntVar(&c.ReadyFD, "ready-fd", -1, "")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if err := Run(context.Background(), c); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
