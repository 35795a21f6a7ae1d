package logs

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// hundred is a chunk of 100-byte lines as a pipe gives it.
var hundred = bytes.Repeat(append(bytes.Repeat([]byte{'x'}, 99), '\n'), 64<<10/100)

func benchmarkWriter(b *testing.B) *Writer {
	b.Helper()
	w, err := NewWriter(Options{Dir: b.TempDir()}, 1)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := w.Close(); err != nil {
			b.Error(err)
		}
	})
	return w
}

// BenchmarkWrite is the throughput of 100-byte lines: one attempt that floods, and
// a hundred that take turns.
func BenchmarkWrite(b *testing.B) {
	for _, attempts := range []int{1, 100} {
		b.Run(fmt.Sprintf("Attempts%d", attempts), func(b *testing.B) {
			w := benchmarkWriter(b)
			outputs := make([]*Output, attempts)
			for i := range outputs {
				outputs[i] = w.Open(int64(i+1), DefaultAttemptBudget, time.Now())
			}
			b.SetBytes(int64(len(hundred)))
			for i := 0; b.Loop(); i++ {
				outputs[i%attempts].Write(Stdout, hundred, time.Now())
			}
			for _, o := range outputs {
				o.Close(time.Now())
			}
		})
	}
}

// BenchmarkWriteNothingElse is the same bytes written to a file as they are: the
// limit to hold the throughput of lines with time stamps against.
func BenchmarkWriteNothingElse(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "raw"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	b.SetBytes(int64(len(hundred)))
	for i := 0; b.Loop(); i++ {
		if _, err := f.WriteAt(hundred, int64(i%(DefaultAttemptBudget/len(hundred))*len(hundred))); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReadAmongOthers is looking for one line in shared segments full of
// others, in bytes searched, as a reader must while the attempt has not ended.
func BenchmarkReadAmongOthers(b *testing.B) {
	w := benchmarkWriter(b)
	first := w.Open(1, 0, noon)
	first.Write(Stdout, []byte("hi\n"), noon)
	for id := int64(2); w.number == 1; id++ {
		o := w.Open(id, 0, noon)
		o.Write(Stdout, hundred[:1000], noon)
		o.Close(noon)
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	r := NewReader(w.o.Dir)
	b.SetBytes(DefaultSegmentBytes)
	for b.Loop() {
		lines := 0
		for range r.Read(b.Context(), Query{Attempt: 1, Place: first.Place(), Live: true}) {
			lines++
		}
		if lines != 1 {
			b.Fatalf("%d lines", lines)
		}
	}
}

// BenchmarkShortJob is what the output of a job that prints one line costs.
func BenchmarkShortJob(b *testing.B) {
	w := benchmarkWriter(b)
	b.ReportAllocs()
	for id := int64(1); b.Loop(); id++ {
		o := w.Open(id, DefaultAttemptBudget, noon)
		o.Write(Stdout, []byte("hi\n"), noon)
		o.Close(noon)
		if err := w.Flush(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRead is the throughput of reading a whole log, in bytes of output.
func BenchmarkRead(b *testing.B) {
	w := benchmarkWriter(b)
	o := w.Open(1, 0, noon)
	for range 500 {
		o.Write(Stdout, hundred, noon)
	}
	place, size, _ := o.Close(noon)
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	r := NewReader(w.o.Dir)
	b.SetBytes(size)
	for b.Loop() {
		for _, err := range r.Read(b.Context(), Query{Attempt: 1, Place: place}) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkTail is reading the last ten lines of a log of 32 MB.
func BenchmarkTail(b *testing.B) {
	w := benchmarkWriter(b)
	o := w.Open(1, 0, noon)
	for range 500 {
		o.Write(Stdout, hundred, noon)
	}
	place, _, _ := o.Close(noon)
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	r := NewReader(w.o.Dir)
	for b.Loop() {
		lines := 0
		for range r.Read(b.Context(), Query{Attempt: 1, Place: place, Tail: 10}) {
			lines++
		}
		if lines != 10 {
			b.Fatalf("%d lines", lines)
		}
	}
}
