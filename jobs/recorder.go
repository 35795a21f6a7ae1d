package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/heroproc/heroproc/db"
	"github.com/heroproc/heroproc/jobs/executor"
)

// Kinds of events.
const (
	eventRun = "run"
	eventJob = "job"
)

// recorder writes transitions. Each of its methods is the body of one write
// operation: it runs inside a savepoint, changes rows only if they are where the
// caller saw them, and tells the rest of the house after the commit.
type recorder struct {
	queue     *window[*candidate]
	delays    *window[delayed]
	deadlines *window[int64]
	watchers  *watchers
	// wake tells the dispatcher that there may be something to admit.
	wake func()
	now  func() time.Time
}

// delayed is a job whose back-off is not over.
type delayed struct{ runID, jobID, number int64 }

// delayedBytes is what a delayed job costs in memory; it only steers a bound.
const delayedBytes = 64

// move is one transition of one job, as its event tells it.
type move struct {
	runID, jobID, number int64
	from, to             JobState
	reason               Reason
	at                   int64
}

// jobEvent appends a job's transition to the events and rings for its run.
func (rec *recorder) jobEvent(ctx context.Context, tx *db.Tx, m move) error {
	if !CanMove(m.from, m.to) {
		return fmt.Errorf("job %d cannot go from %q to %q", m.jobID, m.from, m.to)
	}
	p := db.EventInsertParams{
		At: m.at, Kind: eventJob, RunID: m.runID, JobID: &m.jobID, Attempt: &m.number, ToState: string(m.to),
		ReasonCode: m.reason.Code, ReasonText: m.reason.Text,
	}
	if m.from != "" {
		p.FromState = new(string(m.from))
	}
	if err := tx.EventInsert(ctx, p); err != nil {
		return err
	}
	tx.AfterCommit(func() { rec.watchers.ring(m.runID, false) })
	return nil
}

func (rec *recorder) runEvent(ctx context.Context, tx *db.Tx, run int64, from, to RunState, reason Reason, at int64) error {
	p := db.EventInsertParams{
		At: at, Kind: eventRun, RunID: run, ToState: string(to), ReasonCode: reason.Code, ReasonText: reason.Text,
	}
	if from != "" {
		p.FromState = new(string(from))
	}
	if err := tx.EventInsert(ctx, p); err != nil {
		return err
	}
	tx.AfterCommit(func() { rec.watchers.ring(run, to.Final()) })
	return nil
}

// errMoved says that a job was not where the caller saw it: somebody else won.
var errMoved = errors.New("the job is in another state by now")

// moved turns the row count of a conditional update into errMoved.
func moved(rows int64, err error) error {
	if err == nil && rows == 0 {
		return errMoved
	}
	return err
}

// starting notes that the start of an attempt was ordered.
func (rec *recorder) starting(ctx context.Context, tx *db.Tx, c *candidate, bootID string, at time.Time) error {
	reason := Reason{ReasonAdmitted, "admitted; its start was ordered"}
	if err := moved(tx.JobSetStarting(ctx, db.JobSetStartingParams{
		ID: c.jobID, Attempt: c.number, ReasonCode: reason.Code, ReasonText: reason.Text,
	})); err != nil {
		return err
	}
	if err := tx.AttemptSetOrdered(ctx, db.AttemptSetOrderedParams{ID: c.attemptID, BootID: &bootID}); err != nil {
		return err
	}
	ms := at.UnixMilli()
	if !c.startsItsRun() {
		if err := rec.runStarted(ctx, tx, c, ms); err != nil {
			return err
		}
	}
	return rec.jobEvent(ctx, tx, move{c.runID, c.jobID, c.number, JobQueued, JobStarting, reason, ms})
}

// runStarted notes the first start of any of a run's jobs, from which its timeout
// counts.
func (rec *recorder) runStarted(ctx context.Context, tx *db.Tx, c *candidate, at int64) error {
	rows, err := tx.RunSetStarted(ctx, db.RunSetStartedParams{ID: c.runID, StartedAt: &at})
	if err != nil {
		return err
	}
	if rows > 0 && c.runTimeout > 0 {
		deadline := at + c.runTimeout.Milliseconds()
		tx.AfterCommit(func() { rec.deadlines.push(deadline, c.runID, delayedBytes, c.runID); rec.wake() })
	}
	return nil
}

