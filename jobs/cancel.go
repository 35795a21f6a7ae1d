package jobs

import (
	"context"
	"fmt"

	"github.com/heroproc/heroproc/db"
)

// cancelRun ends what has no process of a run and remembers the wish for what
// has one. why is stopCancel or stopRunTimeout. A run that is final is a
// conflict: there is nothing left to cancel.
func (rec *recorder) cancelRun(ctx context.Context, tx *db.Tx, run int64, why string, at int64) (Cancelled, error) {
	row, err := tx.RunGet(ctx, run)
	if db.IsNotFound(err) {
		return Cancelled{}, fmt.Errorf("run %d: %w", run, ErrNotFound)
	}
	if err != nil {
		return Cancelled{}, err
	}
	result := Cancelled{ID: run, State: RunState(row.State)}
	if result.State.Final() {
		return result, fmt.Errorf("run %d is %s already: %w", run, row.State, ErrConflict)
	}
	reason := Reason{ReasonCancelled, "cancelled on request, before it was started"}
	if why == stopRunTimeout {
		reason = Reason{ReasonTimeout, "the run's timeout was over before it was started"}
	}
	open, err := tx.JobOpenByRun(ctx, run)
	if err != nil {
		return result, err
	}
	for _, job := range open {
		from := JobState(job.State)
		if from.HasProcess() {
			result.Stopping++
			if why == stopCancel {
				if _, err := tx.JobRequestCancel(ctx, db.JobRequestCancelParams{ID: job.ID, At: &at}); err != nil {
					return result, err
				}
			}
			continue
		}
		if err := moved(tx.JobSetFinal(ctx, db.JobSetFinalParams{
			ID: job.ID, Attempt: job.Attempt, FromState: job.State, State: string(JobCancelled),
			ReasonCode: reason.Code, ReasonText: reason.Text, FinishedAt: &at,
		})); err != nil {
			return result, err
		}
		if err := rec.jobEvent(ctx, tx, move{run, job.ID, job.Attempt, from, JobCancelled, reason, at}); err != nil {
			return result, err
		}
		result.Final++
	}
	if err := rec.endRunIfDone(ctx, tx, run, at); err != nil {
		return result, err
	}
	if row, err = tx.RunGet(ctx, run); err != nil {
		return result, err
	}
	result.State = RunState(row.State)
	return result, nil
}
