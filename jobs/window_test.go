package jobs

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// line is the model of what a window is a part of: everything that waits, in
// the database's order.
type line map[int64]bool

func (l line) after(id int64, limit int) (items []windowItem[int64], all bool) {
	var ids []int64
	for one := range l {
		if one > id {
			ids = append(ids, one)
		}
	}
	slices.Sort(ids)
	all = len(ids) < limit
	for _, one := range ids[:min(limit, len(ids))] {
		items = append(items, windowItem[int64]{place{one, one}, 1, one})
	}
	return items, all
}

// Whatever is pushed, popped, removed and loaded in whatever order: nothing is
// lost, nothing comes twice, and the first is the first of all that were known.
func TestWindowLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := newWindow[int64](rapid.IntRange(1, 12).Draw(t, "max"), rapid.Int64Range(3, 1000).Draw(t, "bytes"))
		waiting, popped := line{}, map[int64]bool{}
		var loading bool
		var read []windowItem[int64]
		var all bool
		next := int64(0)
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				id := rapid.Int64Range(1, 200).Draw(t, "id")
				if next++; rapid.Bool().Draw(t, "in order") {
					id = 200 + next
				}
				if popped[id] || waiting[id] {
					return
				}
				waiting[id] = true
				w.push(id, id, 1, id)
			},
			"pop": func(t *rapid.T) {
				id, ok := w.pop(math.MaxInt64)
				if !ok {
					return
				}
				if !waiting[id] || popped[id] {
					t.Fatalf("%d was popped although it does not wait", id)
				}
				delete(waiting, id)
				popped[id] = true
			},
			"remove": func(t *rapid.T) {
				id := rapid.Int64Range(1, 300).Draw(t, "id")
				w.remove(func(one int64) bool { return one == id })
				delete(waiting, id)
				popped[id] = true
			},
			"begin a load": func(*rapid.T) {
				after, begun := w.beginLoad()
				if begun {
					loading = true
					read, all = waiting.after(after.id, w.max)
				}
			},
			"end a load": func(t *rapid.T) {
				if loading {
					loading = false
					w.endLoad(read, all, rapid.Bool().Draw(t, "failed"))
				}
			},
			"": func(t *rapid.T) {
				if len(w.items) > w.max || w.bytes != int64(len(w.items)) {
					t.Fatalf("%d items of %d bytes in a window of %d", len(w.items), w.bytes, w.max)
				}
			},
		})
		if loading {
			w.endLoad(read, all, false)
		}
		var got []int64
		for range 10_000 {
			if after, begun := w.beginLoad(); begun {
				read, all = waiting.after(after.id, w.max)
				w.endLoad(read, all, false)
			}
			id, ok := w.pop(math.MaxInt64)
			if !ok {
				break
			}
			delete(waiting, id)
			got = append(got, id)
		}
		if len(waiting) > 0 {
			t.Fatalf("%v were lost", waiting)
		}
		if !slices.IsSorted(got) {
			t.Fatalf("the rest came out of order: %v", got)
		}
	})
}

func TestWindowPopsOnlyWhatIsDue(t *testing.T) {
	t.Parallel()
	w := newWindow[string](10, 1000)
	w.complete = true
	w.push(2000, 1, 1, "later")
	w.push(1000, 2, 1, "now")
	if got, ok := w.pop(1500); !ok || got != "now" {
		t.Errorf("got %q %v, want what is due", got, ok)
	}
	if got, ok := w.pop(1500); ok {
		t.Errorf("got %q, which is not due", got)
	}
	if at, ok := w.first(); !ok || at != 2000 {
		t.Errorf("the first is due at %d %v, want 2000", at, ok)
	}
}
