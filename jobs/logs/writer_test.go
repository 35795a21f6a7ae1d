package logs

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

func TestWriterRefusesAnEpochThatHasBeenUsed(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	o := b.writer.Open(1, 0, noon)
	o.Write(Stdout, []byte("hello\n"), noon)
	o.Close(noon)
	b.flush()
	for epoch, wantErr := range map[uint64]bool{0: true, 1: true, 2: false} {
		if _, err := NewWriter(Options{Dir: b.dir}, epoch); (err != nil) != wantErr {
			t.Errorf("epoch %d: error %v, want one: %v", epoch, err, wantErr)
		}
	}
}

func TestNothingIsOnDiskUntilSomethingIsWritten(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	o := b.writer.Open(1, 0, noon)
	place, kept, dropped := o.Close(noon.Add(time.Hour))
	b.flush()
	if files := files(t, b.dir); len(files) > 0 {
		t.Errorf("files %v", files)
	}
	if kept != 0 || dropped != 0 {
		t.Errorf("kept %d, dropped %d", kept, dropped)
	}
	if lines := b.read(Query{Attempt: 1, Place: place}); len(lines) > 0 {
		t.Errorf("lines %v", lines)
	}
}

// TestWhatWasPrintedIsReadBack writes random chunks of several attempts at once,
// through every limit there is, and reads them while they run and when they have
// ended.
func TestWhatWasPrintedIsReadBack(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	rounds := 0
	rapid.Check(t, func(rt *rapid.T) {
		rounds++
		b := setup(t, Options{
			Dir:           filepath.Join(root, fmt.Sprint(rounds)),
			SegmentBytes:  rapid.Int64Range(1, 20_000).Draw(rt, "segment"),
			OwnAfterBytes: rapid.Int64Range(1, 5_000).Draw(rt, "own after"),
		})
		type attempt struct {
			o       *Output
			printed [2][]byte
		}
		text := rapid.SliceOfN(rapid.SampledFrom([]byte("ab\n\n\r\x00\xff")), 0, 100)
		attempts := make([]attempt, rapid.IntRange(1, 4).Draw(rt, "attempts"))
		for i := range attempts {
			attempts[i].o = b.writer.Open(int64(i+1), 0, noon)
		}
		for range rapid.IntRange(0, 60).Draw(rt, "chunks") {
			a := &attempts[rapid.IntRange(0, len(attempts)-1).Draw(rt, "attempt")]
			stream := rapid.SampledFrom([]Stream{Stdout, Stderr}).Draw(rt, "stream")
			chunk := text.Draw(rt, "chunk")
			if rapid.IntRange(0, 9).Draw(rt, "long") == 0 {
				chunk = bytes.Repeat([]byte{'x'}, rapid.IntRange(maxText-2, 2*maxText+2).Draw(rt, "length"))
			}
			a.o.Write(stream, chunk, noon.Add(time.Duration(rapid.Int64Range(0, 2e9).Draw(rt, "time"))))
			a.printed[stream-Stdout] = append(a.printed[stream-Stdout], chunk...)
		}
		b.flush()
		for i, a := range attempts {
			lines := b.read(Query{Attempt: int64(i + 1), Place: a.o.Place(), Live: true})
			for s, printed := range a.printed {
				// Of a running attempt the last line is not there until it is complete.
				if got := raw(lines, Stdout+Stream(s)); !bytes.HasPrefix(printed, got) || len(printed)-len(got) > maxText {
					rt.Fatalf("attempt %d at %+v printed %s, live there is %s", i+1, a.o.Place(), brief(printed), brief(got))
				}
			}
		}
		for i, a := range attempts {
			place, bytesKept, dropped := a.o.Close(noon)
			b.flush()
			lines := b.read(Query{Attempt: int64(i + 1), Place: place})
			for s, printed := range a.printed {
				if got := raw(lines, Stdout+Stream(s)); !bytes.Equal(got, printed) {
					rt.Fatalf("attempt %d at %+v printed %s, there is %s", i+1, place, brief(printed), brief(got))
				}
			}
			if want := int64(len(a.printed[0]) + len(a.printed[1])); bytesKept != want || dropped != 0 {
				rt.Fatalf("kept %d of %d, dropped %d", bytesKept, want, dropped)
			}
			if s := said(lines); s != nil {
				rt.Fatalf("said %q", s)
			}
		}
	})
}