// started notes the attempt's process. A job that is running already is one
// whose process was adopted: only its identity is written again.
func (rec *recorder) started(ctx context.Context, tx *db.Tx, c *candidate, s *executor.Started) error {
	place, err := json.Marshal(s.Log)
	if err != nil {
		return err
	}
	ms := s.At.UnixMilli()
	if err := tx.AttemptSetStarted(ctx, db.AttemptSetStartedParams{
		ID: c.attemptID, BootID: &s.BootID, PID: new(int64(s.PID)), StartTicks: new(int64(s.StartTicks)),
		Cgroup: nonEmpty(s.Cgroup), StartedAt: &ms, LogPlace: new(string(place)),
	}); err != nil {
		return err
	}
	err = rec.running(ctx, tx, c, s)
	if !errors.Is(err, errMoved) {
		return err
	}
	state, current, err := rec.whereIs(ctx, tx, c, s.At, s.BootID)
	if err != nil || !current || state != JobStarting {
		return err
	}
	return rec.running(ctx, tx, c, s)
}

// running takes a starting job to running.
func (rec *recorder) running(ctx context.Context, tx *db.Tx, c *candidate, s *executor.Started) error {
	ms := s.At.UnixMilli()
	reason := Reason{ReasonStarted, fmt.Sprintf("started as pid %d", s.PID)}
	if err := moved(tx.JobSetRunning(ctx, db.JobSetRunningParams{
		ID: c.jobID, Attempt: c.number, ReasonCode: reason.Code, ReasonText: reason.Text, StartedAt: &ms,
	})); err != nil {
		return err
	}
	if c.startsItsRun() {
		if err := rec.runStarted(ctx, tx, c, ms); err != nil {
			return err
		}
	}
	return rec.jobEvent(ctx, tx, move{c.runID, c.jobID, c.number, JobStarting, JobRunning, reason, ms})
}

// exited ends an attempt and carries out the verdict on its job. A job that is
// not in state from has missed a step, which is made good; one that is final, or
// has another attempt by now, keeps what it has. The attempt's end is noted in
// any case.
func (rec *recorder) exited(ctx context.Context, tx *db.Tx, c *candidate, from JobState, ev executor.Event, v verdict) error {
	if err := rec.attemptEnded(ctx, tx, c.attemptID, ev, v.Reason, ev.At.UnixMilli()); err != nil || from.Final() {
		return err
	}
	err := rec.carryOut(ctx, tx, c, from, ev, v)
	if !errors.Is(err, errMoved) {
		return err
	}
	bootID := ""
	if ev.Started != nil {
		bootID = ev.Started.BootID
	}
	from, current, err := rec.whereIs(ctx, tx, c, ev.At, bootID)
	if err != nil || !current {
		return err
	}
	return rec.carryOut(ctx, tx, c, from, ev, v)
}

// carryOut takes a job from where it is to where the verdict sends it.
func (rec *recorder) carryOut(ctx context.Context, tx *db.Tx, c *candidate, from JobState, ev executor.Event, v verdict) error {
	at := ev.At.UnixMilli()
	var startedAt *int64
	if ev.Started != nil {
		startedAt = new(ev.Started.At.UnixMilli())
	}
	var failed int64
	if v.Counted {
		failed = 1
	}
	if v.State == JobWaiting {
		return rec.retry(ctx, tx, c, from, v, startedAt, failed, at)
	}
	return rec.final(ctx, tx, c, from, v, ev.Exit, startedAt, failed, at)
}

func (rec *recorder) attemptEnded(ctx context.Context, tx *db.Tx, attempt int64, ev executor.Event, reason Reason, at int64) error {
	exit := ev.Exit
	p := db.AttemptSetEndedParams{
		ID: attempt, FinishedAt: &at, ReasonCode: reason.Code, ReasonText: reason.Text,
		StderrTail: exit.StderrTail, Output: exit.Output,
	}
	if ev.Started != nil {
		s := ev.Started
		p.BootID, p.PID, p.StartTicks = &s.BootID, new(int64(s.PID)), new(int64(s.StartTicks))
		p.Cgroup, p.StartedAt = nonEmpty(s.Cgroup), new(s.At.UnixMilli())
	}
	if hadProcess := exit.Cause != executor.CauseCannotStart && exit.Cause != executor.CauseLost; hadProcess {
		place, err := json.Marshal(exit.Log)
		if err != nil {
			return err
		}
		p.ExitCode, p.Signal = exitCodeAndSignal(exit)
		p.CPUUserMs, p.CPUSystemMs = new(exit.UserCPU.Milliseconds()), new(exit.SystemCPU.Milliseconds())
		p.MaxRSSBytes = &exit.MaxRSSBytes
		p.LogPlace, p.LogBytes, p.DroppedBytes = new(string(place)), &exit.LogBytes, &exit.DroppedBytes
	}
	_, err := tx.AttemptSetEnded(ctx, p)
	return err
}

