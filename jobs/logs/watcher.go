package logs

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"

	"github.com/fsnotify/fsnotify"
)

// watcher tells followers that something has changed in the directories they
// name. All followers share one inotify instance, of which the kernel gives a user
// few; it exists from the first follower on.
type watcher struct {
	mu        sync.Mutex
	notify    *fsnotify.Watcher
	followers map[string]map[*subscription]struct{} // by directory
	closed    bool
	stopped   sync.WaitGroup
}

// subscription is one follower's wish to be woken.
type subscription struct {
	w    *watcher
	wake chan struct{} // has room for one: how often is of no interest
	dirs []string
}

// ErrReaderClosed ends what still follows when its [Reader] is closed.
var ErrReaderClosed = errors.New("the log reader is closed")

// subscribe begins a subscription to no directory yet.
func (w *watcher) subscribe() (*subscription, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, ErrReaderClosed
	}
	if w.notify == nil {
		notify, err := fsnotify.NewWatcher()
		if err != nil {
			return nil, fmt.Errorf("cannot follow logs (is fs.inotify.max_user_instances too low?): %w", err)
		}
		w.notify = notify
		w.followers = make(map[string]map[*subscription]struct{})
		w.stopped.Go(func() { w.run(notify) })
	}
	return &subscription{w: w, wake: make(chan struct{}, 1)}, nil
}

// close ends the watcher and wakes all followers.
func (w *watcher) close() error {
	w.mu.Lock()
	w.closed = true
	notify := w.notify
	w.mu.Unlock()
	if notify == nil {
		return nil
	}
	err := notify.Close()
	w.stopped.Wait()
	w.wakeAll()
	return err
}

func (w *watcher) run(notify *fsnotify.Watcher) {
	for {
		select {
		case event, ok := <-notify.Events:
			if !ok {
				return
			}
			w.wakeDir(event.Name)
			w.wakeDir(filepath.Dir(event.Name))
		case _, ok := <-notify.Errors:
			if !ok {
				return
			}
			// The kernel's queue overflowed, so that events are missing, or something
			// is wrong with it. Whoever looks now misses nothing.
			w.wakeAll()
		}
	}
}

func (w *watcher) wakeDir(dir string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for s := range w.followers[dir] {
		s.nudge()
	}
}

func (w *watcher) wakeAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, followers := range w.followers {
		for s := range followers {
			s.nudge()
		}
	}
}

func (s *subscription) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// watch makes dirs the directories that are watched. An error that is
// fs.ErrNotExist means that one of them is not there.
func (s *subscription) watch(dirs ...string) error {
	w := s.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return ErrReaderClosed
	}
	old := s.dirs
	s.dirs = nil
	defer func() { w.drop(s, old) }()
	for _, dir := range dirs {
		// A directory that was deleted and made anew needs a new watch, which is why
		// this is not left out for one that others watch already.
		if err := w.notify.Add(dir); err != nil {
			return fmt.Errorf("cannot follow logs in %s (is fs.inotify.max_user_watches too low?): %w", dir, err)
		}
		if w.followers[dir] == nil {
			w.followers[dir] = make(map[*subscription]struct{})
		}
		w.followers[dir][s] = struct{}{}
		s.dirs = append(s.dirs, dir)
	}
	return nil
}

// drop ends the watching of those of dirs that s does not watch any more.
func (w *watcher) drop(s *subscription, dirs []string) {
	for _, dir := range dirs {
		if slices.Contains(s.dirs, dir) {
			continue
		}
		delete(w.followers[dir], s)
		if len(w.followers[dir]) == 0 {
			delete(w.followers, dir)
			_ = w.notify.Remove(dir) // it is gone if the directory is
		}
	}
}

// close ends the subscription.
func (s *subscription) close() {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	dirs := s.dirs
	s.dirs = nil
	s.w.drop(s, dirs)
}
