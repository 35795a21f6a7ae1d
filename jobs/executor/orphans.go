package executor

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"

	"github.com/heroproc/heroproc/jobs/executor/process"
)

// orphanPause is how long the reaper rests after each look: at thousands of
// ends a second, one signal each would cost more than it brings, and a zombie
// that waits this long harms nobody.
const orphanPause = 50 * time.Millisecond

// reapOrphans reaps the processes that came to us because their parent died,
// until ctx ends. They are children of the main thread, and the loops' own
// children are not: no loop runs on it. So nobody takes a status from anybody.
func reapOrphans(ctx context.Context, orphans *process.Orphans, log *slog.Logger) {
	ended := make(chan os.Signal, 1)
	defer signal.Stop(ended)
	for {
		// Asked for anew before each look, and not at all while resting: an end
		// that comes before is seen by the look, one that comes after wakes us.
		signal.Notify(ended, unix.SIGCHLD)
		reapEnded(orphans, log)
		select {
		case <-ctx.Done():
			return
		case <-ended:
		}
		signal.Stop(ended)
		select {
		case <-ctx.Done():
			return
		case <-time.After(orphanPause):
		}
	}
}

// reapEnded reaps the orphans that have ended.
func reapEnded(orphans *process.Orphans, log *slog.Logger) {
	for {
		pids, err := orphans.PIDs()
		if err != nil {
			log.Error("cannot reap orphans", "err", err)
			return
		}
		reaped := 0
		for _, pid := range pids {
			if got, err := unix.Wait4(pid, nil, unix.WNOHANG, nil); err == nil && got == pid {
				reaped++
			}
		}
		if reaped == 0 {
			return
		}
	}
}
