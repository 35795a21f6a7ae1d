package logs

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// written makes the log of attempt 1 with lines in shared and own segments, mixed
// with those of another attempt.
func (b *bench) written() Place {
	b.Helper()
	o, other := b.writer.Open(1, MinAttemptBudget, noon), b.writer.Open(11, 0, noon)
	for i := range 100 {
		chunk := numbered(i*100, 100, 40)
		if i < 3 {
			chunk = chunk[:200+i]
		}
		o.Write(Stdout, chunk, noon)
		other.Write(Stderr, []byte("another's\n"), noon)
	}
	o.Write(Stderr, []byte("no newline at the end"), noon)
	place, _, _ := o.Close(noon)
	other.Close(noon)
	b.flush()
	return place
}

func TestTailIsTheEndOfTheLog(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]Options{
		"SharedOnly":   {OwnAfterBytes: 1 << 30},
		"SharedAndOwn": {OwnAfterBytes: 2000},
		"OwnOnly":      {OwnAfterBytes: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, o)
			// A small budget makes own segments small, and the log longer than it.
			place := b.written()
			q := Query{Attempt: 1, Place: place}
			all := b.read(q)
			for n := 1; n < len(all)+10; n += 1 + n/7 {
				q.Tail = n
				got := b.read(q)
				if records := slices.DeleteFunc(slices.Clone(got), derived); len(records) != min(n, len(slices.DeleteFunc(slices.Clone(all), derived))) {
					t.Fatalf("the last %d lines are %d", n, len(records))
				}
				if want := all[len(all)-min(len(got), len(all)):]; !slices.Equal(got, want) {
					t.Fatalf("the last %d lines are others:\n%s", n, cmp.Diff(want, got))
				}
			}
		})
	}
}

// derived says that a line is in no segment.
func derived(l kept) bool { return l.Stream == Heroproc }

func TestReadingGoesOnAfterAnyLine(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{OwnAfterBytes: 2000})
	place := b.written()
	q := Query{Attempt: 1, Place: place}
	all := b.read(q)
	if len(said(all)) != 1 {
		t.Fatalf("said %q, want one gap to go over", said(all))
	}
	for i := 0; i < len(all); i += 1 + len(all)/500 {
		after, err := ParseCursor(all[i].Next.String())
		if err != nil {
			t.Fatal(err)
		}
		q.After = after
		if got := b.read(q); !slices.Equal(got, all[i+1:]) {
			t.Fatalf("after line %d of %d there are %d others", i, len(all), len(got))
		}
	}
}

// TestThePositionBeforeOwnSegmentsIsOne reads on after the sentence that stands
// where the own segments were.
func TestThePositionBeforeOwnSegmentsIsOne(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	q := Query{Attempt: 1, Place: Place{Epoch: 1, First: 1, Last: 1, Own: true}}
	lines := b.read(q)
	if len(lines) != 1 {
		t.Fatalf("lines %v, want one sentence", lines)
	}
	after, err := ParseCursor(lines[0].Next.String())
	if err != nil || after != lines[0].Next {
		t.Errorf("%+v is read back as %+v: %v", lines[0].Next, after, err)
	}
}

// TestWhatWasReadIsNotMissed reads on at the end of a log that has been removed
// since.
func TestWhatWasReadIsNotMissed(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	o := b.writer.Open(1, 0, noon)
	o.Write(Stdout, []byte("one\ntwo\n"), noon)
	q := Query{Attempt: 1}
	q.Place, _, _ = o.Close(noon)
	b.flush()
	lines := b.read(q)
	if err := os.Remove(sharedPath(b.dir, 1, 1)); err != nil {
		t.Fatal(err)
	}
	if q.After = lines[1].Next; b.read(q) != nil {
		t.Errorf("after the last line there is %v", b.read(q))
	}
	if q.After = lines[0].Next; said(b.read(q)) == nil {
		t.Error("the removal of the last line is hidden")
	}
}

// TestTailWithASegmentThatHasJustGone has a name in the listing that can no longer
// be opened, as when a budget deletes a segment between the two.
func TestTailWithASegmentThatHasJustGone(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{OwnAfterBytes: 2000})
	q := Query{Attempt: 1, Place: b.written()}
	segments, err := route{dir: b.dir, attempt: 1}.own()
	if err != nil || len(segments) < 3 {
		t.Fatalf("segments %v, want at least three: %v", segments, err)
	}
	gone := ownPath(b.dir, 1, segments[1])
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	all := slices.DeleteFunc(b.read(q), derived)
	if err := os.Symlink(filepath.Join(b.dir, "gone"), gone); err != nil {
		t.Fatal(err)
	}
	for n := 1; n < len(all); n += 1 + n/3 {
		q.Tail = n
		if got := slices.DeleteFunc(b.read(q), derived); !slices.Equal(got, all[len(all)-n:]) {
			t.Errorf("the last %d lines are %d", n, len(got))
		}
	}
}

func TestAForeignPositionShowsNothingOfOthers(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{OwnAfterBytes: 2000})
	q := Query{Attempt: 1, Place: b.written()}
	all := b.read(q)
	for _, q.After = range []Cursor{
		{segment: 1},
		{segment: int64(q.Place.First), offset: q.Place.FirstOffset + 3},
		{segment: math.MaxInt64},
		{own: true, segment: all[len(all)-1].Next.segment, offset: 3},
		{own: true, segment: 1},
		{own: true, segment: math.MaxInt64},
	} {
		for _, l := range b.read(q) {
			if l.Text == "another's" {
				t.Errorf("at %s another attempt's line is shown", q.After)
			}
		}
	}
	// A position before the attempt's first line is that line's.
	for _, q.After = range []Cursor{{segment: 1}, {segment: int64(q.Place.First)}} {
		if got := b.read(q); !slices.Equal(got, all) {
			t.Errorf("at %s there are %d lines of %d", q.After, len(got), len(all))
		}
	}
}

