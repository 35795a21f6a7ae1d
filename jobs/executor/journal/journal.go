// Package journal keeps the executor's events on disk, so that they outlive
// every process: it appends records to files, gives each a name that is never
// used twice, finds what is damaged, and deletes what has been acknowledged. It
// knows bytes, not events.
//
// A record is named by an epoch and a number. Each [Writer] has an epoch of its
// own, and the numbers in it are contiguous from 1. An epoch is a series of
// segments, files named EPOCH-FIRST.journal after the number of their first
// record. So whether a series has a gap can be told from the names alone, and
// nothing about a segment is stored twice.
//
// # What survives what
//
// A record that Append has answered is with the kernel: it survives the end of
// any process by any signal. It is not forced to the disk, because that would
// cost more than starting the process it tells of: a power cut may take the end
// of a journal, without a trace. Who reads a journal of an earlier boot must
// therefore not conclude anything from what is missing. The epoch itself is
// forced to the disk, so that no power cut can make two events share a name.
//
// A directory belongs to one process at a time; the lock that holds off others
// is the caller's.
package journal

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// DefaultSegmentBytes is the size at which a segment is sealed: small enough
// that acknowledged events leave the disk soon (about 20,000 of them), large
// enough that creating files costs nothing beside writing them.
const DefaultSegmentBytes = 4 << 20

// MaxPayload bounds a record's payload in bytes. It is the limit of a frame of
// the executor's protocol, so that whatever is journalled can also be sent.
const MaxPayload = 16 << 20

// Options are the knobs of a [Store]. The zero value is the default.
type Options struct {
	// AfterEpoch is the highest epoch known to have been used before; new ones are
	// greater, even if the directory was lost.
	AfterEpoch uint64
	// SegmentBytes is the size at which a segment is sealed and the next begun;
	// default DefaultSegmentBytes. A record larger than that has a segment of its
	// own.
	SegmentBytes int64

	// create makes a segment's file; tests make one that fails.
	create func(path string) (file, error)
}

// Store is the directory of one executor's journals: those that earlier
// executors left, to be read and removed, and its own, which [Store.NewEpoch]
// begins. An epoch is read and removed by one goroutine at a time; otherwise its
// methods may be called by several.
type Store struct {
	dir     string
	options Options

	mu      sync.Mutex
	highest uint64 // the highest epoch used so far
	left    []*leftEpoch
}

// Left is an epoch that an earlier executor has left.
type Left struct {
	Epoch uint64
	// Last is the number of the last record that can be read; 0 when there never
	// was one.
	Last uint64
	// Whole says that no record is missing between the first that is not yet
	// acknowledged and the end. A last record cut short does not count as missing:
	// the process was killed while it wrote, so nothing was ever done on the
	// strength of it.
	Whole bool
	// Damage says what ends the journal at Last; nil when it ends cleanly. It is
	// for people to read, and set for a last record cut short too.
	Damage error
}

// leftEpoch is a Left and where it is.
type leftEpoch struct {
	Left
	series series
}

// Open reads what is in dir, which is made if it is not there. Damaged journals
// are no error, they are told by [Store.Left]; files whose names are not those
// of segments are let alone.
func Open(dir string, o Options) (*Store, error) {
	if o.SegmentBytes <= 0 {
		o.SegmentBytes = DefaultSegmentBytes
	}
	if o.create == nil {
		o.create = createFile
	}
	if err := makeDir(dir); err != nil {
		return nil, fmt.Errorf("cannot make journal directory: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot list journal directory: %w", err)
	}
	s := &Store{dir: dir, options: o, highest: o.AfterEpoch}
	firsts := make(map[uint64][]uint64)
	for _, entry := range entries {
		if epoch, first, ok := parseSegmentName(entry.Name()); ok {
			firsts[epoch] = append(firsts[epoch], first)
			s.highest = max(s.highest, epoch)
		}
	}
	for epoch, firsts := range firsts {
		slices.Sort(firsts)
		l := &leftEpoch{series: series{dir: dir, epoch: epoch, firsts: firsts}}
		l.Left = l.series.examine()
		s.left = append(s.left, l)
	}
	slices.SortFunc(s.left, func(a, b *leftEpoch) int { return cmp.Compare(a.Epoch, b.Epoch) })
	return s, nil
}

// Left answers the epochs that earlier executors left and that have not been
// removed, oldest first.
func (s *Store) Left() []Left {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Left, len(s.left))
	for i, l := range s.left {
		list[i] = l.Left
	}
	return list
}

// NewEpoch begins the next epoch. When it returns, the epoch's first file is on
// the disk: its number is never given again, not even after a power cut, as
// long as the highest epoch is not removed and AfterEpoch tells of it.
func (s *Store) NewEpoch() (*Writer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.highest++ // also when the rest fails: nobody knows what is on the disk then
	w := &Writer{
		series:  series{dir: s.dir, epoch: s.highest},
		options: s.options,
		next:    1,
	}
	if err := w.begin(); err != nil {
		return nil, fmt.Errorf("cannot begin epoch %d: %w", s.highest, err)
	}
	if err := errors.Join(w.file.Sync(), syncDir(s.dir)); err != nil {
		w.file.Close()
		return nil, fmt.Errorf("cannot begin epoch %d: %w", s.highest, err)
	}
	return w, nil
}

// Read calls fn for every record of an epoch in [Store.Left] with a number
// greater than after, in order. The payload is valid until fn returns. An error
// of fn ends the reading and is returned; a later Read that goes on from there
// does not search for the place again.
func (s *Store) Read(epoch, after uint64, fn func(number uint64, payload []byte) error) error {
	l := s.find(epoch)
	if l == nil {
		return fmt.Errorf("cannot read epoch %d: %w", epoch, fs.ErrNotExist)
	}
	return l.series.read(after, l.Last, fn)
}

// Remove deletes the files of an epoch in [Store.Left]; afterwards they do not
// come back, not even after a power cut. The highest epoch there is is refused:
// its files are what keeps its number from being given again.
func (s *Store) Remove(epoch uint64) error {
	l := s.find(epoch)
	if l == nil {
		return fmt.Errorf("cannot remove epoch %d: %w", epoch, fs.ErrNotExist)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if epoch == s.highest {
		return fmt.Errorf("cannot remove epoch %d: it is the highest, begin a new one first", epoch)
	}
	// The oldest go first, so that what is left after a failure has no gap.
	for len(l.series.firsts) > 0 {
		if err := l.series.removeFirst(); err != nil {
			return fmt.Errorf("cannot remove epoch %d: %w", epoch, err)
		}
	}
	s.left = slices.DeleteFunc(s.left, func(other *leftEpoch) bool { return other == l })
	if err := syncDir(s.dir); err != nil {
		return fmt.Errorf("cannot remove epoch %d: %w", epoch, err)
	}
	return nil
}

func (s *Store) find(epoch uint64) *leftEpoch {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.left {
		if l.Epoch == epoch {
			return l
		}
	}
	return nil
}

// makeDir makes dir, and makes sure that a power cut does not take it away
// together with the epochs in it.
func makeDir(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

// syncDir forces the names in dir to the disk.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
