package logs

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultTotalBudget is how many bytes of logs a directory keeps where nobody says
// otherwise.
const DefaultTotalBudget = 10 << 30

// Janitor keeps a log directory below its total budget: when there is more, it
// deletes the oldest segments that nobody writes. It runs beside the loops in one
// goroutine, begins with a look at what there is, and then sleeps until the
// writers have written too much. A nil Janitor is one without a budget.
type Janitor struct {
	dir    string
	budget int64
	logger *slog.Logger

	// size is the sum of all segments: found by the first sweep, kept by what the
	// writers say, put right by each further sweep. Above alarm they wake it.
	size, alarm atomic.Int64
	wake        chan struct{}
	done        chan struct{}
	stopped     sync.WaitGroup
	close       sync.Once

	mu    sync.Mutex
	inUse map[string]struct{} // paths of segments that are being written
}

// NewJanitor starts the janitor of a directory. budget is in bytes, 0 means
// [DefaultTotalBudget]; logger, which may be nil, hears of what cannot be deleted.
// The limit holds while fewer attempts write to segments of
// their own than the budget has 256 KiB: a segment that is being written is never
// deleted.
func NewJanitor(dir string, budget int64, logger *slog.Logger) *Janitor {
	if budget == 0 {
		budget = DefaultTotalBudget
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	j := &Janitor{
		dir: dir, budget: budget, logger: logger,
		wake: make(chan struct{}, 1), done: make(chan struct{}),
		inUse: make(map[string]struct{}),
	}
	j.alarm.Store(math.MaxInt64) // until the first sweep has counted
	j.wake <- struct{}{}
	j.stopped.Go(j.run)
	return j
}

// Close ends the janitor and waits for it.
func (j *Janitor) Close() {
	if j == nil {
		return
	}
	j.close.Do(func() { close(j.done) })
	j.stopped.Wait()
}

func (j *Janitor) run() {
	for {
		select {
		case <-j.done:
			return
		case <-j.wake:
			if err := j.sweep(); err != nil {
				j.logger.Warn("cannot keep the total log budget", "err", err)
			}
		}
	}
}

// wrote counts n bytes that were written, or deleted if n is negative.
func (j *Janitor) wrote(n int64) {
	if j == nil || j.size.Add(n) <= j.alarm.Load() {
		return
	}
	select {
	case j.wake <- struct{}{}:
	default: // it has been woken already
	}
}

// use protects a segment from deletion, release ends that.
func (j *Janitor) use(path string) {
	if j == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.inUse[path] = struct{}{}
}

func (j *Janitor) release(path string) {
	if j == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.inUse, path)
}

// share is the size of a segment at which all that are being written together
// stay within a quarter of the budget.
func (j *Janitor) share() int64 {
	if j == nil {
		return math.MaxInt64
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.budget / 4 / int64(len(j.inUse)+1)
}

// sweep counts what there is and deletes what is too much. It goes a sixteenth
// below the budget, so that sweeps are rare.
func (j *Janitor) sweep() error {
	counted := j.size.Load()
	segments, err := j.list()
	var size int64
	for _, s := range segments {
		size += s.size
	}
	j.size.Add(size - counted)

	step := j.budget / 16
	errs := []error{err}
	if size > j.budget {
		slices.SortFunc(segments, compareVictims)
		for _, s := range segments {
			if size <= j.budget-step {
				break
			}
			if s.inUse {
				continue
			}
			if err := j.delete(s); err != nil {
				errs = append(errs, err)
				continue
			}
			size -= s.size
		}
	}
	alarm := j.budget
	if size > alarm {
		alarm = size + step // what cannot be deleted is no reason to sweep at every write
	}
	j.alarm.Store(alarm)
	j.wrote(0) // what came meanwhile was held against the alarm before
	return errors.Join(errs...)
}

// delete removes a segment, and its folders once they are empty.
func (j *Janitor) delete(s segment) error {
	err := os.Remove(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // its writer was faster, and has counted it
	}
	if err != nil {
		return fmt.Errorf("cannot delete a log segment: %w", err)
	}
	j.size.Add(-s.size)
	if s.own {
		folder := filepath.Dir(s.path)
		if os.Remove(folder) == nil {
			_ = os.Remove(filepath.Dir(folder)) // not empty as a rule
		}
	}
	return nil
}

// segment is one file as the janitor sees it.
type segment struct {
	path     string
	size     int64
	modified time.Time
	own      bool // an attempt's own
	inUse    bool // being written
	live     bool // its attempt still writes, though not to it
}

// compareVictims puts first what is to go first: by age, but what ended attempts
// have left before what live ones have. Names decide between equals, so that an
// attempt's segments go in their order.
func compareVictims(a, b segment) int {
	if a.live != b.live {
		if b.live {
			return -1
		}
		return 1
	}
	return cmp.Or(a.modified.Compare(b.modified), cmp.Compare(a.path, b.path))
}

// list finds all segments. What vanishes meanwhile is left out; what is no segment
// is not the janitor's.
func (j *Janitor) list() ([]segment, error) {
	shared := filepath.Join(j.dir, sharedFolder)
	var segments []segment
	err := filepath.WalkDir(j.dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && (entry.IsDir() || !strings.HasSuffix(path, extension)) {
			return nil
		}
		var info fs.FileInfo
		if err == nil {
			info, err = entry.Info()
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		segments = append(segments, segment{
			path: path, size: info.Size(), modified: info.ModTime(), own: filepath.Dir(path) != shared,
		})
		return nil
	})
	if err != nil {
		err = fmt.Errorf("cannot list the log directory %s: %w", j.dir, err)
	}

	// Only now: a segment is in use from before it is made, and never again once it
	// is not. So none of those found can come into use after this.
	j.mu.Lock()
	defer j.mu.Unlock()
	live := make(map[string]bool, len(j.inUse))
	for path := range j.inUse {
		live[filepath.Dir(path)] = true
	}
	for i := range segments {
		s := &segments[i]
		_, s.inUse = j.inUse[s.path]
		s.live = s.own && live[filepath.Dir(s.path)]
	}
	return segments, err
}
