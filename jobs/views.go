package jobs

import (
	"github.com/heroproc/heroproc/db"
	"github.com/heroproc/heroproc/jobs/logs"
)

// Submitted answers a submission: the run is on disk.
type Submitted struct {
	ID    int64
	UID   string
	State RunState
	// Existing says that the idempotency key had made the run before.
	Existing bool
}

// RunDetail is a run with everything below it.
type RunDetail struct {
	Run db.Run
	// ExitCode is the run's code once it is final, else nil.
	ExitCode *int
	// Jobs are in graph order.
	Jobs []JobDetail
}

// JobDetail is a job with what it needs and its attempts, oldest first.
type JobDetail struct {
	Job      db.Job
	Needs    []string
	Attempts []db.Attempt
}

// Outcome is how a run stands.
type Outcome struct {
	ID     int64
	State  RunState
	Reason Reason
	// ExitCode is the run's code once it is final, else nil: 0, or that of the
	// first failed job in graph order (its exit code; 128+signal; 124 timeout; 127
	// not found, 126 not executable), 130 when it was cancelled.
	ExitCode *int
}

// Cancelled says what a cancellation did.
type Cancelled struct {
	ID    int64
	State RunState
	// Final counts the jobs that had no process: they are cancelled now.
	Final int
	// Stopping counts those whose process is being ended.
	Stopping int
}

// OutputQuery asks for the output of a run or of one of its jobs.
type OutputQuery struct {
	// Run or Job says whose; one of them is set.
	Run, Job int64
	// Attempt is the number of one attempt of Job; 0 means all of them.
	Attempt int64
	// Tail asks for the last lines of each attempt only; 0 means all.
	Tail int
	// Follow goes on until everything asked for is final.
	Follow bool
}

// OutputLine is a line with where it comes from.
type OutputLine struct {
	JobID   int64
	Job     string
	Attempt int64
	logs.Line
}

// Stats counts what the runner has done since it started.
type Stats struct {
	Slots, Running, QueuedInMemory int
	Started, Ended                 int64
}

// Executor identifies the executor the runner works with.
type Executor struct {
	PID             int
	Version         string
	StartedAtMillis int64
}
