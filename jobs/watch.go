package jobs

import "sync"

// watchers tells those who wait for a run that something about it was
// committed. Nobody polls: a waiter watches first, then reads, then sleeps.
type watchers struct {
	mu   sync.Mutex
	runs map[int64]map[*watch]struct{}
}

// watch is one waiter's bell: it rings at most once until it is heard.
type watch struct {
	// finalOnly leaves out everything but the end of the run.
	finalOnly bool
	bell      chan struct{}
}

func newWatchers() *watchers {
	return &watchers{runs: make(map[int64]map[*watch]struct{})}
}

// add begins to watch a run; remove ends it.
func (w *watchers) add(run int64, finalOnly bool) *watch {
	one := &watch{finalOnly: finalOnly, bell: make(chan struct{}, 1)}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.runs[run] == nil {
		w.runs[run] = make(map[*watch]struct{})
	}
	w.runs[run][one] = struct{}{}
	return one
}

func (w *watchers) remove(run int64, one *watch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.runs[run], one)
	if len(w.runs[run]) == 0 {
		delete(w.runs, run)
	}
}

// has tells whether anybody waits for the run, so that its transitions are not
// left to linger.
func (w *watchers) has(run int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.runs[run]) > 0
}

// ring tells the run's watchers that something was committed; final says that
// it was the run's end.
func (w *watchers) ring(run int64, final bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for one := range w.runs[run] {
		if one.finalOnly && !final {
			continue
		}
		select {
		case one.bell <- struct{}{}:
		default:
		}
	}
}
