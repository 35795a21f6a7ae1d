package jobs

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/heroproc/heroproc/db"
	"github.com/heroproc/heroproc/jobs/executor"
)

// dispatcher admits jobs while slots are free and turns what the executor
// reports into write operations. One goroutine owns all of its state; the order
// in which it enqueues operations is the order in which they are applied.
//
// An order leaves for the executor right behind its "starting" operation, not
// after it: the token is on disk since the attempt became possible, so a crash
// in between is told apart by the executor's journal.
type dispatcher struct {
	db    *db.DB
	rec   *recorder
	env   *environment
	slots int
	log   *slog.Logger
	inbox *inbox

	// executor is where orders go; nil while none is attached or a recovery holds
	// them back. attached is the line to it from the beginning of the recovery on.
	executor *executor.Client
	attached atomic.Pointer[attachment]
	bootID   string
	live     map[int64]*flight
	// ending counts the operations under way that end whole runs: what is
	// queued of such a run is not started any more.
	ending map[int64]int
	// stopping: nothing is started any more. drained is closed when nothing runs.
	stopping bool
	drained  chan struct{}

	loads sync.WaitGroup

	// behind: an event could not be stored, so that no later one may be: its
	// number would say that the earlier one is done. The line is broken and the
	// executor asked again for everything since.
	behind atomic.Bool

	counters counters
}

// counters are what others may read of the dispatcher at any time.
type counters struct{ running, started, ended atomic.Int64 }

// run is the dispatcher's goroutine; it ends with the context.
func (d *dispatcher) run(ctx context.Context) {
	defer d.loads.Wait()
	alarm := time.NewTimer(math.MaxInt64)
	defer alarm.Stop()
	for {
		for _, do := range d.inbox.take() {
			do()
		}
		d.admit(ctx)
		d.wakeDelayed(ctx)
		d.endOverdue(ctx)
		d.counters.running.Store(int64(len(d.live)))
		d.setAlarm(alarm)
		select {
		case <-d.inbox.bell:
		case <-alarm.C:
		case <-ctx.Done():
			return
		}
	}
}

// call runs do in the dispatcher's goroutine and waits for its end.
func (d *dispatcher) call(ctx context.Context, do func()) error {
	done := make(chan struct{})
	d.inbox.post(func() { defer close(done); do() })
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// admit starts what is queued while slots are free.
func (d *dispatcher) admit(ctx context.Context) {
	if d.executor == nil || d.stopping {
		return
	}
	for len(d.live) < d.slots {
		c, ok := d.rec.queue.pop(math.MaxInt64)
		if !ok {
			break
		}
		if d.ending[c.runID] > 0 || d.live[c.attemptID] != nil {
			continue
		}
		d.start(ctx, c)
	}
	readOn(ctx, d, d.rec.queue, d.loadQueued)
}

// start hands one attempt to the executor.
func (d *dispatcher) start(ctx context.Context, c *candidate) {
	now := d.rec.now()
	limit, over := c.limit(now)
	if over {
		d.endRun(ctx, c.runID, stopRunTimeout, nil)
		return
	}
	bootID := d.bootID
	f := &flight{candidate: c, state: JobStarting, bootID: bootID}
	d.live[c.attemptID] = f
	d.counters.started.Add(1)
	d.enqueue(ctx, true, func(ctx context.Context, tx *db.Tx) error {
		return d.rec.starting(ctx, tx, c, bootID, now)
	}, func(err error) {
		switch {
		case err == nil:
		case errors.Is(err, errMoved):
			d.inbox.post(func() { d.unwanted(f, err) })
		default:
			// The attempt's later events find the step missing, and make it good.
			d.log.Error("cannot record a start", "job_id", f.jobID, "attempt", f.number, "err", err)
		}
	})
	d.order(f, limit)
}

// order sends the start to the executor. Where none is reachable the flight
// stays: the recovery that follows orders it again under the same token.
func (d *dispatcher) order(f *flight, limit time.Duration) {
	if err := d.executor.Start(d.env.order(f.candidate, limit)); err != nil {
		d.log.Warn("cannot order a start; it is ordered again when the executor is back", "job_id", f.jobID, "attempt", f.number, "err", err)
	}
}

// unwanted stops an attempt whose job was not queued any more when its start was
// recorded.
func (d *dispatcher) unwanted(f *flight, err error) {
	d.log.Warn("a start was ordered that the database does not want; it is taken back", "job_id", f.jobID, "attempt", f.number, "err", err)
	if d.live[f.attemptID] == f {
		d.stop(f, stopSuperseded)
	}
}

// stop asks the executor to end an attempt.
func (d *dispatcher) stop(f *flight, why string) {
	if d.executor == nil {
		return
	}
	err := d.executor.Stop(executor.Stop{Attempt: f.attemptID, Token: f.token, Reason: why, Stop: f.stopSequence()})
	if err != nil {
		d.log.Warn("cannot order a stop; it is ordered again when the executor is back", "job_id", f.jobID, "attempt", f.number, "err", err)
	}
}

// mayLinger tells whether a transition may wait a few milliseconds for company:
// nobody waits for its run, and no other job of it does.
func (d *dispatcher) mayLinger(f *flight) bool { return f.solo && !d.rec.watchers.has(f.runID) }

// enqueue hands an operation to the write queue. It waits while the queue is
// full: without a record nothing more may be started.
func (d *dispatcher) enqueue(ctx context.Context, linger bool, apply func(context.Context, *db.Tx) error, done func(error)) {
	if err := d.db.Enqueue(ctx, db.Op{Apply: apply, Done: done, Linger: linger}); err != nil && done != nil {
		done(err)
	}
}

// endRun ends every job of a run: what has no process at once, what has one
// through the executor. answer, if any, is told what was done.
func (d *dispatcher) endRun(ctx context.Context, run int64, why string, answer func(Cancelled, error)) {
	ofRun := func(c *candidate) bool { return c.runID == run }
	d.ending[run]++
	d.rec.queue.remove(ofRun)
	d.rec.delays.remove(func(one delayed) bool { return one.runID == run })
	for _, f := range d.live {
		if f.runID != run {
			continue
		}
		f.cancelRequested = f.cancelRequested || why == stopCancel
		f.runEnded = f.runEnded || why == stopRunTimeout
		d.stop(f, why)
	}
	var result Cancelled
	now := d.rec.now()
	d.enqueue(ctx, false, func(ctx context.Context, tx *db.Tx) (err error) {
		result, err = d.rec.cancelRun(ctx, tx, run, why, now.UnixMilli())
		return err
	}, func(err error) {
		d.inbox.post(func() {
			d.rec.queue.remove(ofRun)
			if d.ending[run]--; d.ending[run] == 0 {
				delete(d.ending, run)
			}
		})
		if answer != nil {
			answer(result, err)
			return
		}
		if err != nil && !errors.Is(err, ErrConflict) {
			d.log.Error("cannot end a run whose timeout is over; trying again", "run_id", run, "err", err)
			d.rec.deadlines.push(now.Add(retryWrite).UnixMilli(), run, delayedBytes, run)
		}
	})
}

// stopAll takes no more work and ends what runs; drained is closed at the end.
func (d *dispatcher) stopAll() {
	d.stopping = true
	for _, f := range d.live {
		d.stop(f, stopShutdown)
	}
	if len(d.live) == 0 {
		d.closeDrained()
	}
}

func (d *dispatcher) closeDrained() {
	select {
	case <-d.drained:
	default:
		close(d.drained)
	}
}
