package logs

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
)

// records reads the records of one segment forwards, with a bounded window of it
// in memory.
type records struct {
	file   *os.File
	offset int64 // of window in the file
	limit  int64 // where reading ends
	window []byte
	memory []byte
}

// windowBytes is what a reader holds in memory, several of the longest records.
const windowBytes = 64 << 10

// open begins to read a segment at offset.
func (r *records) open(path string, offset, limit int64) error {
	r.close()
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	r.file, r.offset, r.limit = f, offset, limit
	return nil
}

func (r *records) close() {
	if r.file != nil {
		_ = r.file.Close() // nothing was written
	}
	r.file, r.window = nil, nil
}

// next is the next record without its newline, valid until the following call. It
// is false at the present end of the segment; asked again it looks again.
func (r *records) next() (record []byte, ok bool, err error) {
	for {
		if i := bytes.IndexByte(r.window, '\n'); i >= 0 {
			record = r.window[:i]
			r.advance(i + 1)
			return record, true, nil
		}
		if len(r.window) == windowBytes {
			// No record is that long. What it is comes out in pieces.
			record = r.window
			r.advance(len(record))
			return record, true, nil
		}
		n, err := r.fill()
		if err != nil {
			return nil, false, err
		}
		if n == 0 {
			return nil, false, nil
		}
	}
}

// fill reads more of the file behind the window and reports how much there was.
func (r *records) fill() (int, error) {
	if r.memory == nil {
		r.memory = make([]byte, windowBytes)
	}
	copy(r.memory, r.window)
	kept := len(r.window)
	end := min(int64(windowBytes), r.limit-r.offset)
	if end <= int64(kept) {
		return 0, nil
	}
	n, err := r.file.ReadAt(r.memory[kept:end], r.offset+int64(kept))
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	r.window = r.memory[:kept+n]
	return n, nil
}

// torn is what follows the last newline at the present end.
func (r *records) torn() []byte { return r.window }

// forget makes next read the torn end again: it may be longer by then, or its
// writer has cut it off and begun anew.
func (r *records) forget() { r.window = r.window[:0] }

// advance moves over n bytes of the window.
func (r *records) advance(n int) {
	r.window = r.window[n:]
	r.offset += int64(n)
}

// outputIn is how many bytes of its attempt's output an own segment has.
func outputIn(f *os.File) (int64, error) {
	r := records{file: f, limit: math.MaxInt64}
	var output int64
	for {
		record, ok, err := r.next()
		if err != nil {
			return 0, err
		}
		if !ok {
			line, _, _ := parseRecord(r.torn())
			line.Partial = true
			return output + line.outputBytes(), nil
		}
		line, _, _ := parseRecord(record)
		output += line.outputBytes()
	}
}

// tailOf finds where the last n records of an own segment begin, reading
// backwards. It returns how many there are from offset on, n at most. With live,
// an unfinished record at the end does not count.
func tailOf(path string, n int, live bool) (offset int64, count int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	block := make([]byte, windowBytes)
	for end := info.Size(); end > 0; {
		begin := max(0, end-windowBytes)
		part := block[:end-begin]
		if _, err := f.ReadAt(part, begin); err != nil {
			return 0, 0, err
		}
		if end == info.Size() && !live {
			torn := part[bytes.LastIndexByte(part, '\n')+1:]
			if line, _, ok := parseRecord(torn); ok && len(line.Text) > 0 || len(torn) >= maxHeader {
				count++
			}
		}
		for i := len(part); ; {
			i = bytes.LastIndexByte(part[:i], '\n')
			if i < 0 {
				break
			}
			// This newline ends the record before it, and the one counted last
			// begins behind it.
			if count == n {
				return begin + int64(i) + 1, n, nil
			}
			count++
		}
		end = begin
	}
	return 0, count, nil
}