// exitCodeAndSignal answers the one of the two that is set.
func exitCodeAndSignal(exit *executor.Exit) (code, signal *int64) {
	switch {
	case exit.Cause == executor.CauseCannotStart || exit.Cause == executor.CauseLost:
		return nil, nil
	case exit.Signal != 0:
		return nil, new(int64(exit.Signal))
	default:
		return new(int64(exit.Code)), nil
	}
}

// retry sends the job back to wait for an attempt that this transaction makes
// possible.
func (rec *recorder) retry(
	ctx context.Context, tx *db.Tx, c *candidate, from JobState, v verdict, startedAt *int64, failed, at int64,
) error {
	due := at + v.Delay.Milliseconds()
	reason := Reason{ReasonBackoff, fmt.Sprintf("attempt %d: %s; next attempt after %s", c.number, v.Reason.Text,
		v.Delay.Round(time.Millisecond))}
	if err := moved(tx.JobSetRetry(ctx, db.JobSetRetryParams{
		ID: c.jobID, Attempt: c.number, FromState: string(from), ReasonCode: reason.Code, ReasonText: reason.Text,
		Failed: failed, StartedAt: startedAt, NotBeforeAt: &due,
	})); err != nil {
		return err
	}
	if startedAt != nil && c.startsItsRun() {
		if err := rec.runStarted(ctx, tx, c, *startedAt); err != nil {
			return err
		}
	}
	number := c.number + 1
	if _, err := tx.AttemptInsert(ctx, db.AttemptInsertParams{
		JobID: c.jobID, Number: number, Token: newToken(), CreatedAt: at,
	}); err != nil {
		return err
	}
	tx.AfterCommit(func() {
		rec.delays.push(due, c.jobID, delayedBytes, delayed{c.runID, c.jobID, number})
		rec.wake()
	})
	return rec.jobEvent(ctx, tx, move{c.runID, c.jobID, c.number, from, JobWaiting, reason, at})
}

// final ends the job for good, and with it whatever follows: dependents are
// queued or skipped, and the run ends with its last job.
func (rec *recorder) final(
	ctx context.Context, tx *db.Tx, c *candidate, from JobState, v verdict, exit *executor.Exit, startedAt *int64, failed, at int64,
) error {
	code, signal := exitCodeAndSignal(exit)
	if err := moved(tx.JobSetFinal(ctx, db.JobSetFinalParams{
		ID: c.jobID, Attempt: c.number, FromState: string(from), State: string(v.State),
		ReasonCode: v.Reason.Code, ReasonText: v.Reason.Text, StartedAt: startedAt, FinishedAt: &at,
		Failed: failed, ExitCode: code, Signal: signal,
	})); err != nil {
		return err
	}
	if err := rec.jobEvent(ctx, tx, move{c.runID, c.jobID, c.number, from, v.State, v.Reason, at}); err != nil {
		return err
	}
	if c.solo {
		return rec.endRun(ctx, tx, c.runID, runStateAfter(v.State), v.Reason, startedAt, at)
	}
	if err := rec.dependents(ctx, tx, c.jobID, c.name, v.State, at); err != nil {
		return err
	}
	return rec.endRunIfDone(ctx, tx, c.runID, at)
}

// runStateAfter is the state of a run whose only job ended so.
func runStateAfter(job JobState) RunState {
	switch job {
	case JobFailed:
		return RunFailed
	case JobCancelled:
		return RunCancelled
	default:
		return RunSucceeded
	}
}

