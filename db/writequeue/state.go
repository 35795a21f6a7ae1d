package writequeue

import "slices"

// state is everything that waits in a queue, guarded by the queue's lock.
type state[T any] struct {
	ordered []entry[T]
	// bytes is the sum over ordered; urgent counts those of them that do not
	// linger.
	bytes, urgent int

	// latest holds the best-effort entries, subjects their order.
	latest   map[string]entry[T]
	subjects []string

	// waiters are the callers that wait for room, first come first.
	waiters []*waiter[T]
	// full is set at the high-water mark and stays until the low one.
	full bool

	// flushing says that a flush has been ordered or runs; inFlight is the
	// number of entries it has taken.
	flushing bool
	inFlight int

	closed bool
}

// waiter is a caller that waits for room. It is told nil when its entry has
// been let in, or why it never will be.
type waiter[T any] struct {
	entry entry[T]
	told  chan error
}

func (s *state[T]) empty() bool {
	return len(s.ordered) == 0 && len(s.subjects) == 0
}

func (s *state[T]) push(e entry[T]) {
	s.ordered = append(s.ordered, e)
	s.bytes += e.Bytes
	if !e.Linger {
		s.urgent++
	}
}

func (s *state[T]) pop() entry[T] {
	e := s.ordered[0]
	s.ordered[0] = entry[T]{} // lets go of what the entry refers to
	s.ordered = s.ordered[1:]
	s.bytes -= e.Bytes
	if !e.Linger {
		s.urgent--
	}
	return e
}

// keepLatest stores the newest entry of a subject. It reports whether the entry
// was kept and whether one was dropped: the older one of the same subject, or
// this one when there are too many subjects.
func (s *state[T]) keepLatest(subject string, e entry[T], maxSubjects int) (kept, dropped bool) {
	older, known := s.latest[subject]
	switch {
	case known:
		e.accepted = older.accepted
	case len(s.subjects) >= maxSubjects:
		return false, true
	default:
		s.subjects = append(s.subjects, subject)
	}
	s.latest[subject] = e
	return true, known
}

func (s *state[T]) popLatest() entry[T] {
	subject := s.subjects[0]
	s.subjects = s.subjects[1:]
	e := s.latest[subject]
	delete(s.latest, subject)
	return e
}

// leave removes a waiter that was not told anything yet.
func (s *state[T]) leave(w *waiter[T]) bool {
	i := slices.Index(s.waiters, w)
	if i < 0 {
		return false
	}
	s.waiters = slices.Delete(s.waiters, i, i+1)
	return true
}
