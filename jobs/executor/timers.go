package executor

import (
	"container/heap"
	"time"
)

// timer is one thing a child waits for. It lies inside the child, and knows its
// place in the heap: most timers never fire, because their child ends first,
// and must then leave at once.
type timer struct {
	at    time.Time
	fire  func(*loop, *child)
	child *child
	place int // in the heap, counted from 1; 0 while it is not armed
}

// timers are all armed timers of a loop, the next one first.
type timers []*timer

// arm sets t to at, which may be in the past; armed before, it moves.
func (ts *timers) arm(t *timer, at time.Time) {
	t.at = at
	if t.place > 0 {
		heap.Fix(ts, t.place-1)
		return
	}
	heap.Push(ts, t)
}

// disarm makes sure that t does not fire.
func (ts *timers) disarm(t *timer) {
	if t.place > 0 {
		heap.Remove(ts, t.place-1)
	}
}

// due takes the next timer whose time has come; nil when there is none.
func (ts *timers) due(now time.Time) *timer {
	if len(*ts) == 0 || (*ts)[0].at.After(now) {
		return nil
	}
	return heap.Pop(ts).(*timer)
}

// wait answers how long nothing is due; negative when nothing ever is.
func (ts timers) wait(now time.Time) time.Duration {
	if len(ts) == 0 {
		return -1
	}
	return max(0, ts[0].at.Sub(now))
}

// Len, Less, Swap, Push and Pop are for container/heap.
func (ts timers) Len() int           { return len(ts) }
func (ts timers) Less(i, j int) bool { return ts[i].at.Before(ts[j].at) }
func (ts timers) Swap(i, j int) {
	ts[i], ts[j] = ts[j], ts[i]
	ts[i].place, ts[j].place = i+1, j+1
}
func (ts *timers) Push(x any) {
	t := x.(*timer)
	*ts = append(*ts, t)
	t.place = len(*ts)
}
func (ts *timers) Pop() any {
	last := len(*ts) - 1
	t := (*ts)[last]
	(*ts)[last] = nil
	*ts = (*ts)[:last]
	t.place = 0
	return t
}
