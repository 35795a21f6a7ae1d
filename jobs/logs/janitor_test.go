package logs

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"
)

// aged writes files of size bytes, each an hour younger than the one before.
func aged(t *testing.T, size int, paths ...string) {
	t.Helper()
	for i, path := range paths {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
		at := noon.Add(time.Duration(i) * time.Hour)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
}

// idleJanitor sweeps only when it is told to.
func idleJanitor(dir string, budget int64) *Janitor {
	return &Janitor{dir: dir, budget: budget, wake: make(chan struct{}, 1), inUse: make(map[string]struct{})}
}

func TestJanitorDeletesTheOldest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	shared1, shared2, shared3 := sharedPath(dir, 1, 1), sharedPath(dir, 1, 2), sharedPath(dir, 2, 1)
	dead1, dead2 := ownPath(dir, 1001, 0), ownPath(dir, 1001, 500)
	live1, live2 := ownPath(dir, 2001, 0), ownPath(dir, 2001, 500)
	// From the oldest to the youngest.
	all := []string{live1, shared1, dead1, live2, shared2, dead2, shared3}
	for _, test := range []struct {
		budget int64
		want   []string
	}{
		{700, all},
		{699, []string{live1, dead1, live2, shared2, dead2, shared3}},
		{599, []string{live1, live2, shared2, dead2, shared3}},
		{330, []string{live1, live2, shared3}},
		{299, []string{live2, shared3}}, // what live ones have goes last
		{100, []string{live2, shared3}}, // and never what is being written
	} {
		aged(t, 100, all...)
		j := idleJanitor(dir, test.budget)
		j.use(live2)
		j.use(shared3)
		if err := j.sweep(); err != nil {
			t.Fatal(err)
		}
		var left []string
		for name := range files(t, dir) {
			left = append(left, filepath.Join(dir, name))
		}
		slices.Sort(left)
		if want := slices.Sorted(slices.Values(test.want)); !slices.Equal(left, want) {
			t.Errorf("budget %d: left %q, want %q", test.budget, left, want)
		}
		if got, want := j.size.Load(), int64(100*len(left)); got != want {
			t.Errorf("budget %d: counts %d bytes of %d", test.budget, got, want)
		}
	}
	if _, err := os.Stat(filepath.Dir(filepath.Dir(dead1))); !os.IsNotExist(err) {
		t.Errorf("empty folders are left: %v", err)
	}
}

func TestJanitorLeavesAloneWhatIsNotItsOwn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	aged(t, 100, filepath.Join(dir, "README"), filepath.Join(dir, "own", "1", "x.txt"))
	j := idleJanitor(dir, 10)
	if err := j.sweep(); err != nil {
		t.Fatal(err)
	}
	if left := files(t, dir); len(left) != 2 {
		t.Errorf("left %v", slices.Collect(maps.Keys(left)))
	}
}

func TestJanitorWakesOnlyWhenThereIsMore(t *testing.T) {
	t.Parallel()
	j := idleJanitor(t.TempDir(), 1600)
	if err := j.sweep(); err != nil {
		t.Fatal(err)
	}
	woken := func(n int64) bool {
		j.wrote(n)
		select {
		case <-j.wake:
			return true
		default:
			return false
		}
	}
	if woken(1600) || !woken(1) {
		t.Error("it does not wake exactly above its budget")
	}
	// The same after a sweep that found it almost used up.
	path := sharedPath(j.dir, 1, 1)
	aged(t, 1590, path)
	if err := j.sweep(); err != nil {
		t.Fatal(err)
	}
	if woken(10) || !woken(1) {
		t.Error("it does not wake exactly above a budget almost used up")
	}
	// All of it is in use: nothing can be deleted, and it sleeps again until there
	// is a sixteenth more.
	aged(t, 2000, path)
	j.use(path)
	if err := j.sweep(); err != nil {
		t.Fatal(err)
	}
	if woken(100) || !woken(1) {
		t.Error("it does not wait for more when it can delete nothing")
	}
}

// TestTotalBudgetHolds writes far more than the budget, through attempts that end
// and one that does not, and reads what is left of all.
func TestTotalBudgetHolds(t *testing.T) {
	t.Parallel()
	const budget = 2 << 20
	dir := t.TempDir()
	j := NewJanitor(dir, budget, nil)
	t.Cleanup(j.Close)
	b := setup(t, Options{Dir: dir, Janitor: j, SegmentBytes: 100_000})
	live := b.writer.Open(1, 0, noon)
	livePlace := live.Place()
	places := make(map[int64]Place)
	printed := make(map[int64]int)
	for id := int64(2); id < 100; id++ {
		live.Write(Stdout, numbered(0, 500, 100), noon)
		o := b.writer.Open(id, 0, noon)
		chunk := numbered(0, int(id)*20, 50)
		o.Write(Stdout, chunk, noon)
		places[id], _, _ = o.Close(noon)
		printed[id] = len(chunk)
		b.flush()
	}
	for sum(files(t, dir)) > budget && t.Context().Err() == nil {
		runtime.Gosched() // the janitor is on its way
	}
	if size := sum(files(t, dir)); size < budget/2 {
		t.Errorf("only %d bytes are left of a budget of %d", size, budget)
	}
	removed := 0
	for id, place := range places {
		lines := b.read(Query{Attempt: id, Place: place})
		got, told := len(raw(lines, Stdout)), said(lines)
		if got == printed[id] && len(told) == 0 {
			continue
		}
		removed++
		numberedGap := fmt.Sprintf("dropped %d bytes: removed by the total log budget", printed[id]-got)
		if len(told) != 1 || told[0] != numberedGap && told[0] != "dropped: removed by the total log budget" {
			t.Errorf("attempt %d: %d bytes of %d are left, said %q", id, got, printed[id], told)
		}
	}
	if removed == 0 {
		t.Error("nothing was removed")
	}
	live.Write(Stdout, []byte("still here\n"), noon)
	b.flush()
	lines := b.read(Query{Attempt: 1, Place: livePlace, Live: true, Tail: 1})
	if len(lines) != 1 || lines[0].Text != "still here" {
		t.Errorf("the live attempt's last line is %+v", lines)
	}
}

func TestJanitorIsClosedAtAnyTime(t *testing.T) {
	t.Parallel()
	for range 50 {
		j := NewJanitor(t.TempDir(), 1, nil)
		j.wrote(2)
		j.Close()
		j.Close()
	}
	var none *Janitor
	none.Close()
}