func TestLongLinesAreSplit(t *testing.T) {
	t.Parallel()
	for _, length := range []int{maxText - 1, maxText, maxText + 1, 3 * maxText} {
		b := setup(t, Options{})
		o := b.writer.Open(1, 0, noon)
		printed := append(bytes.Repeat([]byte{'x'}, length), '\n')
		for chunk := range chunks(printed, 1000) {
			o.Write(Stdout, chunk, noon)
		}
		place, _, _ := o.Close(noon)
		b.flush()
		lines := b.read(Query{Attempt: 1, Place: place})
		for i, l := range lines {
			if last := i == len(lines)-1; l.Partial == last || len(l.Text) > maxText {
				t.Errorf("length %d: part %d of %d has %d bytes, partial %v", length, i+1, len(lines), len(l.Text), l.Partial)
			}
		}
		if want := (length + maxText - 1) / maxText; len(lines) != want {
			t.Errorf("length %d: %d parts, want %d", length, len(lines), want)
		}
	}
}

func TestAnAttemptThatLivesLongGetsItsOwnSegments(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{OwnAfter: time.Minute})
	o := b.writer.Open(1234, 0, noon)
	o.Write(Stdout, []byte("young\n"), noon.Add(time.Minute-1))
	o.Write(Stdout, []byte("old\n"), noon.Add(time.Minute))
	place, _, _ := o.Close(noon)
	b.flush()
	if !place.Own {
		t.Errorf("place %+v has no own segments", place)
	}
	if want := filepath.Join("own", "1", "1234", "0000000000000006.log"); files(t, b.dir)[want] == 0 {
		t.Errorf("no %s among %v", want, files(t, b.dir))
	}
}

func TestAnAttemptLeavesTheSharedSegmentsThatMoveOn(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{SegmentBytes: 1000})
	quiet := b.writer.Open(1, 0, noon)
	quiet.Write(Stdout, []byte("first\n"), noon)
	for id := range int64(10) {
		other := b.writer.Open(2+id, 0, noon)
		other.Write(Stdout, numbered(0, 3, 200), noon)
		other.Close(noon)
	}
	quiet.Write(Stdout, []byte("second\n"), noon)
	b.flush()
	// The end of its shared part is not known to a reader now, and found all the same.
	lines := b.read(Query{Attempt: 1, Place: quiet.Place(), Live: true})
	if got := string(raw(lines, Stdout)); got != "first\nsecond\n" {
		t.Errorf("live there is %q", got)
	}
	if place, _, _ := quiet.Close(noon); !place.Own || place.Last != 1 {
		t.Errorf("place %+v", place)
	}
}

func TestBudgetKeepsTheBeginningAndTheEnd(t *testing.T) {
	t.Parallel()
	for _, budget := range []int64{1, MinAttemptBudget, 1 << 20, 3<<20 + 17} {
		t.Run(fmt.Sprint(budget), func(t *testing.T) {
			t.Parallel()
			b := setup(t, Options{})
			o := b.writer.Open(1, budget, noon)
			var printed []byte
			for i := range 100 {
				chunk := numbered(i*1000, 1000, 80)
				o.Write(Stdout, chunk, noon)
				printed = append(printed, chunk...)
				if size := sum(files(t, b.dir)); size > max(budget, MinAttemptBudget) {
					t.Fatalf("%d bytes on disk, the budget is %d", size, budget)
				}
			}
			place, bytesKept, dropped := o.Close(noon)
			b.flush()
			if size := sum(files(t, b.dir)); size > max(budget, MinAttemptBudget) || size < max(budget, MinAttemptBudget)/2 {
				t.Errorf("%d bytes on disk, the budget is %d", size, budget)
			}
			lines := b.read(Query{Attempt: 1, Place: place})
			got := raw(lines, Stdout)
			if int64(len(got)) != bytesKept || bytesKept+dropped != int64(len(printed)) {
				t.Errorf("read %d, kept %d and dropped %d of %d bytes", len(got), bytesKept, dropped, len(printed))
			}
			gap := 0
			for gap < len(lines) && lines[gap].Stream != Heroproc {
				gap++
			}
			head, tail := raw(lines[:gap], Stdout), raw(lines[gap:], Stdout)
			if !bytes.HasPrefix(printed, head) || !bytes.HasSuffix(printed, tail) || len(head) < minOwnSegment/2 || len(tail) < minOwnSegment/2 {
				t.Errorf("the log is not %d bytes from the beginning and %d from the end", len(head), len(tail))
			}
			want := fmt.Sprintf("dropped %d bytes: the attempt's log budget is used up", dropped)
			if s := said(lines); len(s) != 1 || s[0] != want {
				t.Errorf("said %q, want %q", s, want)
			}
		})
	}
}

