package logs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const (
	// DefaultSegmentBytes is the size at which a shared segment is followed by the
	// next: small enough that the total budget can be kept in fine steps.
	DefaultSegmentBytes = 16 << 20
	// DefaultOwnAfterBytes is how much an attempt logs before it gets segments of
	// its own. It also bounds what is searched for among the lines of others.
	DefaultOwnAfterBytes = 64 << 10
	// DefaultOwnAfter is how long an attempt writes to shared segments: long enough
	// that a short job never costs a file.
	DefaultOwnAfter = 10 * time.Second
	// DefaultAttemptBudget is what an attempt may keep where nobody says otherwise.
	DefaultAttemptBudget = 64 << 20
)

// Options are what a [Writer] is made from. Zero fields have defaults.
type Options struct {
	// Dir is the log directory; it is made when it does not exist.
	Dir string
	// SegmentBytes is the size of a shared segment; [DefaultSegmentBytes] if 0.
	SegmentBytes int64
	// OwnAfterBytes is how many bytes an attempt logs, time stamps included, before
	// it gets segments of its own; [DefaultOwnAfterBytes] if 0.
	OwnAfterBytes int64
	// OwnAfter is how long after its opening an attempt that writes again gets
	// segments of its own; [DefaultOwnAfter] if 0.
	OwnAfter time.Duration
	// Janitor holds the whole directory below its budget; the writers of one
	// directory share one. Without it there is no limit in total.
	Janitor *Janitor

	// create makes segments; tests replace it to have disks that fail.
	create func(path string) (file, error)
}

// Writer writes the output of an executor loop's attempts. It belongs to that
// loop: it has no lock and no goroutine, and two buffers however many attempts
// there are, one for the shared segment and one for whichever attempt is writing
// to its own.
type Writer struct {
	o     Options
	epoch uint64
	stamp stamper
	head  []byte

	// The shared segment. It exists as soon as something has been flushed to it.
	number uint64
	shared file
	size   int64 // bytes in the shared segment
	buffer buffer

	// own has records of owner, which is nil when it is empty.
	own   buffer
	owner *Output

	err error // the first failure since the last Flush
}

// NewWriter opens the series of shared segments named epoch. An epoch is used
// once: what earlier writers left is read, never written to.
func NewWriter(o Options, epoch uint64) (*Writer, error) {
	if epoch == 0 {
		return nil, errors.New("cannot open a log writer: epochs are counted from 1")
	}
	if o.SegmentBytes == 0 {
		o.SegmentBytes = DefaultSegmentBytes
	}
	if o.OwnAfterBytes == 0 {
		o.OwnAfterBytes = DefaultOwnAfterBytes
	}
	if o.OwnAfter == 0 {
		o.OwnAfter = DefaultOwnAfter
	}
	if o.create == nil {
		o.create = createFile
	}
	for _, folder := range []string{sharedFolder, ownFolder} {
		if err := os.MkdirAll(filepath.Join(o.Dir, folder), 0o700); err != nil {
			return nil, fmt.Errorf("cannot make the log directory: %w", err)
		}
	}
	used, err := filepath.Glob(filepath.Join(o.Dir, sharedFolder, fmt.Sprintf("%010d-*", epoch)))
	if err != nil {
		return nil, fmt.Errorf("cannot list the log directory %s: %w", o.Dir, err)
	}
	if len(used) > 0 {
		return nil, fmt.Errorf("cannot open a log writer: epoch %d has been used, by %s", epoch, used[0])
	}
	return &Writer{o: o, epoch: epoch, number: 1}, nil
}

// Flush hands everything buffered to the kernel, from where it survives the death
// of this process. It returns the first failure since the last Flush. There is
// nothing for the caller to do about it but tell: what could not be written is
// kept while the buffer has room, then dropped and counted.
func (w *Writer) Flush() error {
	w.flushShared()
	if w.owner != nil {
		w.owner.flushOwn()
	}
	err := w.err
	w.err = nil
	return err
}

// Close flushes and closes the shared segment. Outputs are closed before.
func (w *Writer) Close() error {
	err := w.Flush()
	w.closeShared()
	return errors.Join(err, w.err)
}

// note keeps the first failure for the next Flush.
func (w *Writer) note(err error) {
	if w.err == nil {
		w.err = err
	}
}

// end is where the next record goes in the shared segment.
func (w *Writer) end() int64 {
	return w.size + w.buffer.pending()
}

// reserveShared makes room for a record of n bytes in the shared buffer. It is
// false when the disk takes nothing and the buffer is full.
func (w *Writer) reserveShared(n int) bool {
	if w.end() > 0 && w.end()+int64(n) > w.o.SegmentBytes && w.flushShared() {
		w.closeShared()
		w.number, w.size = w.number+1, 0
	}
	return w.buffer.room(n) || w.flushShared() || w.buffer.room(n)
}

// flushShared writes the shared buffer and says whether all of it was taken.
func (w *Writer) flushShared() bool {
	if w.buffer.pending() == 0 {
		return true
	}
	if w.shared == nil {
		path := sharedPath(w.o.Dir, w.epoch, w.number)
		w.o.Janitor.use(path)
		f, err := w.o.create(path)
		if err != nil {
			w.o.Janitor.release(path)
			w.note(fmt.Errorf("cannot make a log segment: %w", err))
			return false
		}
		w.shared = f
	}
	n, err := w.buffer.flush(w.shared)
	w.size += int64(n)
	w.o.Janitor.wrote(int64(n))
	if err != nil {
		w.note(fmt.Errorf("cannot write a log segment: %w", err))
		return false
	}
	return true
}

// closeShared closes the shared segment for good.
func (w *Writer) closeShared() {
	if w.shared == nil {
		return
	}
	if err := w.shared.Close(); err != nil {
		w.note(fmt.Errorf("cannot close a log segment: %w", err))
	}
	w.shared = nil
	w.o.Janitor.release(sharedPath(w.o.Dir, w.epoch, w.number))
}
