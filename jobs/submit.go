package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/heroproc/heroproc/db"
	"github.com/heroproc/heroproc/jobs/spec"
)

// submission is a validated run with everything that can be worked out before
// the transaction: inside it only rows are written.
type submission struct {
	run         *spec.Run
	uid         string
	tags        string
	fingerprint *string
	jobs        []submittedJob
	bytes       int
}

type submittedJob struct {
	name   string
	action spec.Action
	json   string
	token  string
	// needs are positions of earlier jobs.
	needs []int
}

// newSubmission prepares a run that has been found valid.
func newSubmission(run *spec.Run) (*submission, error) {
	uid, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("cannot make a uid: %w", err)
	}
	tags := run.Tags
	if tags == nil {
		tags = []string{}
	}
	tagsJSON, err := json.Marshal(tags)
	if err != nil {
		return nil, err
	}
	s := &submission{run: run, uid: uid.String(), tags: string(tagsJSON)}
	if run.Key != "" {
		s.fingerprint = new(run.Fingerprint())
	}
	order := run.Order()
	positions := make(map[string]int, len(order))
	s.jobs = make([]submittedJob, 0, len(order))
	for i, name := range order {
		positions[name] = i
		action := run.Effective(name)
		text, err := json.Marshal(action)
		if err != nil {
			return nil, err
		}
		job := submittedJob{name: name, action: action, json: string(text), token: newToken()}
		for _, need := range run.Jobs[name].Needs {
			job.needs = append(job.needs, positions[need])
		}
		s.jobs = append(s.jobs, job)
		s.bytes += len(text) + candidateOverhead
	}
	return s, nil
}

// submit stores a run with its jobs, edges and first tokens: all of it or
// nothing. The jobs that wait for nothing are handed to admission by the commit.
func (rec *recorder) submit(ctx context.Context, tx *db.Tx, s *submission, at int64) (Submitted, error) {
	if s.fingerprint != nil {
		existing, found, err := rec.submittedBefore(ctx, tx, s)
		if err != nil || found {
			return existing, err
		}
	}
	reason := Reason{ReasonSubmitted, "submitted"}
	var timeout *int64
	if s.run.Timeout > 0 {
		timeout = new(time.Duration(s.run.Timeout).Milliseconds())
	}
	runID, err := tx.RunInsert(ctx, db.RunInsertParams{
		UID: s.uid, Name: s.run.Name, Context: s.run.Context, Tags: s.tags, Key: nonEmpty(s.run.Key),
		Fingerprint: s.fingerprint, ReasonCode: reason.Code, ReasonText: reason.Text, TimeoutMs: timeout, CreatedAt: at,
	})
	if err != nil {
		return Submitted{}, err
	}
	if err := rec.runEvent(ctx, tx, runID, "", RunRunning, reason, at); err != nil {
		return Submitted{}, err
	}
	ids := make([]int64, len(s.jobs))
	for i, job := range s.jobs {
		if ids[i], err = rec.submitJob(ctx, tx, s, runID, i, ids, at); err != nil {
			return Submitted{}, fmt.Errorf("job %q: %w", job.name, err)
		}
	}
	return Submitted{ID: runID, UID: s.uid, State: RunRunning}, nil
}

func (rec *recorder) submitJob(ctx context.Context, tx *db.Tx, s *submission, run int64, i int, ids []int64, at int64) (int64, error) {
	job := &s.jobs[i]
	state, reason := JobQueued, Reason{ReasonSubmitted, "submitted"}
	if len(job.needs) > 0 {
		state, reason = JobWaiting, Reason{ReasonDependency, "waits for what it needs"}
	}
	id, err := tx.JobInsert(ctx, db.JobInsertParams{
		RunID: run, Position: int64(i), Name: job.name, State: string(state), ReasonCode: reason.Code,
		ReasonText: reason.Text, Action: job.json, CreatedAt: at,
	})
	if err != nil {
		return 0, err
	}
	for _, need := range job.needs {
		if err := tx.JobDependencyInsert(ctx, db.JobDependencyInsertParams{JobID: id, NeedsID: ids[need]}); err != nil {
			return 0, err
		}
	}
	attempt, err := tx.AttemptInsert(ctx, db.AttemptInsertParams{JobID: id, Number: 1, Token: job.token, CreatedAt: at})
	if err != nil {
		return 0, err
	}
	if state == JobQueued {
		c := &candidate{
			runID: run, jobID: id, attemptID: attempt, number: 1, token: job.token, name: job.name, context: s.run.Context,
			action: job.action, solo: len(s.jobs) == 1, runTimeout: time.Duration(s.run.Timeout),
			bytes: int64(len(job.json)) + candidateOverhead,
		}
		tx.AfterCommit(func() { rec.enqueue(c) })
	}
	return id, rec.jobEvent(ctx, tx, move{run, id, 1, "", state, reason, at})
}

// submittedBefore finds the run that an idempotency key stands for already. The
// same key for another request is a conflict, because one of the two would be
// lost.
func (rec *recorder) submittedBefore(ctx context.Context, tx *db.Tx, s *submission) (Submitted, bool, error) {
	run, err := tx.RunGetByKey(ctx, db.RunGetByKeyParams{Context: s.run.Context, Key: s.run.Key})
	if db.IsNotFound(err) {
		return Submitted{}, false, nil
	}
	if err != nil {
		return Submitted{}, false, err
	}
	if run.Fingerprint == nil || *run.Fingerprint != *s.fingerprint {
		return Submitted{}, false, fmt.Errorf("the key %q already stands for run %d, which was submitted with other content: %w",
			s.run.Key, run.ID, ErrConflict)
	}
	return Submitted{ID: run.ID, UID: run.UID, State: RunState(run.State), Existing: true}, true, nil
}
