package logs

import (
	"bytes"
	"strconv"
	"time"
)

// Stream says where a line comes from. Its numbers are written nowhere.
type Stream uint8

const (
	// Stdout is the attempt's standard output.
	Stdout Stream = 1
	// Stderr is the attempt's standard error.
	Stderr Stream = 2
	// Heroproc is heroproc's own voice inside a log: what was dropped, and why.
	Heroproc Stream = 3
)

// String is the stream's name in the log.
func (s Stream) String() string {
	switch s {
	case Stdout:
		return "stdout"
	case Stderr:
		return "stderr"
	case Heroproc:
		return "heroproc"
	}
	return "stream " + strconv.Itoa(int(s))
}

// parseStream is the reverse of [Stream.String]; 0 means no stream.
func parseStream(name []byte) Stream {
	switch string(name) {
	case "stdout":
		return Stdout
	case "stderr":
		return Stderr
	case "heroproc":
		return Heroproc
	}
	return 0
}

// Line is one line of output, or one part of a line that is longer than 16 KiB.
type Line struct {
	// At is when the line's last byte was read from the process.
	At     time.Time
	Stream Stream
	// Partial says that no newline follows Text: the line goes on in the next
	// Line of this stream, or the stream ended here.
	Partial bool
	// Text is what was printed, raw and without its newline. It belongs to the
	// reader and is valid until the next line is asked for.
	Text []byte
	// Next is where to go on after this line.
	Next Cursor
}

// AppendRaw appends to dst what the process printed: the text, and its newline if
// it had one.
func (l Line) AppendRaw(dst []byte) []byte {
	dst = append(dst, l.Text...)
	if !l.Partial {
		dst = append(dst, '\n')
	}
	return dst
}

// outputBytes is how many bytes of the attempt's output the line stands for.
// Heroproc's sentences are no output.
func (l Line) outputBytes() int64 {
	switch {
	case l.Stream == Heroproc:
		return 0
	case l.Partial:
		return int64(len(l.Text))
	}
	return int64(len(l.Text)) + 1
}

const (
	// maxText is the longest text of one record, in bytes: the 16 KiB at which
	// container runtimes split lines too.
	maxText = 16 << 10
	// maxHeader is more than what stands before a record's text: 35 bytes of time
	// at most, a stream's name, a tag of 22 bytes and three spaces.
	maxHeader = 80
	// stampLayout is RFC 3339 with all nine digits, so that columns line up.
	stampLayout = "2006-01-02T15:04:05.000000000Z07:00"
)

// header is what stands before a record's text. It is made once for each chunk of
// output, not once for each line.
type header struct {
	bytes []byte
	tag   int // where the F or P is
}

// appendHeader makes the header of stream's records of attempt; stamp is their
// time, formatted. The result uses dst's memory.
func appendHeader(dst, stamp []byte, stream Stream, attempt int64) header {
	dst = append(dst, stamp...)
	dst = append(dst, ' ')
	dst = append(dst, stream.String()...)
	dst = append(dst, ' ')
	tag := len(dst)
	dst = append(dst, 'F', ':')
	dst = strconv.AppendInt(dst, attempt, 10)
	return header{bytes: append(dst, ' '), tag: tag}
}

// setPartial chooses between the tags P and F.
func (h header) setPartial(partial bool) {
	if partial {
		h.bytes[h.tag] = 'P'
	} else {
		h.bytes[h.tag] = 'F'
	}
}

// stamper formats times for records. Output comes in chunks that share one time,
// and many chunks share one second, so it keeps what it formatted last.
type stamper struct {
	at    time.Time
	text  []byte
	valid bool
}

// stamp is t in UTC; the result is valid until the next call.
func (s *stamper) stamp(t time.Time) []byte {
	// Within a year of four digits the fraction is the nine digits before the Z.
	const width = len("2006-01-02T15:04:05.000000000Z")
	switch {
	case s.valid && t.Equal(s.at):
	case s.valid && t.Unix() == s.at.Unix() && len(s.text) == width:
		nanos := t.Nanosecond()
		for i := width - 2; i > width-2-9; i-- {
			s.text[i] = byte('0' + nanos%10)
			nanos /= 10
		}
	default:
		s.text = t.UTC().AppendFormat(s.text[:0], stampLayout)
	}
	s.at, s.valid = t, true
	return s.text
}

// parseRecord takes a record, without its newline, apart. Text is a part of
// record. It is false for anything that [Writer] does not write.
func parseRecord(record []byte) (line Line, attempt int64, ok bool) {
	stamp, rest, found := bytes.Cut(record[:min(len(record), maxHeader+maxText)], []byte{' '})
	if !found {
		return Line{}, 0, false
	}
	stream, attempt, partial, text, ok := parseTag(rest)
	if !ok || len(record) > maxHeader+maxText || len(text) > maxText {
		return Line{}, 0, false
	}
	at, err := time.Parse(time.RFC3339Nano, string(stamp))
	if err != nil {
		return Line{}, 0, false
	}
	return Line{At: at, Stream: stream, Partial: partial, Text: text}, attempt, true
}

// parseTag takes the part of a record behind its time apart: the stream's name,
// the tag and the text.
func parseTag(rest []byte) (stream Stream, attempt int64, partial bool, text []byte, ok bool) {
	name, rest, _ := bytes.Cut(rest, []byte{' '})
	stream = parseStream(name)
	tag, text, found := bytes.Cut(rest, []byte{' '})
	if stream == 0 || !found || len(tag) < 3 || tag[1] != ':' || (tag[0] != 'F' && tag[0] != 'P') {
		return 0, 0, false, nil, false
	}
	attempt, ok = parseID(tag[2:])
	return stream, attempt, tag[0] == 'P', text, ok
}

// parseID reads an attempt's id as [appendHeader] writes it. Searching shared
// segments reads one from every line, so it allocates nothing.
func parseID(digits []byte) (int64, bool) {
	if len(digits) > 19 || (len(digits) > 1 && digits[0] == '0') {
		return 0, false
	}
	var id int64
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		id = id*10 + int64(c-'0')
	}
	return id, id >= 0
}
