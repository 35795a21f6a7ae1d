package logs

import (
	"bytes"
	"io"
	"os"
)

// file is what a segment needs of *os.File.
type file interface {
	io.WriteCloser
	Truncate(size int64) error
}

// createFile makes a new segment. One that exists is never written to again.
func createFile(path string) (file, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
}

// buffer has whole records on their way to one file. When the file takes only a
// part of them the rest waits for the next flush, and the file ends inside a
// record until then.
type buffer struct {
	records []byte
	// sent is how many bytes of the first record are in the file already.
	sent int
}

// bufferBytes is how much output a writer collects before it writes. From this
// size on, larger buffers were measured to be no faster.
const bufferBytes = 256 << 10

// room says whether n more bytes may be kept.
func (b *buffer) room(n int) bool {
	return len(b.records)+n <= bufferBytes
}

// pending is how many bytes are not in the file yet.
func (b *buffer) pending() int64 {
	return int64(len(b.records) - b.sent)
}

// flush writes to f what is pending and reports how many bytes f took. Whatever f
// did not take stays.
func (b *buffer) flush(f io.Writer) (int, error) {
	n, err := f.Write(b.records[b.sent:])
	b.sent += n
	whole := bytes.LastIndexByte(b.records[:b.sent], '\n') + 1
	b.records = append(b.records[:0], b.records[whole:]...)
	b.sent -= whole
	return n, err
}

// discard empties the buffer and reports how many bytes of output are lost with
// it.
func (b *buffer) discard() (outputBytes int64) {
	for record := range bytes.Lines(b.records) {
		line, _, _ := parseRecord(bytes.TrimSuffix(record, []byte{'\n'}))
		outputBytes += line.outputBytes()
	}
	b.records, b.sent = b.records[:0], 0
	return outputBytes
}
