package rpc

import (
	"time"

	"github.com/heroproc/heroproc/jobs/spec"
)

// Limits of what one call may ask for. They bound the memory of an answer, and a
// page of this size is read in milliseconds.
const (
	// MaxSubmit is the number of runs that one run.submit_many takes.
	MaxSubmit = 1000
	// MaxList and DefaultList are rows of one page of a list.
	MaxList     = 1000
	DefaultList = 50
	// MaxLines and DefaultLines are lines of one page of job.logs.
	MaxLines     = 10_000
	DefaultLines = 1000
	// MaxWait is how long one run.wait waits, and what it waits by default.
	MaxWait = time.Hour
)

// SubmitParams is a run document: run.submit takes it as it stands in a file.
type SubmitParams = spec.Run

// SubmitResult is answered once the run is on disk.
type SubmitResult struct {
	ID    int64  `json:"id"`
	UID   string `json:"uid"`
	State string `json:"state"`
	// Existing says that the idempotency key had made this run before.
	Existing bool `json:"existing,omitempty"`
}

// SubmitManyParams are several runs, at most MaxSubmit, stored all or none.
type SubmitManyParams struct {
	Runs []spec.Run `json:"runs"`
}

// SubmitManyResult answers them in the order in which they were given.
type SubmitManyResult struct {
	Runs []SubmitResult `json:"runs"`
}

// IDParams names one run or one job.
type IDParams struct {
	ID int64 `json:"id"`
}

// ListParams asks for a page, newest first.
type ListParams struct {
	// Limit is at most MaxList; default DefaultList.
	Limit int `json:"limit,omitempty"`
	// Before is the "next" of the page before; 0 begins with the newest.
	Before int64 `json:"before,omitempty"`
}

// Reason is why the last decision was taken: a code for programs and a
// sentence for people.
type Reason struct {
	Code string `json:"code"`
	Text string `json:"text"`
}

// Run is one go at something.
type Run struct {
	ID         int64    `json:"id"`
	UID        string   `json:"uid"`
	Name       string   `json:"name"`
	Context    string   `json:"context"`
	Tags       []string `json:"tags"`
	Key        string   `json:"key,omitempty"`
	State      string   `json:"state"`
	Reason     Reason   `json:"reason"`
	TimeoutMs  int64    `json:"timeout_ms,omitempty"`
	CreatedAt  Time     `json:"created_at"`
	StartedAt  *Time    `json:"started_at,omitempty"`
	DeadlineAt *Time    `json:"deadline_at,omitempty"`
	FinishedAt *Time    `json:"finished_at,omitempty"`
}

// RunDetail is a run with its jobs and their attempts.
type RunDetail struct {
	Run
	// ExitCode is what `run wait` exits with; absent while the run is running.
	ExitCode *int        `json:"exit_code,omitempty"`
	Jobs     []JobDetail `json:"jobs"`
}

// RunList is a page of runs.
type RunList struct {
	Runs []Run `json:"runs"`
	// Next is the "before" of the next page; absent means that there is none.
	Next int64 `json:"next,omitempty"`
}

// WaitParams waits for the end of a run.
type WaitParams struct {
	ID int64 `json:"id"`
	// TimeoutMs limits the wait, at most and by default MaxWait; when it is over
	// the answer says so by a state that is not final and no exit code.
	TimeoutMs int64 `json:"timeout_ms,omitempty"`
}

// WaitResult is how the run stands: final, unless the wait was over first.
type WaitResult struct {
	ID    int64  `json:"id"`
	State string `json:"state"`
	// ExitCode is the run's code: 0, or that of its first failed job in graph
	// order: its exit code, 128+signal, 124 timeout, 127 not found, 126 not
	// executable; 130 cancelled. Absent while the run is running.
	ExitCode *int   `json:"exit_code,omitempty"`
	Reason   Reason `json:"reason"`
}

