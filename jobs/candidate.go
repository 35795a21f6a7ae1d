package jobs

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/heroproc/heroproc/db"
	"github.com/heroproc/heroproc/jobs/executor"
	"github.com/heroproc/heroproc/jobs/spec"
)

// candidate is a job that may be started: everything a start needs, so that
// admission asks nobody.
type candidate struct {
	runID, jobID int64
	// attemptID names the attempt's row and its output, number counts within the
	// job, token is what the process carries.
	attemptID, number int64
	token             string
	name              string
	context           string
	failures          int
	action            spec.Action
	// solo: the job is its run's only one, so that its end is the run's.
	solo bool
	// runTimeout and runDeadline limit the whole run; the deadline is known from
	// the run's first start on. Zero means none.
	runTimeout  time.Duration
	runDeadline time.Time
	// bytes estimates what the candidate costs in memory.
	bytes int64
}

// candidateOverhead is what a candidate costs beside its action's JSON: the
// struct, its strings and maps; measured roughly, it only steers a bound.
const candidateOverhead = 512

// place is where the candidate stands in the queue: by age of its job.
func (c *candidate) place() place { return place{order: c.jobID, id: c.jobID} }

// newCandidate makes a candidate of a stored job and its current attempt.
func newCandidate(job db.Job, attemptID int64, token string, context string, timeoutMs, deadlineAt *int64) (*candidate, error) {
	c := &candidate{
		runID: job.RunID, jobID: job.ID, name: job.Name, context: context,
		attemptID: attemptID, number: job.Attempt, token: token, failures: int(job.Failures),
		bytes: int64(len(job.Action)) + candidateOverhead,
	}
	if err := json.Unmarshal([]byte(job.Action), &c.action); err != nil {
		return nil, fmt.Errorf("cannot read the stored action of job %d: %w", job.ID, err)
	}
	if timeoutMs != nil {
		c.runTimeout = time.Duration(*timeoutMs) * time.Millisecond
	}
	if deadlineAt != nil {
		c.runDeadline = time.UnixMilli(*deadlineAt)
	}
	return c, nil
}

// startsItsRun says that the run is started by this job alone and that nothing
// hangs on when: its start is noted with the process or the end, whichever is
// told first, and costs a short job no statement of its own.
func (c *candidate) startsItsRun() bool { return c.solo && c.runTimeout == 0 }

// limit is how long the attempt may run when it is started now: its own timeout
// or what is left of the run's, whichever ends first. The executor enforces it,
// also while no daemon lives. Zero means no limit; over says that nothing is
// left.
func (c *candidate) limit(now time.Time) (limit time.Duration, over bool) {
	limit = time.Duration(c.action.Timeout)
	left := c.runTimeout
	if !c.runDeadline.IsZero() {
		if left = c.runDeadline.Sub(now); left <= 0 {
			return 0, true
		}
	}
	if left > 0 && (limit == 0 || left < limit) {
		limit = left
	}
	return limit, false
}

// runOver tells whether the run's own timeout has passed.
func (c *candidate) runOver(now time.Time) bool {
	return !c.runDeadline.IsZero() && !now.Before(c.runDeadline)
}

// flight is an attempt that was handed to the executor and has not ended.
type flight struct {
	*candidate
	// state is the job's state as the write queue will have it: starting or
	// running.
	state JobState
	// bootID is the boot under which the start was ordered.
	bootID string
	// cancelRequested: when the process is gone, nothing starts again.
	cancelRequested bool
	// runEnded: the run's timeout is over.
	runEnded bool
}

// stopSequence is how the attempt is ended before its time.
func (c *candidate) stopSequence() executor.StopSequence {
	signal, grace := c.action.StopSequence()
	return executor.StopSequence{Signal: signal, Grace: grace}
}

// newToken makes an attempt's token: 128 random bits.
func newToken() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	return hex.EncodeToString(b[:])
}
