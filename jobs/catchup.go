package jobs

import (
	"context"
	"time"

	"github.com/heroproc/heroproc/db"
)

// catchUp brings a job whose start the database has not heard of to "starting",
// by the steps it went through: the daemon died between the order and the
// commit, or the disk did not take the step, but the executor's journal has what
// came of it. It answers where the job is then.
func (rec *recorder) catchUp(ctx context.Context, tx *db.Tx, c *candidate, state JobState, at time.Time, bootID string) (JobState, error) {
	if state == JobWaiting {
		reason := Reason{ReasonBackoff, "its back-off was over"}
		if err := moved(tx.JobSetQueued(ctx, db.JobSetQueuedParams{
			ID: c.jobID, Attempt: c.number, ReasonCode: reason.Code, ReasonText: reason.Text,
		})); err != nil {
			return state, err
		}
		if err := rec.jobEvent(ctx, tx, move{c.runID, c.jobID, c.number, JobWaiting, JobQueued, reason, at.UnixMilli()}); err != nil {
			return state, err
		}
		state = JobQueued
	}
	if state == JobQueued {
		if err := rec.starting(ctx, tx, c, bootID, at); err != nil {
			return state, err
		}
		state = JobStarting
	}
	return state, nil
}

// whereIs answers the state of a job that is not where it was expected, after
// catching up with the steps it has missed. current is false when the attempt
// is not the job's any more, or the job is final: then nothing is left to do.
func (rec *recorder) whereIs(ctx context.Context, tx *db.Tx, c *candidate, at time.Time, bootID string) (state JobState, current bool, err error) {
	job, err := tx.JobGet(ctx, c.jobID)
	if db.IsNotFound(err) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	if job.Attempt != c.number || JobState(job.State).Final() {
		return JobState(job.State), false, nil
	}
	state, err = rec.catchUp(ctx, tx, c, JobState(job.State), at, bootID)
	return state, err == nil, err
}
