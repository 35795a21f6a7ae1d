package jobs

import (
	"cmp"
	"slices"
	"sync"
)

// window is the part of a long line that is held in memory: its first items, in
// order, however many wait in the database behind them. It knows up to which
// place it is complete (the horizon); what is pushed beyond that place is left
// to the database and read when the window runs low.
//
// Pushes come from the writer's worker after a commit; everything else is done
// by the dispatcher.
type window[V any] struct {
	// max bounds the number of items, maxBytes their estimated size.
	max      int
	maxBytes int64

	mu    sync.Mutex
	items []windowItem[V]
	bytes int64
	// horizon: every item of the line at or before it is in items. complete
	// means that there is nothing beyond the window at all.
	horizon  place
	complete bool

	// While a load is under way, pushes beyond the horizon are kept aside,
	// because the load's snapshot may be older than they are. stale says that
	// the load must be thrown away.
	loading bool
	stale   bool
	late    []windowItem[V]
}

// place is a position in a line: by order, then by id.
type place struct {
	order int64
	id    int64
}

func (p place) compare(q place) int {
	return cmp.Or(cmp.Compare(p.order, q.order), cmp.Compare(p.id, q.id))
}

type windowItem[V any] struct {
	at    place
	bytes int64
	value V
}

// beforeAll is the horizon of a window that knows nothing yet.
var beforeAll = place{order: -1 << 63, id: -1 << 63}

func newWindow[V any](limit int, maxBytes int64) *window[V] {
	return &window[V]{max: limit, maxBytes: maxBytes, horizon: beforeAll}
}

// push adds an item, or leaves it to the database when it lies beyond the
// horizon. An item that is there already is replaced.
func (w *window[V]) push(order, id, bytes int64, value V) {
	w.mu.Lock()
	defer w.mu.Unlock()
	item := windowItem[V]{place{order, id}, bytes, value}
	if !w.complete && item.at.compare(w.horizon) > 0 {
		if !w.loading || w.stale {
			return
		}
		if len(w.late) >= w.max {
			w.stale, w.late = true, nil
			return
		}
		w.late = append(w.late, item)
		return
	}
	w.insert(item)
	w.trim()
}

// insert puts an item in its place.
func (w *window[V]) insert(item windowItem[V]) {
	i, found := slices.BinarySearchFunc(w.items, item.at, func(have windowItem[V], at place) int {
		return have.at.compare(at)
	})
	if found {
		w.bytes += item.bytes - w.items[i].bytes
		w.items[i] = item
		return
	}
	w.items = slices.Insert(w.items, i, item)
	w.bytes += item.bytes
}

// trim gives what is too much back to the database, from the end; the first
// item always stays.
func (w *window[V]) trim() {
	for len(w.items) > 1 && (len(w.items) > w.max || w.bytes > w.maxBytes) {
		last := len(w.items) - 1
		w.bytes -= w.items[last].bytes
		w.items[last] = windowItem[V]{}
		w.items = w.items[:last]
		w.horizon, w.complete = w.items[last-1].at, false
	}
}

// pop takes the first item whose order is at most limit.
func (w *window[V]) pop(limit int64) (V, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.items) == 0 || w.items[0].at.order > limit {
		var none V
		return none, false
	}
	item := w.items[0]
	w.items[0] = windowItem[V]{}
	w.items = w.items[1:]
	w.bytes -= item.bytes
	return item.value, true
}

// first answers the order of the first item.
func (w *window[V]) first() (order int64, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.items) == 0 {
		return 0, false
	}
	return w.items[0].at.order, true
}

func (w *window[V]) len() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.items)
}

// remove takes out every item for which match holds. A load under way may have
// seen such items before they ceased to belong here, so it is thrown away.
func (w *window[V]) remove(match func(V) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.items = slices.DeleteFunc(w.items, func(item windowItem[V]) bool {
		if match(item.value) {
			w.bytes -= item.bytes
			return true
		}
		return false
	})
	if w.loading {
		w.stale, w.late = true, nil
	}
}

// beginLoad tells whether more is to be read from the database, and from where
// on. Each begun load is ended by endLoad.
func (w *window[V]) beginLoad() (after place, begun bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.complete || w.loading || len(w.items) > w.max/4 {
		return place{}, false
	}
	w.loading, w.stale, w.late = true, false, nil
	return w.horizon, true
}

// endLoad takes what a load read, in order; all says that there was nothing
// behind it. With failed set the load brought nothing and is to be begun again.
func (w *window[V]) endLoad(read []windowItem[V], all, failed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	late, discard := w.late, w.stale || failed
	w.loading, w.stale, w.late = false, false, nil
	if discard {
		return
	}
	for _, item := range read {
		w.insert(item)
	}
	if len(read) > 0 {
		w.horizon = read[len(read)-1].at
	}
	w.complete = all
	for _, item := range late {
		if w.complete || item.at.compare(w.horizon) <= 0 {
			w.insert(item)
		}
	}
	w.trim()
}
