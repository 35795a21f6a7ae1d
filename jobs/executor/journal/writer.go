package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// file is what a writer needs of a segment's file.
type file interface {
	io.WriterAt
	io.Closer
	Truncate(size int64) error
	Sync() error
}

func createFile(path string) (file, error) {
	// A plain nil must not become an interface that holds a nil *os.File.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Writer appends to one epoch. It belongs to one goroutine.
type Writer struct {
	series  series
	options Options

	file  file   // the last segment of the series
	size  int64  // its good bytes
	next  uint64 // the number of the next record
	stuck bool   // remains of a failed write stand behind the good bytes
	batch []byte // encodes what is appended
}

// errStuck is the answer while not even the place of the next record can be
// cleared, such as on a file system that has become read-only.
var errStuck = errors.New("what an earlier failed write left behind cannot be removed")

// keepBatch is the largest encoding buffer that is kept for the next record, in
// bytes; typical records have some hundred.
const keepBatch = 64 << 10

// Epoch answers the writer's epoch.
func (w *Writer) Epoch() uint64 { return w.series.epoch }

// Last answers the number of the last record; 0 before the first.
func (w *Writer) Last() uint64 { return w.next - 1 }

// Append writes one record with one system call, and answers its number. After
// an error nothing has been appended, and the number is given to the next.
func (w *Writer) Append(payload []byte) (number uint64, err error) {
	return w.AppendMany(payload)
}

// AppendMany writes several records with one system call, and answers the
// number of the first; the others follow it. Either all are appended or none.
func (w *Writer) AppendMany(payloads ...[]byte) (first uint64, err error) {
	w.batch = w.batch[:0]
	for i, payload := range payloads {
		if len(payload) > MaxPayload {
			return 0, fmt.Errorf("cannot append a record of %d bytes: the limit is %d", len(payload), MaxPayload)
		}
		w.batch = appendRecord(w.batch, w.series.epoch, w.next+uint64(i), payload)
	}
	if err := w.makeRoom(int64(len(w.batch))); err != nil {
		return 0, fmt.Errorf("cannot append to the journal: %w", err)
	}
	if _, err := w.file.WriteAt(w.batch, w.size); err != nil {
		// What was written of it must not stand before the next record.
		w.stuck = w.file.Truncate(w.size) != nil
		return 0, fmt.Errorf("cannot append to the journal: %w", err)
	}
	first = w.next
	w.size += int64(len(w.batch))
	w.next += uint64(len(payloads))
	if cap(w.batch) > keepBatch {
		w.batch = nil
	}
	return first, nil
}

// makeRoom begins a new segment where the last one is full, or of no use any
// more. A full one that cannot be sealed goes on being used: that it grows is
// better than that an event is lost.
func (w *Writer) makeRoom(bytes int64) error {
	if w.stuck {
		w.stuck = w.file.Truncate(w.size) != nil
	}
	empty := w.size == int64(len(segmentMagic))
	switch {
	case w.stuck && empty:
		return errStuck
	case w.stuck:
		return w.seal()
	case !empty && w.size+bytes > w.options.SegmentBytes:
		_ = w.seal()
	}
	return nil
}

// seal ends the last segment by beginning the next.
func (w *Writer) seal() error {
	sealed := w.file
	if err := w.begin(); err != nil {
		return err
	}
	// Its bytes are with the kernel, there is nothing that closing could lose.
	_ = sealed.Close()
	return nil
}

// begin creates the segment that begins with the next record. After an error
// the writer is as it was.
func (w *Writer) begin() error {
	path := w.series.path(w.next)
	f, err := w.options.create(path)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt([]byte(segmentMagic), 0); err != nil {
		return errors.Join(err, f.Close(), os.Remove(path))
	}
	w.series.firsts = append(w.series.firsts, w.next)
	w.file, w.size, w.stuck = f, int64(len(segmentMagic)), false
	return nil
}

// Ack says that everything up to number has been applied: sealed segments of
// which that is true of every record are deleted. One that cannot be deleted is
// tried again with the next Ack.
func (w *Writer) Ack(number uint64) {
	for len(w.series.firsts) > 1 && w.series.firsts[1] <= number+1 {
		if err := w.series.removeFirst(); err != nil {
			return
		}
	}
}

// Read calls fn for every record with a number greater than after that is still
// there, in order; what has been acknowledged may be gone. The payload is valid
// until fn returns. An error of fn ends the reading and is returned; a later
// Read that goes on from there does not search for the place again.
func (w *Writer) Read(after uint64, fn func(number uint64, payload []byte) error) error {
	return w.series.read(after, w.Last(), fn)
}

// Close closes the writer's file. The epoch stays on disk, as something left.
func (w *Writer) Close() error {
	return w.file.Close()
}
