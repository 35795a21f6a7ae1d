package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/heroproc/heroproc/db"
	"github.com/heroproc/heroproc/jobs/executor"
	"github.com/heroproc/heroproc/jobs/logs"
)

// Config is what a Runner is built of.
type Config struct {
	DB *db.DB
	// Home holds the executor's socket, journal and logs.
	Home string
	// Executor is the command that starts an executor where none runs.
	Executor []string
	// Slots is how many attempts run at once; default: the number of CPUs.
	Slots int
	// Drain is how long an ended attempt's output is still read while a process
	// that outlived it holds the pipe; default DefaultDrain.
	Drain time.Duration
	// LogBudget is how many bytes of output an attempt may keep; default
	// logs.DefaultAttemptBudget.
	LogBudget int64
	// Window is how many queued jobs are held in memory; default DefaultWindow.
	Window int
	Logger *slog.Logger
	// Now is the clock; default time.Now.
	Now func() time.Time
}

const (
	// DefaultDrain is long enough for a pipe's last megabyte on a busy machine, and
	// short enough that nobody takes the job for hung.
	DefaultDrain = 2 * time.Second
	// DefaultWindow is about two seconds of the shortest jobs, so that reading on
	// in the database never holds up a start.
	DefaultWindow = 4096
	// windowBytes bounds the queued jobs held in memory by their size.
	windowBytes = 64 << 20
	// executorEndTimeout is how long an executor without children may take to end;
	// it takes milliseconds, unless it is stopped or the machine swaps.
	executorEndTimeout = 5 * time.Second
	// recoveryStopTimeout is how long a stop waits for a recovery that is not
	// complete; it takes milliseconds where an executor answers at all.
	recoveryStopTimeout = 5 * time.Second
	// retryAttach and maxRetryAttach space the tries to reach an executor.
	retryAttach    = 100 * time.Millisecond
	maxRetryAttach = 5 * time.Second
)

// Runner takes runs, starts their jobs and remembers how they ended.
type Runner struct {
	db     *db.DB
	rec    *recorder
	dsp    *dispatcher
	logs   *logs.Reader
	log    *slog.Logger
	attach executor.ClientOptions

	life     context.Context
	end      context.CancelFunc
	parts    sync.WaitGroup
	start    sync.Once
	refusing atomic.Bool
	// leaving: an executor that ends now is not replaced.
	leaving atomic.Bool
	// stopped releases everybody who waits for something.
	stopped  chan struct{}
	stopOnce sync.Once
	// recovered is closed, once, by the first recovery.
	recovered chan struct{}
	progress  atomic.Pointer[progress]
}

// progress is how far the recovery is.
type progress struct {
	ready    bool
	detail   string
	executor *executor.Info
}

// New builds a runner; Start sets it going.
func New(c Config) (*Runner, error) {
	c.Slots = cmp.Or(c.Slots, runtime.NumCPU())
	c.Drain = cmp.Or(c.Drain, DefaultDrain)
	c.Window = cmp.Or(c.Window, DefaultWindow)
	c.LogBudget = cmp.Or(c.LogBudget, logs.DefaultAttemptBudget)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	env := newEnvironment(c.Home, c.Drain, c.LogBudget)
	if err := os.MkdirAll(env.outputs, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the directory for output values: %w", err)
	}
	box := newInbox()
	rec := &recorder{
		queue:     newWindow[*candidate](c.Window, windowBytes),
		delays:    newWindow[delayed](c.Window, windowBytes),
		deadlines: newWindow[int64](c.Window, windowBytes),
		watchers:  newWatchers(), wake: box.ring, now: c.Now,
	}
	r := &Runner{
		db: c.DB, rec: rec, logs: logs.NewReader(filepath.Join(c.Home, "logs")), log: c.Logger,
		attach: executor.ClientOptions{Home: c.Home, Command: c.Executor, Logger: c.Logger},
		dsp: &dispatcher{
			db: c.DB, rec: rec, env: env, slots: c.Slots, log: c.Logger,
			inbox: box, live: make(map[int64]*flight), ending: make(map[int64]int), drained: make(chan struct{}),
		},
		stopped: make(chan struct{}), recovered: make(chan struct{}),
	}
	r.life, r.end = context.WithCancel(context.Background())
	r.progress.Store(&progress{detail: "not started"})
	return r, nil
}

