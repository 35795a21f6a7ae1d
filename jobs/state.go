package jobs

import "slices"

// JobState is where a job stands; it is persisted. The package comment has the
// diagram.
type JobState string

// The states of a job.
const (
	// JobWaiting: a dependency, a start time or a back-off is not yet over; the
	// reason says which.
	JobWaiting JobState = "waiting"
	// JobQueued: nothing but admission holds it.
	JobQueued JobState = "queued"
	// JobStarting: its start was ordered from the executor.
	JobStarting JobState = "starting"
	// JobRunning: its process exists.
	JobRunning JobState = "running"
	// JobSucceeded: its last attempt ended with exit code 0. Final.
	JobSucceeded JobState = "succeeded"
	// JobFailed: its last attempt ended otherwise, for good. Final.
	JobFailed JobState = "failed"
	// JobCancelled: somebody ended it, and no process of it is left. Final.
	JobCancelled JobState = "cancelled"
	// JobSkipped: it was never started, because a job it needs did not succeed.
	// Final.
	JobSkipped JobState = "skipped"
)

// moves is the whole state machine: from each state the states that may follow.
var moves = map[JobState][]JobState{
	"":           {JobWaiting, JobQueued},
	JobWaiting:   {JobQueued, JobSkipped, JobCancelled},
	JobQueued:    {JobStarting, JobCancelled},
	JobStarting:  {JobRunning, JobWaiting, JobSucceeded, JobFailed, JobCancelled},
	JobRunning:   {JobWaiting, JobSucceeded, JobFailed, JobCancelled},
	JobSucceeded: nil,
	JobFailed:    nil,
	JobCancelled: nil,
	JobSkipped:   nil,
}

// CanMove tells whether a job may go from one state to another; from "" it may
// go where a new job begins.
func CanMove(from, to JobState) bool {
	return slices.Contains(moves[from], to)
}

// Final tells whether the state never changes again.
func (s JobState) Final() bool {
	next, known := moves[s]
	return known && len(next) == 0
}

// HasProcess tells whether the executor may hold a process of a job in this
// state.
func (s JobState) HasProcess() bool { return s == JobStarting || s == JobRunning }

// RunState is where a run stands; it follows from its jobs and is stored by the
// transaction that changes the last of them.
type RunState string

// The states of a run.
const (
	// RunRunning: at least one of its jobs is not final.
	RunRunning RunState = "running"
	// RunSucceeded: every job succeeded.
	RunSucceeded RunState = "succeeded"
	// RunFailed: at least one job failed.
	RunFailed RunState = "failed"
	// RunCancelled: none failed, and at least one was cancelled.
	RunCancelled RunState = "cancelled"
)

// Final tells whether the state never changes again.
func (s RunState) Final() bool { return s != RunRunning }
