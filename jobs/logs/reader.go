package logs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
)

// Reader reads what writers of a log directory have flushed, in this process or
// another, now or in earlier lives. It may be used by many at once.
type Reader struct {
	dir     string
	watcher watcher
}

// NewReader opens the log directory dir for reading. It may not exist yet.
func NewReader(dir string) *Reader {
	return &Reader{dir: filepath.Clean(dir)}
}

// Close ends the watching of the directory, and with it whoever still follows.
func (r *Reader) Close() error {
	return r.watcher.close()
}

// Query says which lines are wanted.
type Query struct {
	Attempt int64
	// Place is where the attempt's output lies, as far as that is known.
	Place Place
	// Live says that the attempt may still write: a record at the end that is not
	// complete is left for the next time. Without it such a record is a partial line.
	Live bool
	// After is where to begin, from [Line.Next]; zero is the beginning.
	After Cursor
	// Tail limits the lines that exist already to the last so many; 0 means all, and
	// After makes it mean nothing. Parts of a line longer than 16 KiB count as lines,
	// so that what is read is bounded too.
	Tail int
}

// Read returns the lines there are. An error ends them, and is the last thing that
// is returned. Where output is missing because a budget removed it, a line of
// [Heroproc] says so.
func (r *Reader) Read(ctx context.Context, q Query) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		s, err := r.scanner(q)
		if err != nil {
			yield(Line{}, err)
			return
		}
		defer s.close()
		r.drain(ctx, s, yield)
	}
}

// Follow returns the lines there are and then those that are written, until the
// attempt has ended and all it wrote has been returned. That it has ended is told
// by ended: by the final place, or by its being closed if that is in q already. An
// error, such as the context's end, ends it earlier. It never polls, and holds a
// file and a bounded window of it, however slow the caller is.
func (r *Reader) Follow(ctx context.Context, q Query, ended <-chan Place) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		if err := r.follow(ctx, q, ended, yield); err != nil {
			yield(Line{}, err)
		}
	}
}

func (r *Reader) follow(ctx context.Context, q Query, ended <-chan Place, yield func(Line, error) bool) error {
	for _, folder := range []string{sharedFolder, ownFolder} {
		if err := os.MkdirAll(filepath.Join(r.dir, folder), 0o700); err != nil {
			return fmt.Errorf("cannot make the log directory: %w", err)
		}
	}
	watched, err := r.watcher.subscribe()
	if err != nil {
		return err
	}
	defer watched.close()

	q.Live = true
	s, err := r.scanner(q)
	if err != nil {
		return err
	}
	defer s.close()
	for {
		// What happens from here on wakes, so nothing is missed by what is read now.
		if err := r.watch(watched, s); err != nil {
			return err
		}
		if !r.drain(ctx, s, yield) || !s.live {
			return nil
		}
		select {
		case <-ctx.Done():
		case <-watched.wake:
		case place, known := <-ended:
			if !known {
				place = q.Place
			}
			s.finish(place)
		}
	}
}

// drain returns the lines there are at present. It is false when the caller wants
// no more, or has been given an error.
func (r *Reader) drain(ctx context.Context, s *scanner, yield func(Line, error) bool) bool {
	for {
		if ctx.Err() != nil {
			yield(Line{}, context.Cause(ctx))
			return false
		}
		line, ok, err := s.next()
		if err != nil {
			yield(Line{}, readError(s.route.attempt, err))
			return false
		}
		if !ok {
			return true
		}
		if !yield(line, nil) {
			return false
		}
	}
}

// watch subscribes to the folders where the scanner's next line may appear: that of
// the shared segments as long as it reads them, and that of the attempt's own or
// the nearest above it that exists.
func (r *Reader) watch(watched *subscription, s *scanner) error {
	folders := ownFolders(r.dir, s.route.attempt)
	var err error
	for range maxWatchTries {
		var dirs []string
		if !s.at.own {
			dirs = append(dirs, filepath.Join(r.dir, sharedFolder))
		}
		nearest := nearestFolder(folders)
		err = watched.watch(append(dirs, folders[nearest])...)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		// It may have been made, or deleted, before it was watched.
		if err == nil && nearestFolder(folders) == nearest {
			return nil
		}
	}
	return err
}

// maxWatchTries is how often folders may come or go while they are looked for. An
// attempt's are made once and deleted once.
const maxWatchTries = 10

// nearestFolder is the index of the innermost folder that exists; the first is
// taken to.
func nearestFolder(folders [3]string) int {
	for i := len(folders) - 1; i > 0; i-- {
		if _, err := os.Stat(folders[i]); err == nil {
			return i
		}
	}
	return 0
}

// scanner begins to read for q.
func (r *Reader) scanner(q Query) (*scanner, error) {
	route := route{dir: r.dir, attempt: q.Attempt, place: q.Place}
	start, skip := route.resume(q.After), 0
	if q.Tail > 0 && q.After == (Cursor{}) {
		var err error
		if start, skip, err = route.tail(q.Tail, q.Live); err != nil {
			return nil, readError(q.Attempt, err)
		}
	}
	s := newScanner(route, start, q.Live)
	s.skip = skip
	return s, nil
}

func readError(attempt int64, err error) error {
	return fmt.Errorf("cannot read the log of attempt %d: %w", attempt, err)
}
