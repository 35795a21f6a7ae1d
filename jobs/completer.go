package jobs

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/heroproc/heroproc/db"
	"github.com/heroproc/heroproc/jobs/executor"
)

// What comes back from the executor: each event becomes one write operation,
// and frees what it ends.

// apply turns one of the executor's events into a write operation.
func (d *dispatcher) apply(ctx context.Context, ev executor.Event) {
	f := d.live[ev.Attempt]
	if f != nil && f.token != ev.Token {
		f = nil
	}
	if f == nil {
		d.applyUnknown(ctx, ev)
		return
	}
	switch ev.Kind {
	case executor.EventStarted:
		f.state = JobRunning
		d.applied(ctx, ev, d.mayLinger(f), func(ctx context.Context, tx *db.Tx) error {
			return d.rec.started(ctx, tx, f.candidate, ev.Started)
		})
	case executor.EventExited:
		d.end(ctx, f, ev)
	case executor.EventStuck:
		state := f.state
		d.applied(ctx, ev, false, func(ctx context.Context, tx *db.Tx) error {
			return d.rec.stuck(ctx, tx, f.candidate, state, ev.Survivors)
		})
	case executor.EventIntent:
	}
}

// end frees the flight's slot and records what follows from its end.
func (d *dispatcher) end(ctx context.Context, f *flight, ev executor.Event) {
	delete(d.live, f.attemptID)
	d.counters.ended.Add(1)
	from, v := f.state, d.decide(f, ev.Exit)
	d.applied(ctx, ev, d.mayLinger(f), func(ctx context.Context, tx *db.Tx) error {
		return d.rec.exited(ctx, tx, f.candidate, from, ev, v)
	})
	if d.stopping && len(d.live) == 0 {
		d.closeDrained()
	}
}

func (d *dispatcher) decide(f *flight, exit *executor.Exit) verdict {
	return decide(ending{
		Exit: exit, Failures: f.failures, Retry: f.action.RetryPolicy(), OnLost: f.action.LostPolicy(),
		CancelRequested: f.cancelRequested, RunOver: f.runEnded || f.runOver(d.rec.now()), Rand: rand.Float64(),
	})
}

// applyUnknown applies an event of an attempt that is not in flight: one whose
// start was still on its way to the disk when the daemon died, or one that was
// ended since. The row says which; where there is none, only the number counts.
func (d *dispatcher) applyUnknown(ctx context.Context, ev executor.Event) {
	d.applied(ctx, ev, false, func(ctx context.Context, tx *db.Tx) error {
		row, err := tx.AttemptGetWithJob(ctx, ev.Attempt)
		if db.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if row.Attempt.Token != ev.Token || row.Attempt.FinishedAt != nil || row.Job.Attempt != row.Attempt.Number {
			return nil
		}
		c, err := newCandidate(row.Job, row.Attempt.ID, row.Attempt.Token, row.Context, row.TimeoutMs, row.DeadlineAt)
		if err != nil {
			return err
		}
		bootID := ""
		if ev.Started != nil {
			bootID = ev.Started.BootID
		}
		from, err := d.rec.catchUp(ctx, tx, c, JobState(row.Job.State), ev.At, bootID)
		if err != nil {
			return err
		}
		switch ev.Kind {
		case executor.EventStarted:
			return d.rec.started(ctx, tx, c, ev.Started)
		case executor.EventExited:
			f := &flight{candidate: c, state: from, cancelRequested: row.Job.CancelRequestedAt != nil}
			return d.rec.exited(ctx, tx, c, from, ev, d.decide(f, ev.Exit))
		case executor.EventStuck:
			return d.rec.stuck(ctx, tx, c, from, ev.Survivors)
		default:
			return nil
		}
	})
}

// applied enqueues the operation of an event together with the event's number,
// and acknowledges it to the executor after the commit. If the disk does not
// take it, it is asked for again; an operation that fails otherwise is told once
// and passed over: replaying it for ever would help nobody.
func (d *dispatcher) applied(ctx context.Context, ev executor.Event, linger bool, apply func(context.Context, *db.Tx) error) {
	d.enqueue(ctx, linger, func(ctx context.Context, tx *db.Tx) error {
		if d.behind.Load() {
			return errBehind
		}
		if ev.Epoch != 0 {
			tx.Applied(ev.Epoch, ev.Number)
			tx.AfterCommit(func() { d.ack(ev.Epoch, ev.Number) })
		}
		err := apply(ctx, tx)
		if db.IsStorage(err) {
			d.behind.Store(true)
		}
		return err
	}, func(err error) {
		switch {
		case err == nil || errors.Is(err, errBehind) || errors.Is(err, db.ErrClosed):
		case db.IsStorage(err) || errors.Is(err, db.ErrBusy):
			d.behind.Store(true)
			if line := d.attached.Load(); line != nil {
				line.fail(fmt.Errorf("an event could not be stored: %w", err))
			}
		default:
			d.log.Error("cannot apply an event of the executor", "attempt", ev.Attempt, "err", err)
		}
	})
}

// errBehind refuses an event because one before it could not be stored.
var errBehind = errors.New("an earlier event is not stored yet")

// ack acknowledges an event. An executor that is gone needs none: the next one
// is told the position when it is attached.
func (d *dispatcher) ack(epoch, number uint64) {
	if line := d.attached.Load(); line != nil {
		_ = line.client.Ack(epoch, number)
	}
}

// attachment is the line to one executor.
type attachment struct {
	client *executor.Client
	// fail breaks the line, for a reason of ours.
	fail context.CancelCauseFunc
	// broken is closed when the line has ended.
	broken chan struct{}
}
