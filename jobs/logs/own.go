package logs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	// minOwnSegment keeps segments from becoming mere crumbs, in bytes.
	minOwnSegment = 64 << 10
	// maxOwnSegment is the size of an own segment where no budget says less: an
	// eighth of the default budget.
	maxOwnSegment = DefaultAttemptBudget / 8
	// MinAttemptBudget is the least an attempt's budget can be, in bytes: its shared
	// part, the beginning of its own log, its end, and the segment between.
	MinAttemptBudget = 4 * minOwnSegment
)

// ownSegments are an output's own segments. The zero value has none yet.
type ownSegments struct {
	budget int64 // bytes on disk, the shared part included; 0 for no limit
	begun  bool  // the shared part is complete
	file   file  // the last segment; nil until it exists
	limit  int64 // bytes at which the next segment follows
	// segments are those on disk, oldest first. Without a budget only the last is
	// remembered.
	segments []ownSegment
	removed  int64 // output bytes deleted to keep the budget
}

// ownSegment is a segment that begins after offset bytes of output and has size
// bytes on disk.
type ownSegment struct {
	offset, size int64
}

// last is the segment that is being written.
func (s *ownSegments) last() *ownSegment {
	return &s.segments[len(s.segments)-1]
}

// beginOwn ends the shared part. A reader goes over to the own segments as soon
// as there are any, so all of the shared part has to be on disk before.
func (o *Output) beginOwn() bool {
	o.own.begun = o.own.begun || o.w.flushShared()
	return o.own.begun
}

// reserveOwn makes room for a record of n bytes in the own buffer.
func (o *Output) reserveOwn(n int) bool {
	w, own := o.w, &o.own
	if w.owner != o {
		w.dispossess()
		w.owner = o
	}
	if own.file == nil || own.last().size+w.own.pending()+int64(n) > own.limit {
		if !o.flushOwn() || !o.nextOwn() {
			return false
		}
	}
	return w.own.room(n) || o.flushOwn()
}

// nextOwn begins a new own segment.
func (o *Output) nextOwn() bool {
	w, own := o.w, &o.own
	limit := o.ownLimit()
	o.trimOwn(limit)
	path := ownPath(w.o.Dir, o.attempt, o.logged)
	w.o.Janitor.use(path)
	f, err := w.createOwn(path)
	if err != nil {
		w.o.Janitor.release(path)
		w.note(fmt.Errorf("cannot make a log segment: %w", err))
		return false
	}
	// The old one is let go only now, so that the folder is never without a file
	// in use and the janitor leaves it alone.
	o.closeOwnFile()
	if own.budget == 0 {
		own.segments = own.segments[:0]
	}
	own.file, own.limit = f, limit
	own.segments = append(own.segments, ownSegment{offset: o.logged})
	o.place.Own = true
	return true
}

// createOwn makes a segment, and before it the folders it is in.
func (w *Writer) createOwn(path string) (file, error) {
	f, err := w.o.create(path)
	// The janitor may remove an empty folder between the two calls, hence twice.
	for range 2 {
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err = os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			break
		}
		f, err = w.o.create(path)
	}
	return f, err
}

// ownBudget is what own segments may have on disk together, but always room for
// the first, the last and one between.
func (o *Output) ownBudget() int64 {
	return max(o.own.budget-o.shared, 3*minOwnSegment)
}

// ownLimit is the size of the next own segment.
func (o *Output) ownLimit() int64 {
	limit := int64(maxOwnSegment)
	if o.own.budget > 0 {
		limit = min(limit, o.own.budget/8)
	}
	return max(min(limit, o.w.o.Janitor.share()), minOwnSegment)
}

// trimOwn deletes segments until another of limit bytes fits the budget: the
// oldest but the first, because how an attempt began and how it ended say most.
func (o *Output) trimOwn(limit int64) {
	own := &o.own
	if own.budget == 0 {
		return
	}
	total := limit
	for _, s := range own.segments {
		total += s.size
	}
	for total > o.ownBudget() && len(own.segments) > 2 {
		victim := own.segments[1]
		err := os.Remove(ownPath(o.w.o.Dir, o.attempt, victim.offset))
		switch {
		case err == nil:
			o.w.o.Janitor.wrote(-victim.size)
		case !errors.Is(err, fs.ErrNotExist):
			o.w.note(fmt.Errorf("cannot delete a log segment: %w", err))
		}
		lost := own.segments[2].offset - victim.offset
		own.removed += lost
		o.dropped += lost
		own.segments = append(own.segments[:1], own.segments[2:]...)
		total -= victim.size
	}
}

// flushOwn writes the own buffer, which is this output's, and says whether all of
// it was taken.
func (o *Output) flushOwn() bool {
	if o.w.own.pending() == 0 {
		return true
	}
	n, err := o.w.own.flush(o.own.file)
	o.own.last().size += int64(n)
	o.w.o.Janitor.wrote(int64(n))
	if err != nil {
		o.w.note(fmt.Errorf("cannot write a log segment: %w", err))
		return false
	}
	return true
}

// dispossess takes the own buffer from its owner, whose records are written now or
// dropped.
func (w *Writer) dispossess() {
	o := w.owner
	w.owner = nil
	if o == nil || o.flushOwn() {
		return
	}
	torn := int64(w.own.sent)
	lost := w.own.discard()
	o.logged -= lost
	o.drop(lost)
	if torn == 0 {
		return
	}
	// The segment ends with whole records, or nothing more is written to it.
	if err := o.own.file.Truncate(o.own.last().size - torn); err != nil {
		w.note(fmt.Errorf("cannot cut a log segment: %w", err))
		o.closeOwnFile()
		return
	}
	o.own.last().size -= torn
	w.o.Janitor.wrote(-torn)
}

// closeOwn writes what is left and closes the last own segment.
func (o *Output) closeOwn() {
	if o.w.owner == o {
		o.w.dispossess()
	}
	o.closeOwnFile()
}

// closeOwnFile closes the last own segment for good.
func (o *Output) closeOwnFile() {
	own := &o.own
	if own.file == nil {
		return
	}
	if err := own.file.Close(); err != nil {
		o.w.note(fmt.Errorf("cannot close a log segment: %w", err))
	}
	own.file = nil
	o.w.o.Janitor.release(ownPath(o.w.o.Dir, o.attempt, own.last().offset))
}