func TestFailure38_CrashInMidRecord(t *testing.T) {
	t.Parallel()
	for name, ownAfter := range map[string]int64{"Shared": 1 << 30, "Own": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, Options{OwnAfterBytes: ownAfter})
			o := b.writer.Open(1, 0, noon)
			const printed = "one\ntwo and a half\n"
			o.Write(Stdout, []byte(printed), noon)
			b.flush()
			q := Query{Attempt: 1, Place: o.Place()} // nobody lived to say where it ended
			o.Close(noon)
			path := sharedPath(b.dir, 1, 1)
			if ownAfter == 1 {
				path = ownPath(b.dir, 1, 0)
			}
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			longest := 0
			for size := len(content); size >= 0; size-- {
				if err := os.Truncate(path, int64(size)); err != nil {
					t.Fatal(err)
				}
				q.Live = false
				lines := b.read(q)
				got := string(raw(lines, Stdout))
				if !strings.HasPrefix(printed, got) || said(lines) != nil {
					t.Errorf("cut at %d there is %q, said %q", size, got, said(lines))
				}
				// Not a byte of the text that is there is left out.
				if want := printedIn(content[:size]); got != want {
					t.Errorf("cut at %d there is %q, want %q", size, got, want)
				}
				for _, n := range []int{1, 2, 3} {
					q.Tail = n
					if tail := b.read(q); !slices.Equal(tail, lines[max(0, len(lines)-n):]) {
						t.Errorf("cut at %d the last %d of %v are %v", size, n, lines, tail)
					}
				}
				q.Tail, q.Live = 0, true
				whole := b.read(q)
				if n := bytes.Count(content[:size], []byte{'\n'}); len(whole) != n {
					t.Errorf("cut at %d, live, there are %d lines of %d", size, len(whole), n)
				}
				longest = max(longest, len(got))
			}
			if longest != len(printed) {
				t.Errorf("at most %d bytes of %d were read", longest, len(printed))
			}
		})
	}
}

// printedIn is the text in a log of one attempt that may be cut off.
func printedIn(log []byte) string {
	var text string
	for record := range strings.Lines(string(log)) {
		if _, after, found := strings.Cut(record, ":1 "); found {
			text += after
		}
	}
	return text
}

func TestDamageIsShown(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{OwnAfterBytes: 1})
	o := b.writer.Open(1, 0, noon)
	o.Write(Stdout, []byte("one\ntwo\nthree\n"), noon)
	place, _, _ := o.Close(noon)
	b.flush()
	path := ownPath(b.dir, 1, 0)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(content, []byte{'\n'})
	copy(lines[1], make([]byte, 10))
	zeros := make([]byte, 2*windowBytes+1000)
	if err := os.WriteFile(path, append(bytes.Join(lines, nil), zeros...), 0o600); err != nil {
		t.Fatal(err)
	}
	read := b.read(Query{Attempt: 1, Place: place})
	if got := string(raw(read, Stdout)); got != "one\nthree\n" {
		t.Errorf("there is %q", got)
	}
	want := []string{
		fmt.Sprintf("%d bytes of the log are damaged", len(lines[1])-1),
		fmt.Sprintf("%d bytes of the log are damaged", windowBytes),
		fmt.Sprintf("%d bytes of the log are damaged", windowBytes),
		fmt.Sprintf("%d bytes of the log are damaged", 1000),
	}
	if diff := cmp.Diff(want, said(read)); diff != "" {
		t.Error(diff)
	}
}

func TestReadingWhatIsNotThere(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "logs")
	b := &bench{T: t, dir: dir, reader: NewReader(dir)}
	for name, q := range map[string]Query{
		"NothingKnown":  {Attempt: 1},
		"NothingYet":    {Attempt: 1, Place: Place{Epoch: 1, First: 1}, Live: true},
		"Lost":          {Attempt: 1, Place: Place{Epoch: 1, First: 1}},
		"NoOutput":      {Attempt: 1, Place: Place{Epoch: 1, First: 1, Last: 1}},
		"LastOfNothing": {Attempt: 1, Place: Place{Epoch: 1, First: 1}, Tail: 10},
	} {
		if lines := b.read(q); len(lines) > 0 {
			t.Errorf("%s: lines %v", name, lines)
		}
	}
	for name, q := range map[string]Query{
		"Shared": {Attempt: 1, Place: Place{Epoch: 1, First: 1, FirstOffset: 100, Last: 2, LastOffset: 100}},
		"Own":    {Attempt: 1, Place: Place{Epoch: 1, First: 1, Last: 1, Own: true}},
		"Cursor": {Attempt: 1, After: Cursor{own: true, segment: math.MaxInt64, offset: math.MaxInt64}},
	} {
		for _, q.Tail = range []int{0, 10} {
			if got := said(b.read(q)); len(got) != 1 || got[0] != "dropped: removed by the total log budget" {
				t.Errorf("%s: said %q", name, got)
			}
		}
	}
}

func TestReadErrorsAreReturned(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	if err := os.MkdirAll(ownPath(b.dir, 1, 0), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, tail := range []int{0, 1} {
		lines := 0
		for _, err := range b.reader.Read(t.Context(), Query{Attempt: 1, Tail: tail}) {
			if lines++; err == nil || !strings.Contains(err.Error(), "attempt 1") {
				t.Errorf("error %v", err)
			}
		}
		if lines != 1 {
			t.Errorf("%d lines and errors", lines)
		}
	}
}
