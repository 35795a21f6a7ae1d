package spec

import "time"

// What a spec means where it says nothing.
const (
	// DefaultContext is the namespace of runs that name none.
	DefaultContext = "core"
	// DefaultDir is the directory of a job for which neither a file nor a caller
	// gave one. Like a daemon's own, it exists everywhere and holds no mount.
	DefaultDir = "/"
	// DefaultBackoff lets what was briefly away come back without a hot loop.
	DefaultBackoff = Duration(time.Second)
	// DefaultMaxBackoff bounds how long a job waits after its cause is gone.
	DefaultMaxBackoff = Duration(5 * time.Minute)
	// DefaultJitter is enough to keep jobs that failed together apart.
	DefaultJitter = 0.1
	// DefaultSignal asks a program to end itself.
	DefaultSignal = "TERM"
	// DefaultStopTimeout is what process supervisors commonly grant.
	DefaultStopTimeout = Duration(10 * time.Second)
)

// NewRetry is the policy of so many tries, with the defaults for the rest.
func NewRetry(attempts int) *Retry {
	return &Retry{
		Attempts:   attempts,
		Backoff:    DefaultBackoff,
		MaxBackoff: DefaultMaxBackoff,
		Jitter:     DefaultJitter,
	}
}

// Preset fills in the defaults of a policy that a document begins to describe.
func (r *Retry) Preset() { *r = *NewRetry(0) }

// NewStop is the way an action is ended that asks for nothing else.
func NewStop() *Stop {
	return &Stop{Signal: DefaultSignal, Timeout: DefaultStopTimeout}
}

// Preset fills in the defaults of a stop that a document begins to describe.
func (s *Stop) Preset() { *s = *NewStop() }

// FillIn completes what a run may leave out for itself: its context, and its
// name. Doing it twice changes nothing.
func (r *Run) FillIn() {
	if r.Context == "" {
		r.Context = DefaultContext
	}
	if r.Name != "" {
		return
	}
	r.Name = "run"
	if len(r.Jobs) == 1 {
		for name := range r.Jobs {
			r.Name = name
		}
	}
}
