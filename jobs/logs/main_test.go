package logs

import (
	"bytes"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain lets the test binary be the process that writes while a test reads.
func TestMain(m *testing.M) {
	if dir := os.Getenv(writerProcessDir); dir != "" {
		os.Exit(writerProcess(dir))
	}
	goleak.VerifyTestMain(m)
}

// noon is the time of records whose time does not matter.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 123456789, time.UTC)

// bench is a log directory with its writer and reader.
type bench struct {
	*testing.T
	dir    string
	writer *Writer
	reader *Reader
}

func setup(t *testing.T, o Options) *bench {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	w, err := NewWriter(o, 1)
	if err != nil {
		t.Fatal(err)
	}
	r := NewReader(o.Dir)
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		_ = w.Close() // tests of failing disks leave it failing
	})
	return &bench{T: t, dir: o.Dir, writer: w, reader: r}
}

func (b *bench) flush() {
	b.Helper()
	if err := b.writer.Flush(); err != nil {
		b.Fatal(err)
	}
}

// kept is a line that outlives the reader's next.
type kept struct {
	Stream  Stream
	Partial bool
	Text    string
	Next    Cursor
}

func keep(l Line) kept {
	return kept{Stream: l.Stream, Partial: l.Partial, Text: string(l.Text), Next: l.Next}
}

// read returns all lines of a query.
func (b *bench) read(q Query) []kept {
	b.Helper()
	var lines []kept
	for line, err := range b.reader.Read(b.Context(), q) {
		if err != nil {
			b.Fatal(err)
		}
		lines = append(lines, keep(line))
	}
	return lines
}

// raw puts the output of one stream together again.
func raw(lines []kept, stream Stream) []byte {
	var out []byte
	for _, l := range lines {
		if l.Stream == stream {
			out = Line{Text: []byte(l.Text), Partial: l.Partial}.AppendRaw(out)
		}
	}
	return out
}

// said are heroproc's own sentences.
func said(lines []kept) []string {
	var texts []string
	for _, l := range lines {
		if l.Stream == Heroproc {
			texts = append(texts, l.Text)
		}
	}
	return texts
}

// numbered is n lines of the same length, so that any gap shows.
func numbered(from, n, length int) []byte {
	var out []byte
	for i := range n {
		line := bytes.Repeat([]byte{'.'}, length-1)
		copy(line, []byte(time.Duration(from+i).String()))
		out = append(append(out, line...), '\n')
	}
	return out
}