// Start sets the runner going and returns at once; the recovery of what an
// earlier daemon left runs beside it, and Ready tells when it is complete.
func (r *Runner) Start() {
	r.start.Do(func() {
		r.parts.Go(func() { r.dsp.run(r.life) })
		r.parts.Go(func() { r.keepExecutor(r.life) })
	})
}

// Stop takes no more work and, unless leaveRunning, ends what runs by its stop
// sequence; queued jobs stay queued for the next start. It returns when
// everything that ended is on disk, or with an error when ctx ends before.
func (r *Runner) Stop(ctx context.Context, leaveRunning bool) error {
	r.refusing.Store(true)
	var err error
	r.stopOnce.Do(func() { err = r.stop(ctx, leaveRunning) })
	return err
}

func (r *Runner) stop(ctx context.Context, leaveRunning bool) error {
	started := true
	r.start.Do(func() { started = false })
	if !started {
		close(r.stopped)
		r.end()
		return nil
	}
	var problem error
	if !leaveRunning {
		r.awaitRecovery(ctx)
		r.dsp.inbox.post(r.dsp.stopAll)
		select {
		case <-r.dsp.drained:
		case <-ctx.Done():
			problem = fmt.Errorf("attempts still running and left to the executor: %d: %w",
				r.dsp.counters.running.Load(), context.Cause(ctx))
		}
	}
	r.leaving.Store(true)
	// What was enqueued before this is on disk when it is.
	barrier := r.db.Write(context.WithoutCancel(ctx), func(context.Context, *db.Tx) error { return nil })
	if !leaveRunning && problem == nil {
		r.endExecutor(ctx)
	}
	close(r.stopped)
	r.end()
	r.parts.Wait()
	return errors.Join(problem, barrier)
}

// awaitRecovery gives a recovery that has just begun the time to find what runs,
// so that a stop does not pass it by.
func (r *Runner) awaitRecovery(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, recoveryStopTimeout)
	defer cancel()
	select {
	case <-r.recovered:
	case <-ctx.Done():
		r.log.Warn("stopping before the recovery is complete; what runs is left to the executor", "err", context.Cause(ctx))
	}
}

// endExecutor tells the executor, which has no children left, to end, and
// returns when it has closed the line.
func (r *Runner) endExecutor(ctx context.Context) {
	line := r.dsp.attached.Load()
	if line == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, executorEndTimeout)
	defer cancel()
	err := line.client.Shutdown()
	if err == nil {
		select {
		case <-line.broken:
			return
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	r.log.Warn("the executor was told to end and has not yet; it ends itself when it is idle", "err", err)
}

// Close ends whoever still follows output; it comes after Stop, when those have
// had the time to read to the end.
func (r *Runner) Close() error { return r.logs.Close() }

// Recovered is closed when the first recovery is complete.
func (r *Runner) Recovered() <-chan struct{} { return r.recovered }

// Ready tells whether the recovery is complete, and otherwise what it does.
func (r *Runner) Ready() (ready bool, detail string) {
	if r.refusing.Load() {
		return false, "stopping"
	}
	p := r.progress.Load()
	return p.ready, p.detail
}

// Executor identifies the executor the runner works with, if one is attached.
func (r *Runner) Executor() (Executor, bool) {
	info := r.progress.Load().executor
	if info == nil {
		return Executor{}, false
	}
	return Executor{PID: info.PID, Version: info.Version, StartedAtMillis: info.StartedAt.UnixMilli()}, true
}

// Stats counts what the runner has done.
func (r *Runner) Stats() Stats {
	return Stats{
		Slots: r.dsp.slots, Running: int(r.dsp.counters.running.Load()), QueuedInMemory: r.rec.queue.len(),
		Started: r.dsp.counters.started.Load(), Ended: r.dsp.counters.ended.Load(),
	}
}
