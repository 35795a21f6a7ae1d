package executor

import "sync/atomic"

// census counts what keeps the executor alive. Loops count, the executor
// decides.
type census struct {
	childCount, daemonCount atomic.Int64
	ending                  atomic.Bool
	// changed has an element when it may be time to end.
	changed chan struct{}
}

func newCensus() *census { return &census{changed: make(chan struct{}, 1)} }

func (c *census) children(n int64) {
	// While a daemon is there, children come and go thousands of times a second,
	// and nobody needs to know.
	if c.childCount.Add(n) == 0 && (c.daemonCount.Load() == 0 || c.ending.Load()) {
		c.nudge()
	}
}

func (c *census) daemons(n int64) {
	c.daemonCount.Add(n)
	c.nudge()
}

// shutdown asks for the end as soon as there are no children.
func (c *census) shutdown() {
	c.ending.Store(true)
	c.nudge()
}

func (c *census) nudge() {
	select {
	case c.changed <- struct{}{}:
	default: // a nudge is waiting already
	}
}

// childless tells whether no loop has an attempt in hand.
func (c *census) childless() bool { return c.childCount.Load() == 0 }

// idle tells whether nobody needs the executor now.
func (c *census) idle() bool { return c.childless() && c.daemonCount.Load() == 0 }
