// Package spec describes what somebody asks for: a run, its jobs and the action
// each of them executes. A spec is the same document wherever it is written: a
// YAML, TOML or JSON run file, the parameters of run.submit, the row of a job.
//
// A spec goes three steps: it is read (by [Load], or by [document.JSON] from the
// parameters of a call), it is completed by [Run.FillIn], and it is checked by
// [Run.Validate]. From then on the others may believe it: [Run.Order] is an
// order, [Run.Effective] is what will be executed, and a policy has sane numbers.
//
// Defaults of a [Retry] and a [Stop] are filled in while a document is read, so
// that in Go a zero means zero. Go code begins with [NewRetry] and [NewStop].
package spec

// Run is one go at something: a graph of jobs, submitted whole.
type Run struct {
	// Name says what the run is for; default: the name of its only job, or "run".
	Name string `json:"name,omitempty"`
	// Tags are words to find the run by, at most MaxTags.
	Tags []string `json:"tags,omitempty" hint:"write [\"word\"]"`
	// Context is the namespace of the run's jobs and logs; default DefaultContext.
	Context string `json:"context,omitempty"`
	// Key makes the submission idempotent: the same key in the same context
	// answers the run that it made the first time. At most MaxKey bytes.
	Key string `json:"key,omitempty"`
	// Env is the environment of every job; a job's own wins.
	Env map[string]string `json:"env,omitempty" hint:"write {NAME: \"value\"}"`
	// Dir is the directory of every job that names none; absolute, or relative to
	// the run file. Default: the run file's own directory.
	Dir string `json:"dir,omitempty"`
	// Timeout limits the whole run, counted from the start of its first job; none
	// by default.
	Timeout Duration `json:"timeout,omitempty"`
	// Jobs are the run's jobs by name; at least one, at most MaxJobs.
	Jobs map[string]Job `json:"jobs" hint:"write each as NAME: {command: [...]}"`
}

// Job is one action inside a run, and what it needs to be done before.
type Job struct {
	Action
	// Needs names the jobs that must have succeeded before this one starts.
	Needs []string `json:"needs,omitempty" hint:"write [\"name\"]"`
}

// Action is what to execute, and how. It says either Command or Script.
type Action struct {
	// Command is a program and its arguments; no shell is involved.
	Command []string `json:"command,omitempty" hint:"write [\"program\", \"argument\"], or use script: for a line of shell"`
	// Script is text for Interpreter, at most MaxArgument bytes.
	Script string `json:"script,omitempty" hint:"write the lines below script: |"`
	// Interpreter runs Script; default sh -c.
	Interpreter Interpreter `json:"interpreter,omitempty"`
	// Env is added to the clean environment a job is given. Names that begin with
	// HEROPROC_ are reserved.
	Env map[string]string `json:"env,omitempty" hint:"write {NAME: \"value\"}"`
	// Dir is the working directory; absolute, or relative to the run file.
	Dir string `json:"dir,omitempty"`
	// Timeout limits each attempt, counted from its start; none by default.
	Timeout Duration `json:"timeout,omitempty"`
	// Retry is what happens after a failure; default: nothing.
	Retry *Retry `json:"retry,omitempty" hint:"write {attempts: 3}"`
	// OnLost is what happens when the exit status is truly lost: OnLostFail, the
	// default, or OnLostRetry.
	OnLost string `json:"on_lost,omitempty" hint:"write fail or retry"`
	// Stop is how the action is ended; default: as NewStop says.
	Stop *Stop `json:"stop,omitempty" hint:"write {signal: TERM, timeout: 10s}"`
	// Tags are words to find the job by, at most MaxTags.
	Tags []string `json:"tags,omitempty" hint:"write [\"word\"]"`
}

// What may happen to a job whose exit status is truly lost, as after a power
// cut.
const (
	// OnLostFail: the job fails, because nobody knows what it has done.
	OnLostFail = "fail"
	// OnLostRetry: the job runs again, because running it twice does no harm.
	OnLostRetry = "retry"
)

// Retry is the policy after a failed attempt. All fields are written out: a zero
// is not the same as nothing.
type Retry struct {
	// Attempts counts all tries, from 1 to MaxAttempts: 3 means at most two after
	// the first.
	Attempts int `json:"attempts"`
	// Backoff is the wait after the first failure, at least a millisecond and by
	// default DefaultBackoff; it doubles with each further failure, up to
	// MaxBackoff, by default DefaultMaxBackoff.
	Backoff    Duration `json:"backoff"`
	MaxBackoff Duration `json:"max_backoff"`
	// Jitter spreads each wait by up to this part of it, from 0 to 1, so that jobs
	// that failed together do not return together; by default DefaultJitter.
	Jitter float64 `json:"jitter"`
	// OnExitCodes limits retries to these exit codes; empty means any failure.
	OnExitCodes []int `json:"on_exit_codes,omitempty"`
}

// Stop is how an action is ended before its time. All fields are written out: a
// zero is not the same as nothing.
type Stop struct {
	// Signal is sent first, such as "TERM" or "SIGINT"; by default DefaultSignal.
	Signal string `json:"signal" hint:"write its name, such as TERM"`
	// Timeout is how long the action may take to obey before it is killed, at
	// least a millisecond; by default DefaultStopTimeout.
	Timeout Duration `json:"timeout"`
}
