package journal

import (
	"bufio"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// open opens the journal in dir.
func open(t testing.TB, dir string, o Options) *Store {
	t.Helper()
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// newEpoch begins an epoch that is closed with the test.
func newEpoch(t testing.TB, s *Store) *Writer {
	t.Helper()
	w, err := s.NewEpoch()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

// fill appends n records.
func fill(t testing.TB, w *Writer, n int) {
	t.Helper()
	for range n {
		want := w.Last() + 1
		if number, err := w.Append(payload(want)); err != nil || number != want {
			t.Fatalf("appended number %d, want %d: %v", number, want, err)
		}
	}
}

// read answers the numbers that read brings, and holds their payloads against
// what was appended.
func read(t testing.TB, after uint64, read func(uint64, func(uint64, []byte) error) error) []uint64 {
	t.Helper()
	var numbers []uint64
	err := read(after, func(number uint64, got []byte) error {
		if !bytes.Equal(got, payload(number)) {
			t.Fatalf("number %d: read %q", number, got)
		}
		numbers = append(numbers, number)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return numbers
}

// readLeft reads a whole epoch that was left.
func readLeft(t testing.TB, s *Store, epoch uint64) []uint64 {
	t.Helper()
	return read(t, 0, func(after uint64, fn func(uint64, []byte) error) error { return s.Read(epoch, after, fn) })
}

// upTo answers the numbers after one up to another.
func upTo(after, last uint64) []uint64 {
	var numbers []uint64
	for n := after + 1; n <= last; n++ {
		numbers = append(numbers, n)
	}
	return numbers
}

// segments lists the segments in dir.
func segments(t testing.TB, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// copyDir copies files to a directory of their own.
func copyDir(t testing.TB, paths []string) string {
	t.Helper()
	dir := t.TempDir()
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(path)), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

var errStop = errors.New("stop here")

func TestWriter(t *testing.T) {
	t.Parallel()

	setup := func(t *testing.T) (*Writer, string) {
		dir := filepath.Join(t.TempDir(), "journal")
		return newEpoch(t, open(t, dir, Options{SegmentBytes: 10_000})), dir
	}

	t.Run("NumbersRecordsFromOne", func(t *testing.T) {
		t.Parallel()
		w, _ := setup(t)
		if w.Epoch() != 1 || w.Last() != 0 {
			t.Errorf("epoch %d, last %d", w.Epoch(), w.Last())
		}
		fill(t, w, 3)
		if w.Last() != 3 {
			t.Errorf("last %d after 3", w.Last())
		}
	})

	t.Run("ReadsWhatItAppended", func(t *testing.T) {
		t.Parallel()
		w, _ := setup(t)
		for last := range uint64(40) {
			for after := range last + 2 {
				if diff := cmp.Diff(upTo(after, last), read(t, after, w.Read)); diff != "" {
					t.Fatalf("%d records after %d (-want +got):\n%s", last, after, diff)
				}
			}
			fill(t, w, 1)
		}
	})

	t.Run("AppendsSeveralAtOnce", func(t *testing.T) {
		t.Parallel()
		w, _ := setup(t)
		fill(t, w, 1)
		if first, err := w.AppendMany(payload(2), payload(3), payload(4)); first != 2 || err != nil {
			t.Fatalf("first %d, %v", first, err)
		}
		fill(t, w, 1)
		if diff := cmp.Diff(upTo(0, 5), read(t, 0, w.Read)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})

	t.Run("GoesOnReadingWhereItStopped", func(t *testing.T) {
		t.Parallel()
		w, _ := setup(t)
		fill(t, w, 30)
		var got []uint64
		for len(got) < 30 {
			// Every third record is refused once, as by a socket that is full.
			refused := false
			err := w.Read(uint64(len(got)), func(number uint64, p []byte) error {
				if number%3 == 0 && !refused && len(got) > 0 && got[len(got)-1] != number-1 {
					t.Fatalf("number %d came after %d", number, got[len(got)-1])
				}
				if refused {
					return errStop
				}
				refused = number%3 == 0
				got = append(got, number)
				return nil
			})
			if err != nil && !errors.Is(err, errStop) {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(upTo(0, 30), got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})

	t.Run("DeletesSealedSegmentsThatAreWhollyAcknowledged", func(t *testing.T) {
		t.Parallel()
		w, dir := setup(t)
		fill(t, w, 60)
		paths := segments(t, dir)
		if len(paths) < 4 {
			t.Fatalf("only %d segments", len(paths))
		}
		_, first, _ := parseSegmentName(filepath.Base(paths[2]))
		w.Ack(first - 2)
		if diff := cmp.Diff(paths[1:], segments(t, dir)); diff != "" {
			t.Errorf("one record of the second segment is not acknowledged (-want +got):\n%s", diff)
		}
		w.Ack(first - 1)
		if diff := cmp.Diff(paths[2:], segments(t, dir)); diff != "" {
			t.Errorf("the second segment is acknowledged (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(upTo(first-1, 60), read(t, first-1, w.Read)); diff != "" {
			t.Errorf("what is not acknowledged (-want +got):\n%s", diff)
		}
		w.Ack(60)
		if diff := cmp.Diff(paths[len(paths)-1:], segments(t, dir)); diff != "" {
			t.Errorf("everything is acknowledged (-want +got):\n%s", diff)
		}
		fill(t, w, 60)
		if diff := cmp.Diff(upTo(60, 120), read(t, 60, w.Read)); diff != "" {
			t.Errorf("what came later (-want +got):\n%s", diff)
		}
	})

	t.Run("TakesRecordsLargerThanASegment", func(t *testing.T) {
		t.Parallel()
		w, _ := setup(t)
		large := bytes.Repeat([]byte("x"), 100_000)
		for _, p := range [][]byte{nil, large, large, {1}} {
			if _, err := w.Append(p); err != nil {
				t.Fatal(err)
			}
		}
		var sizes []int
		if err := w.Read(0, func(_ uint64, p []byte) error { sizes = append(sizes, len(p)); return nil }); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]int{0, 100_000, 100_000, 1}, sizes); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})

	t.Run("RefusesWhatIsOverTheLimit", func(t *testing.T) {
		t.Parallel()
		w, _ := setup(t)
		if _, err := w.AppendMany([]byte("fine"), make([]byte, MaxPayload+1)); err == nil {
			t.Error("it was accepted")
		}
		if numbers := read(t, 0, w.Read); numbers != nil {
			t.Errorf("it left %v", numbers)
		}
		fill(t, w, 1)
	})

	t.Run("KeepsItsFilesPrivate", func(t *testing.T) {
		t.Parallel()
		w, dir := setup(t)
		fill(t, w, 1)
		for path, want := range map[string]fs.FileMode{dir: 0o700, segments(t, dir)[0]: 0o600} {
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
				t.Errorf("%s: %v, %v", path, info.Mode(), err)
			}
		}
	})
}

func TestStore(t *testing.T) {
	t.Parallel()

	t.Run("TellsWhatEarlierExecutorsLeft", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		s := open(t, dir, Options{SegmentBytes: 5_000})
		fill(t, newEpoch(t, s), 20)
		newEpoch(t, s)
		fill(t, newEpoch(t, s), 1)

		s = open(t, dir, Options{})
		newEpoch(t, s)
		want := []Left{{Epoch: 1, Last: 20, Whole: true}, {Epoch: 2, Whole: true}, {Epoch: 3, Last: 1, Whole: true}}
		if diff := cmp.Diff(want, s.Left()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		for _, left := range want {
			if diff := cmp.Diff(upTo(0, left.Last), readLeft(t, s, left.Epoch)); diff != "" {
				t.Errorf("epoch %d (-want +got):\n%s", left.Epoch, diff)
			}
		}
	})

	t.Run("NeverGivesAnEpochTwice", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		for i, test := range []struct{ after, want uint64 }{{0, 1}, {0, 2}, {7, 8}, {3, 9}, {9, 10}} {
			if w := newEpoch(t, open(t, dir, Options{AfterEpoch: test.after})); w.Epoch() != test.want {
				t.Errorf("%d: epoch %d after %d, want %d", i, w.Epoch(), test.after, test.want)
			}
		}
	})

	t.Run("RemovesAnEpoch", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		s := open(t, dir, Options{SegmentBytes: 5_000})
		fill(t, newEpoch(t, s), 20)
		fill(t, newEpoch(t, s), 20)

		s = open(t, dir, Options{})
		if err := s.Remove(2); err == nil {
			t.Error("the highest epoch was removed")
		}
		if err := s.Remove(1); err != nil {
			t.Fatal(err)
		}
		if err := s.Remove(1); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("removed twice: %v", err)
		}
		if err := s.Read(1, 0, nil); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("read after it was removed: %v", err)
		}
		w := newEpoch(t, s)
		if err := s.Remove(2); err != nil {
			t.Fatal(err)
		}
		if err := s.Remove(w.Epoch()); err == nil {
			t.Error("an epoch in use was removed")
		}
		if left := s.Left(); len(left) != 0 {
			t.Errorf("left: %v", left)
		}
		if paths := segments(t, dir); len(paths) != 1 {
			t.Errorf("files: %v", paths)
		}
	})

	t.Run("LetsOtherFilesAlone", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		for _, name := range []string{"README", "1-1.journal", segmentName(5, 0), segmentName(5, 1) + ".bak"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte("mine"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s := open(t, dir, Options{})
		if w := newEpoch(t, s); w.Epoch() != 1 || len(s.Left()) != 0 {
			t.Errorf("epoch %d, left %v", w.Epoch(), s.Left())
		}
	})

	t.Run("NeedsADirectory", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, dir := range []string{path, filepath.Join(path, "journal"), filepath.Join(t.TempDir(), "a", "b")} {
			if _, err := Open(dir, Options{}); err == nil {
				t.Errorf("%s was accepted", dir)
			}
		}
	})
}

// TestDamage makes an epoch of three segments, changes copies of it in every
// way, and opens what came of it.
func TestDamage(t *testing.T) {
	t.Parallel()

	dir := t.TempDir()
	w := newEpoch(t, open(t, dir, Options{SegmentBytes: 300}))
	var ends []int64 // where the records of the last segment end
	for len(segments(t, dir)) < 3 || len(ends) < 3 {
		p := []byte(strconv.FormatUint(w.Last()+1, 10))
		if _, err := w.Append(append(p, bytes.Repeat([]byte("."), 60)...)); err != nil {
			t.Fatal(err)
		}
		if len(segments(t, dir)) == 3 {
			ends = append(ends, w.size)
		}
	}
	paths := segments(t, dir)
	_, second, _ := parseSegmentName(filepath.Base(paths[1]))
	_, third, _ := parseSegmentName(filepath.Base(paths[2]))

	// examine opens a changed copy, and makes sure that what it says can be read
	// is what was appended.
	examine := func(t *testing.T, change func(paths []string)) Left {
		t.Helper()
		copied := copyDir(t, paths)
		change(segments(t, copied))
		s := open(t, copied, Options{})
		left := s.Left()[0]
		numbers := readAnything(t, s)
		if want := upTo(0, left.Last); !slices.Equal(want, numbers) {
			t.Fatalf("%+v, but read %v", left, numbers)
		}
		return left
	}

	t.Run("EveryCutOfTheLastWrite", func(t *testing.T) {
		t.Parallel()
		for size := range w.size {
			left := examine(t, func(paths []string) {
				if err := os.Truncate(paths[2], size); err != nil {
					t.Fatal(err)
				}
			})
			last, clean := third-1, size == int64(len(segmentMagic))
			for _, end := range ends {
				if end <= size {
					last, clean = last+1, end == size
				}
			}
			if left.Last != last || !left.Whole || (left.Damage == nil) != clean {
				t.Errorf("cut at byte %d: %+v, want last %d", size, left, last)
			}
		}
	})

	t.Run("EveryChangedByte", func(t *testing.T) {
		t.Parallel()
		for i, path := range paths {
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for at := range content {
				changed := bytes.Clone(content)
				changed[at] ^= 1 << (at % 8)
				left := examine(t, func(paths []string) {
					if err := os.WriteFile(paths[i], changed, 0o600); err != nil {
						t.Fatal(err)
					}
				})
				if left.Whole || left.Damage == nil || left.Last >= w.Last() {
					t.Errorf("segment %d, byte %d: %+v", i, at, left)
				}
			}
		}
	})

	t.Run("ACutInTheMiddle", func(t *testing.T) {
		t.Parallel()
		left := examine(t, func(paths []string) {
			if err := os.Truncate(paths[1], 150); err != nil {
				t.Fatal(err)
			}
		})
		if left.Whole || left.Last < second || left.Last >= third-1 {
			t.Errorf("%+v", left)
		}
	})

	t.Run("AMissingSegment", func(t *testing.T) {
		t.Parallel()
		left := examine(t, func(paths []string) { os.Remove(paths[1]) })
		if left.Whole || left.Last != second-1 {
			t.Errorf("%+v", left)
		}
	})

	t.Run("ASegmentOfAnotherEpoch", func(t *testing.T) {
		t.Parallel()
		copied := copyDir(t, paths[:1])
		if err := os.Rename(segments(t, copied)[0], filepath.Join(copied, segmentName(9, 1))); err != nil {
			t.Fatal(err)
		}
		if left := open(t, copied, Options{}).Left()[0]; left.Whole || left.Last != 0 {
			t.Errorf("%+v", left)
		}
	})

	t.Run("ASegmentThatIsNoFile", func(t *testing.T) {
		t.Parallel()
		left := examine(t, func(paths []string) {
			os.Remove(paths[2])
			if err := os.Mkdir(paths[2], 0o700); err != nil {
				t.Fatal(err)
			}
		})
		if left.Whole || left.Last != third-1 {
			t.Errorf("%+v", left)
		}
	})
}

// readAnything reads the only epoch there is, whatever it holds, and answers
// the numbers.
func readAnything(t testing.TB, s *Store) []uint64 {
	t.Helper()
	left := s.Left()[0]
	var numbers []uint64
	err := s.Read(left.Epoch, 0, func(number uint64, _ []byte) error {
		numbers = append(numbers, number)
		return nil
	})
	if err != nil {
		t.Fatalf("%+v: %v", left, err)
	}
	return numbers
}

// faultyFile is a file whose n-th write is a short one, and whose truncations
// fail while told so.
type faultyFile struct {
	file
	faults *faults
}

type faults struct {
	writes   int // counts down; the write that reaches 0 fails
	truncate bool
	create   bool
	sync     bool
}

var errFault = errors.New("injected fault")

func (f *faults) createFile(path string) (file, error) {
	if f.create {
		return nil, errFault
	}
	created, err := createFile(path)
	return faultyFile{created, f}, err
}

func (f faultyFile) WriteAt(b []byte, offset int64) (int, error) {
	if f.faults.writes--; f.faults.writes != 0 {
		return f.file.WriteAt(b, offset)
	}
	n, err := f.file.WriteAt(b[:len(b)/2], offset)
	return n, errors.Join(errFault, err)
}

func (f faultyFile) Truncate(size int64) error {
	if f.faults.truncate {
		return errFault
	}
	return f.file.Truncate(size)
}

func (f faultyFile) Sync() error {
	if f.faults.sync {
		return errFault
	}
	return f.file.Sync()
}

func TestFaults(t *testing.T) {
	t.Parallel()

	setup := func(t *testing.T, segmentBytes int64) (*Store, *faults, string) {
		dir, f := t.TempDir(), &faults{}
		return open(t, dir, Options{SegmentBytes: segmentBytes, create: f.createFile}), f, dir
	}
	// appendFails appends once and expects the injected fault.
	appendFails := func(t *testing.T, w *Writer) {
		t.Helper()
		last := w.Last()
		if number, err := w.Append(payload(w.Last() + 1)); !errors.Is(err, errFault) || number != 0 || w.Last() != last {
			t.Fatalf("number %d, %v, last %d", number, err, w.Last())
		}
	}
	// isWhole opens dir as the next executor does and expects everything.
	isWhole := func(t *testing.T, dir string, last uint64) {
		t.Helper()
		s := open(t, dir, Options{})
		if left := s.Left()[0]; !left.Whole || left.Last != last {
			t.Fatalf("%+v, want last %d", left, last)
		}
		if diff := cmp.Diff(upTo(0, last), readLeft(t, s, 1)); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	}

	t.Run("AShortWriteIsUndone", func(t *testing.T) {
		t.Parallel()
		s, f, dir := setup(t, 1<<20)
		w := newEpoch(t, s)
		for range 10 {
			fill(t, w, 2)
			f.writes = 1
			appendFails(t, w)
			if left := open(t, dir, Options{}).Left()[0]; left.Damage != nil {
				t.Fatalf("it left something behind: %+v", left)
			}
		}
		isWhole(t, dir, 20)
	})

	t.Run("OneThatCannotBeUndoneIsLeftBehind", func(t *testing.T) {
		t.Parallel()
		s, f, dir := setup(t, 1<<20)
		w := newEpoch(t, s)
		fill(t, w, 5)
		f.writes, f.truncate = 1, true
		appendFails(t, w)
		isWhole(t, dir, 5)
		fill(t, w, 5)
		if paths := segments(t, dir); len(paths) != 2 {
			t.Errorf("files: %v", paths)
		}
		if diff := cmp.Diff(upTo(0, 10), read(t, 0, w.Read)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		isWhole(t, dir, 10)
	})

	t.Run("OneAtTheBeginningIsUndoneLater", func(t *testing.T) {
		t.Parallel()
		s, f, dir := setup(t, 1<<20)
		w := newEpoch(t, s)
		f.writes, f.truncate = 1, true
		appendFails(t, w)
		if _, err := w.Append(payload(1)); !errors.Is(err, errStuck) {
			t.Fatalf("the place of the next record is not clear: %v", err)
		}
		f.truncate = false
		fill(t, w, 3)
		isWhole(t, dir, 3)
	})

	t.Run("AFullSegmentThatCannotBeSealedGrows", func(t *testing.T) {
		t.Parallel()
		s, f, dir := setup(t, 1_000)
		w := newEpoch(t, s)
		f.create = true
		fill(t, w, 20)
		if paths := segments(t, dir); len(paths) != 1 {
			t.Errorf("files: %v", paths)
		}
		f.create = false
		fill(t, w, 1)
		if paths := segments(t, dir); len(paths) != 2 {
			t.Errorf("files: %v", paths)
		}
		isWhole(t, dir, 21)
	})

	t.Run("ASegmentThatCannotBeBegunIsTakenBack", func(t *testing.T) {
		t.Parallel()
		s, f, dir := setup(t, 1)
		w := newEpoch(t, s)
		fill(t, w, 1)
		f.writes = 1
		fill(t, w, 1)
		if paths := segments(t, dir); len(paths) != 1 {
			t.Errorf("files: %v", paths)
		}
		isWhole(t, dir, w.Last())
	})

	t.Run("AnEpochThatMayNotBeOnDiskIsNotGivenAgain", func(t *testing.T) {
		t.Parallel()
		s, f, dir := setup(t, 1_000)
		f.sync = true
		if _, err := s.NewEpoch(); !errors.Is(err, errFault) {
			t.Fatalf("not on disk: %v", err)
		}
		f.sync, f.create = false, true
		if _, err := s.NewEpoch(); !errors.Is(err, errFault) {
			t.Fatalf("not created: %v", err)
		}
		f.create = false
		if w := newEpoch(t, s); w.Epoch() != 3 {
			t.Errorf("epoch %d", w.Epoch())
		}
		if s := open(t, dir, Options{}); len(s.Left()) != 2 {
			t.Errorf("left: %+v", s.Left())
		}
	})
}

// TestKill kills a process that appends, again and again: every record it has
// spoken of is there, whatever the kill interrupted.
func TestKill(t *testing.T) {
	t.Parallel()

	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for round := range uint64(8) {
		appender := exec.CommandContext(t.Context(), self)
		appender.Env = append(os.Environ(), appenderVariable+"="+dir)
		output, err := appender.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := appender.Start(); err != nil {
			t.Fatal(err)
		}
		// What it says after the kill still counts: it had been appended before.
		var said uint64
		for lines := bufio.NewScanner(output); lines.Scan(); {
			number, err := strconv.ParseUint(lines.Text(), 10, 64)
			if err != nil {
				break // the last line may be cut
			}
			if said = number; said == 300*(round+1) {
				if err := appender.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = appender.Wait() // it says that it was killed
		epoch := round + 1
		s := open(t, dir, Options{})
		left := s.Left()[round]
		if left.Epoch != epoch || left.Last < said || !left.Whole {
			t.Fatalf("%d was said: %+v", said, left)
		}
		if diff := cmp.Diff(upTo(0, left.Last), readLeft(t, s, epoch)); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	}
}

// TestModel holds a journal against a list of records, whatever is done in
// whatever order.
func TestModel(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(r *rapid.T) {
		dir := t.TempDir() // another one with each call
		f := &faults{}
		options := Options{
			SegmentBytes: rapid.Int64Range(1, 3_000).Draw(r, "segment bytes"),
			create:       f.createFile,
		}
		s, err := Open(dir, options)
		if err != nil {
			r.Fatal(err)
		}
		w, err := s.NewEpoch()
		if err != nil {
			r.Fatal(err)
		}
		defer func() { w.Close() }()
		var last, acked uint64
		same := func(after uint64, read func(uint64, func(uint64, []byte) error) error) {
			next := after + 1
			err := read(after, func(number uint64, got []byte) error {
				if number != next || !bytes.Equal(got, payload(number)) {
					r.Fatalf("number %d, want %d", number, next)
				}
				next++
				return nil
			})
			if err != nil || next != last+1 {
				r.Fatalf("read up to %d, want %d: %v", next-1, last, err)
			}
		}
		r.Repeat(map[string]func(*rapid.T){
			"append": func(r *rapid.T) {
				if n, err := w.Append(payload(last + 1)); err == nil {
					last = n
				} else if !errors.Is(err, errFault) && !errors.Is(err, errStuck) {
					r.Fatal(err)
				}
			},
			"ack": func(r *rapid.T) {
				acked = rapid.Uint64Range(acked, last).Draw(r, "acked")
				w.Ack(acked)
			},
			"read": func(r *rapid.T) {
				same(rapid.Uint64Range(acked, last).Draw(r, "after"), w.Read)
			},
			"fail a write": func(r *rapid.T) {
				f.writes = 1
				f.truncate = rapid.Bool().Draw(r, "truncate too")
			},
			"reopen": func(r *rapid.T) {
				s, err := Open(dir, options)
				if err != nil {
					r.Fatal(err)
				}
				lefts := s.Left()
				if left := lefts[len(lefts)-1]; left.Epoch != w.Epoch() || left.Last != last || !left.Whole {
					r.Fatalf("left %+v, want epoch %d up to %d", left, w.Epoch(), last)
				}
				same(acked, func(after uint64, fn func(uint64, []byte) error) error {
					return s.Read(w.Epoch(), after, fn)
				})
			},
		})
	})
}

// FuzzOpen lets anything be a segment: opening never panics, and what is read
// is what is said.
func FuzzOpen(f *testing.F) {
	good := []byte(segmentMagic)
	for n := range uint64(3) {
		good = appendRecord(good, 4, n+1, payload(n+1))
	}
	f.Add(good)
	f.Add(good[:len(good)-7])
	f.Add([]byte(segmentMagic))
	f.Fuzz(func(t *testing.T, content []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, segmentName(4, 1)), content, 0o600); err != nil {
			t.Fatal(err)
		}
		s := open(t, dir, Options{})
		left := s.Left()[0]
		if diff := cmp.Diff(upTo(0, left.Last), readAnything(t, s)); diff != "" {
			t.Errorf("%+v (-said +read):\n%s", left, diff)
		}
	})
}

func TestParseSegmentName(t *testing.T) {
	t.Parallel()

	for name, want := range map[string]bool{
		segmentName(1, 1):           true,
		segmentName(1<<63-1, 1<<62): true,
		segmentName(1<<63, 1):       false,
		segmentName(1, 0):           false,
		"1-1.journal":               false,
		"":                          false,
		".journal":                  false,
		"-.journal":                 false,
		segmentName(1, 1) + "x":     false,
		"+" + segmentName(1, 1)[1:]: false,
		"../" + segmentName(1, 1):   false,
	} {
		epoch, first, ok := parseSegmentName(name)
		if ok != want || ok && segmentName(epoch, first) != name {
			t.Errorf("%q: %d, %d, %v", name, epoch, first, ok)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	w := newEpoch(b, open(b, b.TempDir(), Options{}))
	record := make([]byte, 200)
	b.SetBytes(int64(len(record)))
	for b.Loop() {
		n, err := w.Append(record)
		if err != nil {
			b.Fatal(err)
		}
		w.Ack(n)
	}
}

func BenchmarkRead(b *testing.B) {
	w := newEpoch(b, open(b, b.TempDir(), Options{}))
	record := make([]byte, 200)
	for range 100_000 {
		if _, err := w.Append(record); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(100_000 * int64(len(record)))
	for b.Loop() {
		if err := w.Read(0, func(uint64, []byte) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