// dependents queues what a success has unblocked, or skips what a job that did
// not succeed has made impossible, and what needs that, and so on.
func (rec *recorder) dependents(ctx context.Context, tx *db.Tx, job int64, name string, state JobState, at int64) error {
	if state == JobSucceeded {
		ready, err := tx.JobUnblockedBy(ctx, job)
		if err != nil {
			return err
		}
		for _, next := range ready {
			if err := rec.queued(ctx, tx, next.ID, next.Attempt, Reason{ReasonDependency, "everything it needs has succeeded"}, at); err != nil {
				return err
			}
		}
		return nil
	}
	type ended struct {
		id    int64
		name  string
		state JobState
	}
	for line := []ended{{job, name, state}}; len(line) > 0; line = line[1:] {
		blocked, err := tx.JobWaitingOn(ctx, line[0].id)
		if err != nil {
			return err
		}
		reason := Reason{ReasonNeedFailed, fmt.Sprintf("it needs %q, which is %s", line[0].name, line[0].state)}
		for _, next := range blocked {
			if err := moved(tx.JobSetFinal(ctx, db.JobSetFinalParams{
				ID: next.ID, Attempt: next.Attempt, FromState: string(JobWaiting), State: string(JobSkipped),
				ReasonCode: reason.Code, ReasonText: reason.Text, FinishedAt: &at,
			})); err != nil {
				return err
			}
			if err := rec.jobEvent(ctx, tx, move{next.RunID, next.ID, next.Attempt, JobWaiting, JobSkipped, reason, at}); err != nil {
				return err
			}
			line = append(line, ended{next.ID, next.Name, JobSkipped})
		}
	}
	return nil
}

// queued ends a job's wait: from the commit on only admission holds it. A job
// that does not wait any more is left alone.
func (rec *recorder) queued(ctx context.Context, tx *db.Tx, job, number int64, reason Reason, at int64) error {
	err := moved(tx.JobSetQueued(ctx, db.JobSetQueuedParams{
		ID: job, Attempt: number, ReasonCode: reason.Code, ReasonText: reason.Text,
	}))
	if errors.Is(err, errMoved) {
		return nil
	}
	if err != nil {
		return err
	}
	row, err := tx.JobCandidate(ctx, job)
	if err != nil {
		return err
	}
	c, err := newCandidate(row.Job, row.AttemptID, row.Token, row.Context, row.TimeoutMs, row.DeadlineAt)
	if err != nil {
		return err
	}
	tx.AfterCommit(func() { rec.enqueue(c) })
	return rec.jobEvent(ctx, tx, move{c.runID, job, number, JobWaiting, JobQueued, reason, at})
}

// enqueue hands a committed candidate to admission.
func (rec *recorder) enqueue(c *candidate) {
	at := c.place()
	rec.queue.push(at.order, at.id, c.bytes, c)
	rec.wake()
}

// endRunIfDone gives the run its final state if its last job has ended.
func (rec *recorder) endRunIfDone(ctx context.Context, tx *db.Tx, run, at int64) error {
	open, err := tx.RunHasOpenJobs(ctx, run)
	if err != nil || open != 0 {
		return err
	}
	for _, from := range []JobState{JobFailed, JobCancelled} {
		job, err := tx.JobFirstInState(ctx, db.JobFirstInStateParams{RunID: run, State: string(from)})
		if db.IsNotFound(err) {
			continue
		}
		if err != nil {
			return err
		}
		reason := Reason{job.ReasonCode, fmt.Sprintf("job %q: %s", job.Name, job.ReasonText)}
		return rec.endRun(ctx, tx, run, runStateAfter(from), reason, nil, at)
	}
	return rec.endRun(ctx, tx, run, RunSucceeded, Reason{ReasonSucceeded, "every job succeeded"}, nil, at)
}

// endRun gives a run its final state; startedAt says when it was started where
// that has not been noted yet.
func (rec *recorder) endRun(
	ctx context.Context, tx *db.Tx, run int64, state RunState, reason Reason, startedAt *int64, at int64,
) error {
	err := moved(tx.RunSetFinal(ctx, db.RunSetFinalParams{
		ID: run, State: string(state), ReasonCode: reason.Code, ReasonText: reason.Text, StartedAt: startedAt, FinishedAt: &at,
	}))
	if err != nil {
		return err
	}
	return rec.runEvent(ctx, tx, run, RunRunning, state, reason, at)
}

// stuck notes that a stop is survived by somebody; the state stays.
func (rec *recorder) stuck(ctx context.Context, tx *db.Tx, c *candidate, state JobState, survivors []executor.Survivor) error {
	_, err := tx.JobSetReason(ctx, db.JobSetReasonParams{
		ID: c.jobID, Attempt: c.number, State: string(state),
		ReasonCode: ReasonStuck, ReasonText: "its stop is not obeyed" + survivorsText(survivors),
	})
	tx.AfterCommit(func() { rec.watchers.ring(c.runID, false) })
	return err
}

// nonEmpty is nil for "", as a column that may be NULL wants it.
func nonEmpty(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