// CancelResult says what the cancellation did.
type CancelResult struct {
	ID    int64  `json:"id"`
	State string `json:"state"`
	// Cancelled jobs had no process and are final now.
	Cancelled int `json:"cancelled"`
	// Stopping jobs have a process that is being ended; they become cancelled
	// when nothing of it is left, unless they end by themselves before.
	Stopping int `json:"stopping"`
}

// Job is one action inside one run.
type Job struct {
	ID          int64  `json:"id"`
	RunID       int64  `json:"run_id"`
	Name        string `json:"name"`
	State       string `json:"state"`
	Reason      Reason `json:"reason"`
	Attempt     int64  `json:"attempt"`
	Failures    int64  `json:"failures,omitempty"`
	CreatedAt   Time   `json:"created_at"`
	NotBeforeAt *Time  `json:"not_before_at,omitempty"`
	StartedAt   *Time  `json:"started_at,omitempty"`
	FinishedAt  *Time  `json:"finished_at,omitempty"`
	ExitCode    *int64 `json:"exit_code,omitempty"`
	Signal      *int64 `json:"signal,omitempty"`
	// CancelRequestedAt is set while a cancelled job's process is being ended.
	CancelRequestedAt *Time       `json:"cancel_requested_at,omitempty"`
	Action            spec.Action `json:"action"`
}

// JobDetail is a job with what it needs and its attempts, oldest first.
type JobDetail struct {
	Job
	Needs    []string  `json:"needs,omitempty"`
	Attempts []Attempt `json:"attempts"`
}

// JobList is a page of jobs.
type JobList struct {
	Jobs []Job `json:"jobs"`
	// Next is the "before" of the next page; absent means that there is none.
	Next int64 `json:"next,omitempty"`
}

// Attempt is one process life of a job.
type Attempt struct {
	ID           int64  `json:"id"`
	Number       int64  `json:"number"`
	Reason       Reason `json:"reason"`
	PID          int64  `json:"pid,omitempty"`
	StartTicks   int64  `json:"start_ticks,omitempty"`
	BootID       string `json:"boot_id,omitempty"`
	CreatedAt    Time   `json:"created_at"`
	StartedAt    *Time  `json:"started_at,omitempty"`
	FinishedAt   *Time  `json:"finished_at,omitempty"`
	ExitCode     *int64 `json:"exit_code,omitempty"`
	Signal       *int64 `json:"signal,omitempty"`
	CPUUserMs    int64  `json:"cpu_user_ms,omitempty"`
	CPUSystemMs  int64  `json:"cpu_system_ms,omitempty"`
	MaxRSSBytes  int64  `json:"max_rss_bytes,omitempty"`
	LogBytes     int64  `json:"log_bytes,omitempty"`
	DroppedBytes int64  `json:"dropped_bytes,omitempty"`
	StderrTail   string `json:"stderr_tail,omitempty"`
	Output       string `json:"output,omitempty"`
}

// LogsParams asks for lines of a job's output.
type LogsParams struct {
	// ID is the job's id.
	ID int64 `json:"id"`
	// Attempt is the attempt's number; 0 means the latest.
	Attempt int64 `json:"attempt,omitempty"`
	// Tail asks for the last lines only, at most MaxLines.
	Tail int `json:"tail,omitempty"`
	// Limit is at most MaxLines; default DefaultLines.
	Limit int `json:"limit,omitempty"`
	// After is the "next" of the page before.
	After string `json:"after,omitempty"`
}

// LogsResult is a page of lines.
type LogsResult struct {
	Lines []LogLine `json:"lines"`
	// Next is the "after" of the next page: empty at the end of an attempt that
	// is over, the place to ask again from while it still writes.
	Next string `json:"next,omitempty"`
}

// LogLine is one line of output, its time in full precision. Bytes that are not
// UTF-8 are replaced; the stored line keeps them.
type LogLine struct {
	At time.Time `json:"at"`
	// Stream is "stdout", "stderr", or "heroproc" for a line by heroproc itself.
	Stream string `json:"stream"`
	// Partial says that no newline follows: a long line goes on in the next one,
	// or the output ended without a newline.
	Partial bool   `json:"partial,omitempty"`
	Text    string `json:"text"`
}
