package executor

import "sync/atomic"

// census counts what keeps the executor alive. Loops count, the executor
// decides.
type census struct {
	loops                   int64
	childCount, daemonCount atomic.Int64
	// dismissedCount is how many loops were told that the executor is to end.
	dismissedCount atomic.Int64
	// changed has an element when it may be time to end.
	changed chan struct{}
}

func newCensus(loops int) *census {
	return &census{loops: int64(loops), changed: make(chan struct{}, 1)}
}

func (c *census) children(n int64) {
	// While a daemon is there, children come and go thousands of times a second,
	// and nobody needs to know.
	if c.childCount.Add(n) == 0 && (c.daemonCount.Load() == 0 || c.dismissed()) {
		c.nudge()
	}
}

func (c *census) daemons(n int64) {
	c.daemonCount.Add(n)
	c.nudge()
}

func (c *census) dismissals(n int64) {
	c.dismissedCount.Add(n)
	c.nudge()
}

func (c *census) nudge() {
	select {
	case c.changed <- struct{}{}:
	default: // a nudge is waiting already
	}
}

// dismissed tells whether the executor is to end as soon as it is childless:
// every loop was told so, and thus has taken what was ordered from it before.
func (c *census) dismissed() bool { return c.dismissedCount.Load() == c.loops }

// childless tells whether no loop has an attempt in hand.
func (c *census) childless() bool { return c.childCount.Load() == 0 }

// idle tells whether nobody needs the executor now.
func (c *census) idle() bool { return c.childless() && c.daemonCount.Load() == 0 }
