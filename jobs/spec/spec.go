// Package spec describes what somebody asks for: a run, its jobs and the action
// each of them executes. A spec is the same document wherever it is written: a
// YAML, TOML or JSON run file, the parameters of run.submit, the row of a job.
package spec

// Run is one go at something: a graph of jobs, submitted whole.
type Run struct {
	// Name says what the run is for; default: the name of its only job, or "run".
	Name string `json:"name,omitempty"`
	// Tags are words to find the run by.
	Tags []string `json:"tags,omitempty"`
	// Context is the namespace of the run's jobs and logs; default "core".
	Context string `json:"context,omitempty"`
	// Key makes the submission idempotent: the same key in the same context
	// answers the run that it made the first time.
	Key string `json:"key,omitempty"`
	// Env is the environment of every job; a job's own wins.
	Env map[string]string `json:"env,omitempty"`
	// Dir is the directory of every job that names none.
	Dir string `json:"dir,omitempty"`
	// Timeout limits the whole run, counted from the start of its first job.
	Timeout Duration `json:"timeout,omitempty"`
	// Jobs are the run's jobs by name; at least one, at most MaxJobs.
	Jobs map[string]Job `json:"jobs"`
}

// Job is one action inside a run, and what it needs to be done before.
type Job struct {
	Action
	// Needs names the jobs that must have succeeded before this one starts.
	Needs []string `json:"needs,omitempty"`
}

// Action is what to execute, and how.
type Action struct {
	// Command is a program and its arguments; no shell is involved.
	Command []string `json:"command,omitempty"`
	// Script is text for Interpreter, instead of Command.
	Script string `json:"script,omitempty"`
	// Interpreter runs Script: the name of a known one ("sh", the default,
	// "bash", "python3", "perl", "node", ...), or a command line to which the
	// script is appended as the last argument.
	Interpreter Interpreter `json:"interpreter,omitempty"`
	// Env is added to the clean environment a job is given.
	Env map[string]string `json:"env,omitempty"`
	// Dir is the working directory; absolute, or relative to the run file.
	Dir string `json:"dir,omitempty"`
	// Timeout limits each attempt, counted from its start.
	Timeout Duration `json:"timeout,omitempty"`
	// Retry is what happens after a failure; default: nothing.
	Retry *Retry `json:"retry,omitempty"`
	// OnLost is what happens when the exit status is truly lost: "fail" (the
	// default) or "retry".
	OnLost string `json:"on_lost,omitempty"`
	// Stop is how the action is ended; default SIGTERM, and SIGKILL 10 s later.
	Stop *Stop `json:"stop,omitempty"`
	// Tags are words to find the job by.
	Tags []string `json:"tags,omitempty"`
}

// Retry is the policy after a failed attempt.
type Retry struct {
	// Attempts counts all tries: 3 means at most two after the first.
	Attempts int `json:"attempts,omitempty"`
	// Backoff is the wait after the first failure; it doubles with each further
	// one, up to MaxBackoff.
	Backoff    Duration `json:"backoff,omitempty"`
	MaxBackoff Duration `json:"max_backoff,omitempty"`
	// Jitter spreads each wait by up to this part of it, from 0 to 1.
	Jitter float64 `json:"jitter,omitempty"`
	// OnExitCodes limits retries to these exit codes; empty means any failure.
	OnExitCodes []int `json:"on_exit_codes,omitempty"`
}

// Stop is how an action is ended before its time.
type Stop struct {
	// Signal is sent first, such as "TERM" or "SIGINT".
	Signal string `json:"signal,omitempty"`
	// Timeout is how long the action may take to obey before it is killed.
	Timeout Duration `json:"timeout,omitempty"`
}
