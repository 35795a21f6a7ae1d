package writequeue

import "time"

// Stats is what a queue has done since it was made and how full it is now.
type Stats struct {
	// Depth and Bytes are what waits now, in items and in estimated memory;
	// Waiting are the callers that wait for room.
	Depth, Bytes, Waiting int
	// Items were flushed, well or not; Failed of them were answered with an
	// error.
	Items, Failed uint64
	// Batches were flushed, with BatchMean items on average and BatchMax at
	// most.
	Batches   uint64
	BatchMean float64
	BatchMax  int
	// Dropped counts the best-effort values that were replaced or refused.
	Dropped uint64
	// Busy counts the items that had to wait for room.
	Busy uint64
	// WaitMean says how long a flushed item had waited to be taken.
	WaitMean time.Duration
	// FlushMean and FlushMax say how long a flush took, its commit included.
	FlushMean, FlushMax time.Duration
}

// counters is the part of Stats that has to be counted, guarded by the queue's
// lock.
type counters struct {
	items, failed, batches, dropped, busy uint64
	batchMax                              int
	wait, flush, flushMax                 time.Duration
}

// flushed counts one batch by its answers.
func (c *counters) flushed(errs []error, took time.Duration) {
	c.batches++
	c.items += uint64(len(errs))
	for _, err := range errs {
		if err != nil {
			c.failed++
		}
	}
	c.batchMax = max(c.batchMax, len(errs))
	c.flush += took
	c.flushMax = max(c.flushMax, took)
}

// Stats answers the counters as they are now.
func (q *Queue[T]) Stats() Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	c := &q.stats
	s := Stats{
		Depth:    len(q.state.ordered) + len(q.state.subjects),
		Bytes:    q.state.bytes,
		Waiting:  len(q.state.waiters),
		Items:    c.items,
		Failed:   c.failed,
		Batches:  c.batches,
		BatchMax: c.batchMax,
		Dropped:  c.dropped,
		Busy:     c.busy,
		FlushMax: c.flushMax,
	}
	if c.batches > 0 {
		s.BatchMean = float64(c.items) / float64(c.batches)
		s.WaitMean = c.wait / time.Duration(c.items)
		s.FlushMean = c.flush / time.Duration(c.batches)
	}
	return s
}