// failingDisk makes files that take no more than space bytes together.
type failingDisk struct {
	space int
	files int // that may still be made
}

type failingFile struct {
	file
	disk *failingDisk
}

func (d *failingDisk) create(path string) (file, error) {
	if d.files == 0 {
		return nil, &fs.PathError{Op: "open", Path: path, Err: syscall.ENOSPC}
	}
	d.files--
	f, err := createFile(path)
	return failingFile{f, d}, err
}

func (f failingFile) Write(p []byte) (int, error) {
	n, err := f.file.Write(p[:min(len(p), f.disk.space)])
	f.disk.space -= n
	if n < len(p) {
		return n, &fs.PathError{Op: "write", Path: "x.log", Err: syscall.ENOSPC}
	}
	return n, err
}

func TestAFullDiskLosesNothingThatFitsTheBuffer(t *testing.T) {
	t.Parallel()
	for space := range 200 {
		disk := &failingDisk{space: space, files: 100}
		b := setup(t, Options{create: disk.create})
		first, second := b.writer.Open(1, 0, noon), b.writer.Open(2, 0, noon)
		first.Write(Stdout, []byte("first\n"), noon)
		second.Write(Stdout, []byte("second\n"), noon)
		err := b.writer.Flush()
		if full := space < int(b.writer.end()); errors.Is(err, syscall.ENOSPC) != full {
			t.Fatalf("space for %d: flush returned %v", space, err)
		}
		disk.space = 1 << 20
		first.Write(Stdout, []byte("more\n"), noon)
		place1, _, _ := first.Close(noon)
		place2, _, _ := second.Close(noon)
		b.flush()
		if got := string(raw(b.read(Query{Attempt: 1, Place: place1}), Stdout)); got != "first\nmore\n" {
			t.Errorf("space for %d: the first's output became %q", space, got)
		}
		if got := string(raw(b.read(Query{Attempt: 2, Place: place2}), Stdout)); got != "second\n" {
			t.Errorf("space for %d: the second's output became %q", space, got)
		}
	}
}

// TestAFullDiskIsCountedAndTold fills the disk at random moments while three
// attempts write, shared and own.
func TestAFullDiskIsCountedAndTold(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 0))
		disk := &failingDisk{space: random.IntN(1 << 20), files: random.IntN(20)}
		b := setup(t, Options{create: disk.create, SegmentBytes: 100_000})
		var outputs [3]*Output
		var printed [3]int64
		for i := range outputs {
			outputs[i] = b.writer.Open(int64(i+1), int64(i)<<20, noon)
		}
		for step := range 300 {
			i := random.IntN(len(outputs))
			chunk := numbered(step*100, 1+random.IntN(100), 80)
			outputs[i].Write(Stdout, chunk, noon)
			printed[i] += int64(len(chunk))
			if random.IntN(10) == 0 {
				disk.space += random.IntN(300_000)
				disk.files += random.IntN(3)
			}
			if random.IntN(3) == 0 {
				_ = b.writer.Flush()
			}
		}
		disk.space, disk.files = 1<<30, 1000
		_ = b.writer.Flush()
		for i, o := range outputs {
			place, bytesKept, dropped := o.Close(noon)
			b.flush()
			lines := b.read(Query{Attempt: int64(i + 1), Place: place})
			got := int64(len(raw(lines, Stdout)))
			if got != bytesKept || bytesKept+dropped != printed[i] {
				t.Errorf("seed %d: read %d, kept %d and dropped %d of %d bytes", seed, got, bytesKept, dropped, printed[i])
			}
			if dropped > 0 && len(said(lines)) == 0 {
				t.Errorf("seed %d: %d dropped bytes are not told", seed, dropped)
			}
			for _, l := range lines {
				if l.Stream == Stdout && (len(l.Text) != 79 || l.Partial) {
					t.Fatalf("seed %d: a line became %+v", seed, l)
				}
			}
		}
	}
}

