package jobs

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/heroproc/heroproc/db"
	"github.com/heroproc/heroproc/jobs/executor"
)

// keepExecutor holds the line to the executor for the runner's life: attach,
// recover, listen, and again when the line breaks.
func (r *Runner) keepExecutor(ctx context.Context) {
	wait := retryAttach
	for ctx.Err() == nil {
		began := time.Now()
		err := r.withExecutor(ctx)
		if ctx.Err() != nil || r.leaving.Load() {
			return
		}
		r.progress.Store(&progress{detail: fmt.Sprintf("attaching to the executor again: %v", err)})
		r.log.Error("the line to the executor is broken", "err", err)
		if time.Since(began) > maxRetryAttach {
			wait = retryAttach
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
		wait = min(2*wait, maxRetryAttach)
	}
}

// withExecutor attaches to an executor, recovers, and works with it until the
// line breaks.
func (r *Runner) withExecutor(ctx context.Context) error {
	r.progress.Store(&progress{detail: "attaching to the executor"})
	// Whatever was on its way has been stored or refused when this is stored.
	if err := r.db.Write(ctx, func(context.Context, *db.Tx) error { return nil }); err != nil {
		return fmt.Errorf("the database takes no writes: %w", err)
	}
	r.dsp.behind.Store(false)
	options := r.attach
	options.Positions = make(map[uint64]uint64)
	positions, err := db.Get(ctx, r.db, func(ctx context.Context, q *db.Queries) ([]db.ExecutorPosition, error) {
		return q.ExecutorPositionList(ctx)
	})
	if err != nil {
		return fmt.Errorf("cannot read how far the executor's journal was applied: %w", err)
	}
	for _, row := range positions {
		options.Positions[uint64(row.Epoch)] = uint64(row.Number)
		options.AfterEpoch = max(options.AfterEpoch, uint64(row.Epoch))
	}
	client, attached, err := executor.Attach(ctx, options)
	if err != nil {
		return err
	}
	serving, fail := context.WithCancelCause(ctx)
	line := &attachment{client: client, fail: fail, broken: make(chan struct{})}
	defer func() {
		fail(nil)
		r.dsp.attached.Store(nil)
		_ = r.dsp.call(ctx, func() { r.dsp.executor = nil })
		if err := client.Close(); err != nil {
			r.log.Debug("the line to the executor was broken already", "err", err)
		}
		close(line.broken)
	}()
	r.dsp.attached.Store(line)
	if err := r.recover(ctx, client, attached); err != nil {
		return fmt.Errorf("cannot recover: %w", err)
	}
	r.progress.Store(&progress{ready: true, executor: &attached.Info})
	select {
	case <-r.recovered:
	default:
		close(r.recovered)
	}
	r.log.Info("ready", "executor_pid", attached.Info.PID, "live", len(attached.Live), "replayed", len(attached.Events))
	err = client.Serve(serving, func(batch []executor.Event) {
		r.dsp.inbox.post(func() {
			for _, ev := range batch {
				r.dsp.apply(ctx, ev)
			}
		})
	})
	if err == nil {
		err = errors.New("it closed the connection")
	}
	return err
}

// recover brings database and executor to the same view, attempt by attempt:
// what the journal knows is applied; what it does not know although it is whole
// was never started, and is started now under the same token; what is neither
// alive nor told of is "exit unknown", and the job's policy decides.
func (r *Runner) recover(ctx context.Context, client *executor.Client, attached *executor.Attached) error {
	r.progress.Store(&progress{detail: "reading what was running", executor: &attached.Info})
	if err := r.loadFlights(ctx); err != nil {
		return err
	}
	r.progress.Store(&progress{
		detail: fmt.Sprintf("applying %d events of the executor's journal", len(attached.Events)), executor: &attached.Info,
	})
	if err := r.dsp.call(ctx, func() {
		r.dsp.bootID = attached.Info.BootID
		for _, ev := range attached.Events {
			r.dsp.apply(ctx, ev)
		}
	}); err != nil {
		return err
	}
	if err := r.notePositions(ctx, attached.Info.Epochs); err != nil {
		return err
	}
	if r.dsp.behind.Load() {
		return errBehind
	}
	r.progress.Store(&progress{
		detail: fmt.Sprintf("adopting %d attempts", len(attached.Live)), executor: &attached.Info,
	})
	if err := r.adopt(ctx, client, attached.Live); err != nil {
		return err
	}
	return r.dsp.call(ctx, func() { r.dsp.resume(ctx, client, attached) })
}

// loadFlights reads what the database holds for handed to the executor. What is
// in flight already (the executor was replaced, not the daemon) stays.
func (r *Runner) loadFlights(ctx context.Context) error {
	const page = 1000
	for after := int64(math.MinInt64); ; {
		rows, err := db.Get(ctx, r.db, func(ctx context.Context, q *db.Queries) ([]db.JobActiveRow, error) {
			return q.JobActive(ctx, db.JobActiveParams{After: after, MaxRows: page})
		})
		if err != nil {
			return err
		}
		if err := r.dsp.call(ctx, func() {
			for _, row := range rows {
				r.dsp.adopt(row.Job, row.Attempt, row.Context, row.TimeoutMs, row.DeadlineAt)
			}
		}); err != nil {
			return err
		}
		if len(rows) < page {
			return nil
		}
		after = rows[len(rows)-1].Job.ID
	}
}

// notePositions waits until everything enqueued is on disk, begins the new
// epochs' positions and forgets those of executors that are gone: whatever they
// left has been applied, and applying it again would change nothing.
func (r *Runner) notePositions(ctx context.Context, epochs []uint64) error {
	return r.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		known, err := tx.ExecutorPositionList(ctx)
		if err != nil {
			return err
		}
		current := make(map[int64]bool, len(epochs))
		for _, epoch := range epochs {
			current[int64(epoch)] = true
			if err := tx.ExecutorPositionSet(ctx, db.ExecutorPositionSetParams{Epoch: int64(epoch)}); err != nil {
				return err
			}
		}
		for _, row := range known {
			if !current[row.Epoch] {
				if err := tx.ExecutorPositionDelete(ctx, row.Epoch); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// adopt takes over the live attempts that are not in flight yet: their start was
// still on its way to the disk when the daemon died. One that the database does
// not want is ended.
func (r *Runner) adopt(ctx context.Context, client *executor.Client, live []executor.Live) error {
	for _, one := range live {
		var known bool
		if err := r.dsp.call(ctx, func() { known = r.dsp.live[one.Attempt] != nil }); err != nil {
			return err
		}
		if known {
			continue
		}
		row, err := db.Get(ctx, r.db, func(ctx context.Context, q *db.Queries) (db.AttemptGetWithJobRow, error) {
			return q.AttemptGetWithJob(ctx, one.Attempt)
		})
		if err != nil && !db.IsNotFound(err) {
			return err
		}
		wanted := err == nil && row.Attempt.Token == one.Token && row.Attempt.Number == row.Job.Attempt && !JobState(row.Job.State).Final()
		if !wanted {
			r.log.Warn("the executor holds an attempt that the database does not know; it is ended", "attempt", one.Attempt)
			stop := (&candidate{}).stopSequence()
			if err := client.Stop(executor.Stop{Attempt: one.Attempt, Token: one.Token, Reason: stopSuperseded, Stop: stop}); err != nil {
				return err
			}
			continue
		}
		if err := r.dsp.call(ctx, func() {
			r.dsp.adopt(row.Job, row.Attempt, row.Context, row.TimeoutMs, row.DeadlineAt)
		}); err != nil {
			return err
		}
	}
	return nil
}

// adopt takes a stored attempt into flight.
func (d *dispatcher) adopt(job db.Job, attempt db.Attempt, context string, timeoutMs, deadlineAt *int64) {
	if d.live[attempt.ID] != nil {
		return
	}
	c, err := newCandidate(job, attempt.ID, attempt.Token, context, timeoutMs, deadlineAt)
	if err != nil {
		d.log.Error("an attempt in flight cannot be read; it goes on with default policies", "job_id", job.ID, "err", err)
		c = &candidate{
			runID: job.RunID, jobID: job.ID, attemptID: attempt.ID, number: attempt.Number,
			token: attempt.Token, name: job.Name, context: context,
		}
	}
	f := &flight{candidate: c, state: JobState(job.State), cancelRequested: job.CancelRequestedAt != nil}
	if attempt.BootID != nil {
		f.bootID = *attempt.BootID
	}
	d.live[attempt.ID] = f
}

// resume settles every flight the executor does not hold, repeats the stops
// that are still wanted, and opens admission.
func (d *dispatcher) resume(ctx context.Context, client *executor.Client, attached *executor.Attached) {
	d.executor = client
	held := make(map[int64]executor.Live, len(attached.Live))
	for _, one := range attached.Live {
		held[one.Attempt] = one
	}
	now := d.rec.now()
	for _, f := range d.live {
		one, isHeld := held[f.attemptID]
		switch {
		case isHeld && one.Token == f.token:
			d.resumeHeld(ctx, f, one)
		case f.state == JobStarting && attached.Whole && f.bootID == attached.Info.BootID && !f.cancelRequested && !d.stopping:
			if limit, over := f.limit(now); !over {
				d.order(f, limit)
				continue
			}
			d.endRun(ctx, f.runID, stopRunTimeout, nil)
			d.end(ctx, f, ended(f, now, executor.CauseStopped, stopRunTimeout))
		case f.state == JobStarting && attached.Whole && f.bootID == attached.Info.BootID:
			why := stopShutdown
			if f.cancelRequested {
				why = stopCancel
			}
			d.end(ctx, f, ended(f, now, executor.CauseStopped, why))
		default:
			d.end(ctx, f, ended(f, now, executor.CauseLost, ""))
		}
	}
	if d.stopping {
		d.stopAll()
	}
}

// resumeHeld goes on with an attempt that the executor holds, after bringing its
// job to where the executor has it.
func (d *dispatcher) resumeHeld(ctx context.Context, f *flight, one executor.Live) {
	from, to, at := f.state, JobStarting, d.rec.now()
	if one.Started != nil {
		to, at = JobRunning, one.Started.At
	}
	if from != to && from != JobRunning {
		f.state, f.bootID = to, d.bootID
		d.enqueue(ctx, true, func(ctx context.Context, tx *db.Tx) error {
			_, err := d.rec.catchUp(ctx, tx, f.candidate, from, at, f.bootID)
			if err != nil || to == JobStarting {
				return err
			}
			return d.rec.started(ctx, tx, f.candidate, one.Started)
		}, func(err error) {
			if err != nil {
				d.log.Error("cannot note an adopted attempt", "job_id", f.jobID, "attempt", f.number, "err", err)
			}
		})
	}
	if f.cancelRequested {
		d.stop(f, stopCancel)
	}
}

// ended is an end that no executor has told of.
func ended(f *flight, at time.Time, cause executor.Cause, why string) executor.Event {
	return executor.Event{
		Kind: executor.EventExited, Attempt: f.attemptID, Token: f.token, At: at,
		Exit: &executor.Exit{Cause: cause, StopReason: why},
	}
}
