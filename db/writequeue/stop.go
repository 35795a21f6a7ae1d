package writequeue

import "context"

// Losses are the writes that Stop has given up, by kind.
type Losses struct {
	// Awaited and Unawaited were accepted and not flushed; each was answered
	// with ErrClosed.
	Awaited, Unawaited int
	// BestEffort were not flushed; nobody is told.
	BestEffort int
	// InFlight belong to a flush that had not ended: whether they were
	// committed is not known. They are answered if it ends.
	InFlight int
}

// Any says whether anything was given up.
func (l Losses) Any() bool { return l != Losses{} }

// Stop ends the queue. Softly first: it refuses new items and flushes what was
// accepted, lingering or not. When ctx ends it turns hard: what has not been
// taken by a flush is answered with ErrClosed and counted. It may be called
// more than once; only the call that gave something up reports it. The pool
// itself needs no end: its worker is gone whenever there is nothing to flush.
func (q *Queue[T]) Stop(ctx context.Context) Losses {
	q.mu.Lock()
	q.state.closed = true
	waiters := q.state.waiters
	q.state.waiters = nil
	q.wake()
	q.mu.Unlock()
	for _, w := range waiters {
		w.told <- ErrClosed
	}

	select {
	case <-q.drained:
		return Losses{}
	case <-ctx.Done():
	}
	given, losses := q.giveUp()
	for _, e := range given {
		q.answer(e, ErrClosed)
	}
	return losses
}

// giveUp empties the queue of what no flush has taken.
func (q *Queue[T]) giveUp() (given []entry[T], losses Losses) {
	q.mu.Lock()
	defer q.mu.Unlock()

	s := &q.state
	for len(s.ordered) > 0 {
		e := s.pop()
		given = append(given, e)
		if e.kind == awaited {
			losses.Awaited++
		} else {
			losses.Unawaited++
		}
	}
	for len(s.subjects) > 0 {
		s.popLatest()
		losses.BestEffort++
	}
	q.stats.dropped += uint64(losses.BestEffort)
	losses.InFlight = s.inFlight
	q.wake()
	return given, losses
}
