package writequeue

import (
	"fmt"
	"runtime/debug"
	"time"
)

// wake orders a flush if one is due, or sees to it that it will be. It is
// called, under the lock, after every change that may make one due.
func (q *Queue[T]) wake() {
	s := &q.state
	switch {
	case s.flushing:
		// Its end asks again.
	case s.empty():
		if s.closed {
			q.drain()
		}
	case q.due():
		q.order()
	default:
		q.linger.Reset(time.Until(q.oldest()) + q.options.Linger)
	}
}

// due says whether what waits must not wait any longer.
func (q *Queue[T]) due() bool {
	s := &q.state
	return s.urgent > 0 || s.closed || len(s.waiters) > 0 ||
		len(s.ordered)+len(s.subjects) >= q.options.MaxBatch || s.bytes >= q.options.MaxBatchBytes ||
		time.Since(q.oldest()) >= q.options.Linger
}

// oldest answers when the first of the entries that wait was accepted.
func (q *Queue[T]) oldest() time.Time {
	s := &q.state
	switch {
	case len(s.ordered) == 0:
		return s.latest[s.subjects[0]].accepted
	case len(s.subjects) == 0:
		return s.ordered[0].accepted
	}
	first := s.ordered[0].accepted
	if other := s.latest[s.subjects[0]].accepted; other.Before(first) {
		return other
	}
	return first
}

// ripe is the linger timer's end.
func (q *Queue[T]) ripe() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.wake()
}

// order hands one flush to the worker. The pool has no reason to refuse: it is
// never stopped, and there is room for the one flush that is ordered at a time.
func (q *Queue[T]) order() {
	q.linger.Stop()
	if err := q.pool.Go(q.flush); err != nil {
		q.options.Logger.Error("the write queue's worker takes no flush", "err", err)
		return
	}
	q.state.flushing = true
}

// flush is the worker's task: one batch, from cutting it to answering it.
func (q *Queue[T]) flush() {
	began := q.cut()
	if len(q.batch) == 0 {
		// Stop has given up what this flush was ordered for.
		q.finish()
		return
	}
	// What happens in a deferred call happens even if an item ends the worker's
	// goroutine.
	defer func() {
		if v := recover(); v != nil {
			q.options.Logger.Error("flushing a batch panicked", "err", v, "stack", string(debug.Stack()))
			for i := range q.errs {
				q.errs[i] = fmt.Errorf("internal error: flushing the batch panicked: %v", v)
			}
		}
		q.count(time.Since(began))
		for i := range q.batch {
			q.answer(q.batch[i], q.errs[i])
		}
		q.finish()
	}()
	q.options.Flush(q.values, q.errs)
}

// cut takes the next batch out of the queue and lets callers in that waited for
// the room.
func (q *Queue[T]) cut() (began time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()

	s := &q.state
	bytes, alone := 0, false
	for len(s.ordered) > 0 && !alone {
		next := &s.ordered[0]
		if len(q.batch) > 0 && (next.Alone || len(q.batch) >= q.options.MaxBatch ||
			bytes+next.Bytes > q.options.MaxBatchBytes) {
			break
		}
		bytes += next.Bytes
		alone = next.Alone
		q.take(s.pop())
	}
	for len(s.subjects) > 0 && !alone && len(q.batch) < q.options.MaxBatch {
		q.take(s.popLatest())
	}
	s.inFlight = len(q.batch)
	q.admit()

	began = time.Now()
	for _, e := range q.batch {
		q.stats.wait += began.Sub(e.accepted)
	}
	return began
}

func (q *Queue[T]) take(e entry[T]) {
	q.batch = append(q.batch, e)
	q.values = append(q.values, e.Value)
	q.errs = append(q.errs, errUnanswered)
}

// admit lets waiting callers in once the low-water mark is reached, up to the
// high one, so that they come in groups and not one by one.
func (q *Queue[T]) admit() {
	s := &q.state
	if s.full && len(s.ordered) <= q.options.MaxQueued/2 && s.bytes <= q.options.MaxQueuedBytes/2 {
		s.full = false
	}
	for len(s.waiters) > 0 && !s.full {
		w := s.waiters[0]
		s.waiters[0] = nil
		s.waiters = s.waiters[1:]
		q.push(w.entry)
		w.told <- nil
	}
}

// answer tells an entry its fate.
func (q *Queue[T]) answer(e entry[T], err error) {
	if e.Done == nil {
		return
	}
	defer func() {
		if v := recover(); v != nil {
			q.options.Logger.Error("a write's Done panicked", "err", v, "stack", string(debug.Stack()))
		}
	}()
	e.Done(err)
}

// count adds the batch to the counters, before anybody is answered who might
// look at them.
func (q *Queue[T]) count(took time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stats.flushed(q.errs, took)
}

// finish lets go of the batch and asks for the next one.
func (q *Queue[T]) finish() {
	q.mu.Lock()
	defer q.mu.Unlock()

	clear(q.batch)
	clear(q.values)
	clear(q.errs)
	q.batch, q.values, q.errs = q.batch[:0], q.values[:0], q.errs[:0]
	q.state.flushing = false
	q.state.inFlight = 0
	q.wake()
}

// drain says that the queue is closed and empty, once.
func (q *Queue[T]) drain() {
	select {
	case <-q.drained:
	default:
		close(q.drained)
	}
}