func TestFailure06_LogDiskFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("cannot mount a small tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	b := setup(t, Options{Dir: dir})
	o := b.writer.Open(1, 0, noon)
	var printed int64
	for range 100 {
		chunk := numbered(0, 10_000, 100)
		o.Write(Stdout, chunk, noon)
		printed += int64(len(chunk))
	}
	if err := b.writer.Flush(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("flush returned %v", err)
	}
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT, "size=64m"); err != nil {
		t.Fatal(err)
	}
	o.Write(Stdout, []byte("there is space again\n"), noon)
	place, bytesKept, dropped := o.Close(noon)
	b.flush()
	lines := b.read(Query{Attempt: 1, Place: place})
	if last := lines[len(lines)-1]; last.Text != "there is space again" {
		t.Errorf("the last line is %+v", last)
	}
	var told int64
	for _, text := range said(lines) {
		var n int64
		if _, err := fmt.Sscanf(text, "dropped %d bytes: the log could not be written: no space left on device", &n); err != nil {
			t.Errorf("said %q", text)
		}
		told += n
	}
	if told != dropped {
		t.Errorf("told of %d dropped bytes of %d", told, dropped)
	}
	if got := int64(len(raw(lines, Stdout))); got != bytesKept || got+dropped != printed+21 {
		t.Errorf("read %d, kept %d and dropped %d of %d bytes", got, bytesKept, dropped, printed+21)
	}
	_ = b.writer.Close() // so that the file system can be unmounted
}

func TestFailure36_HugeLinesAndBinary(t *testing.T) {
	t.Parallel()
	t.Run("HundredMegabytesWithoutNewline", func(t *testing.T) {
		t.Parallel()
		b := setup(t, Options{})
		o := b.writer.Open(1, 0, noon)
		chunk := bytes.Repeat([]byte{'x'}, 1<<20)
		for range 100 {
			o.Write(Stdout, chunk, noon)
			if held := cap(o.tails[0]) + cap(b.writer.own.records); held > 2*(maxText+bufferBytes) {
				t.Fatalf("%d bytes are held in memory", held)
			}
		}
		place, bytesKept, _ := o.Close(noon)
		b.flush()
		var read int64
		for line, err := range b.reader.Read(t.Context(), Query{Attempt: 1, Place: place}) {
			if err != nil || !line.Partial {
				t.Fatalf("a line of %d bytes, partial %v, error %v", len(line.Text), line.Partial, err)
			}
			read += int64(len(line.Text))
		}
		if read != 100<<20 || bytesKept != read {
			t.Errorf("read %d, kept %d bytes", read, bytesKept)
		}
	})
	t.Run("Binary", func(t *testing.T) {
		t.Parallel()
		b := setup(t, Options{})
		o := b.writer.Open(1, 0, noon)
		random := rand.NewChaCha8([32]byte{1})
		printed := make([]byte, 1<<20)
		_, _ = random.Read(printed)
		for chunk := range chunks(printed, 12_345) {
			o.Write(Stderr, chunk, noon)
		}
		place, _, _ := o.Close(noon)
		b.flush()
		if got := raw(b.read(Query{Attempt: 1, Place: place}), Stderr); !bytes.Equal(got, printed) {
			t.Errorf("%d bytes became %d others", len(printed), len(got))
		}
	})
}

// brief is p, or what is worth showing of it.
func brief(p []byte) string {
	if len(p) > 200 {
		return fmt.Sprintf("%q... (%d bytes)", p[:200], len(p))
	}
	return fmt.Sprintf("%q", p)
}

// chunks cuts p into pieces of n bytes.
func chunks(p []byte, n int) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(p) > 0 {
			k := min(n, len(p))
			if !yield(p[:k]) {
				return
			}
			p = p[k:]
		}
	}
}

// files are the sizes of the segments in dir, by name.
func files(t *testing.T, dir string) map[string]int64 {
	t.Helper()
	found := make(map[string]int64)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && entry.IsDir() {
			return nil
		}
		if err != nil {
			return err
		}
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		found[name] = info.Size()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func sum(sizes map[string]int64) (total int64) {
	for _, size := range sizes {
		total += size
	}
	return total
}
