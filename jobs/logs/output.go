package logs

import (
	"bytes"
	"errors"
	"fmt"
	"syscall"
	"time"
)

// Output is where one attempt's output goes. It splits what it is given into
// lines; an unfinished line waits in memory for its rest, at most 16 KiB for each
// stream.
type Output struct {
	w       *Writer
	attempt int64
	opened  time.Time
	tails   [2][]byte // unfinished lines of stdout and stderr

	first  uint64 // the shared segment that was current at the opening
	place  Place  // where the records are
	shared int64  // bytes logged in shared segments, headers included
	own    ownSegments

	logged  int64 // output bytes logged, including what a budget removed since
	dropped int64 // output bytes that are not in the log any more, or never were
	// unsaid is the part of dropped that the log does not tell yet, and cause why
	// it could not be written.
	unsaid int64
	cause  error
	// refused says that a record of the current chunk found no room: the disk is
	// not asked again for each of the chunk's other lines.
	refused bool
}

// Open begins the output of an attempt. It makes no system call: most attempts
// write little, many nothing. budget limits the bytes kept on disk, time stamps
// included; 0 means that only the total budget limits them, and less than
// [MinAttemptBudget] counts as that.
func (w *Writer) Open(attempt, budget int64, now time.Time) *Output {
	return &Output{
		w: w, attempt: attempt, opened: now, first: w.number,
		place: Place{Epoch: w.epoch, First: w.number, FirstOffset: w.end()},
		own:   ownSegments{budget: budget},
	}
}

// Place is where the output lies, as far as that is known while the attempt runs.
func (o *Output) Place() Place {
	place := o.place
	place.Last, place.LastOffset = 0, 0
	return place
}

// Write logs a chunk of what the process printed on stdout or stderr. It never
// fails: see [Writer.Flush].
func (o *Output) Write(stream Stream, p []byte, now time.Time) {
	o.refused = false
	o.confess(now)
	if now.Sub(o.opened) >= o.w.o.OwnAfter {
		o.beginOwn()
	}
	head := o.header(stream, now)
	tail := &o.tails[stream-Stdout]
	for len(p) > 0 {
		room := maxText - len(*tail)
		// A newline right behind a text of full length still belongs to it.
		i := bytes.IndexByte(p[:min(len(p), room+1)], '\n')
		switch {
		case i >= 0:
			o.log(head, false, *tail, p[:i])
			p = p[i+1:]
		case len(p) > room:
			o.log(head, true, *tail, p[:room])
			p = p[room:]
		default:
			*tail = append(*tail, p...)
			return
		}
		*tail = (*tail)[:0]
	}
	// What a long line needed is not kept for the short ones that follow.
	if len(*tail) == 0 && cap(*tail) > maxIdleTail {
		*tail = nil
	}
}

// maxIdleTail is how much memory an output keeps for the next unfinished line, in
// bytes: a thousand quiet services should not hold 16 KiB for each stream.
const maxIdleTail = 1 << 10

// Close ends the output: unfinished lines are logged as they are. It returns where
// the output lies, how many bytes of it are kept and how many were dropped. The
// shared part is on disk after the next Flush.
func (o *Output) Close(now time.Time) (place Place, kept, dropped int64) {
	o.refused = false
	o.confess(now)
	for i, tail := range o.tails {
		if len(tail) > 0 {
			o.log(o.header(Stdout+Stream(i), now), true, tail, nil)
		}
		o.tails[i] = nil
	}
	o.confess(now)
	o.closeOwn()
	if o.shared == 0 {
		// Its shared part is empty, and known to be.
		o.place.Last, o.place.LastOffset = o.place.First, o.place.FirstOffset
	}
	return o.place, o.logged - o.own.removed, o.dropped
}

// header makes the header of stream's records. It is valid until the next one is
// made.
func (o *Output) header(stream Stream, now time.Time) header {
	head := appendHeader(o.w.head[:0], o.w.stamp.stamp(now), stream, o.attempt)
	o.w.head = head.bytes
	return head
}

// log logs one record of output with the text tail and text, or drops it.
func (o *Output) log(head header, partial bool, tail, text []byte) {
	head.setPartial(partial)
	size := Line{Partial: partial, Text: text}.outputBytes() + int64(len(tail))
	if o.append(head.bytes, tail, text) {
		o.logged += size
	} else {
		o.drop(size)
	}
}

// drop counts output that the log does not get, because of what failed last.
func (o *Output) drop(outputBytes int64) {
	o.dropped += outputBytes
	o.unsaid += outputBytes
	o.cause = o.w.err
	// The log tells the user what was wrong with the disk, not with which file.
	if errno := syscall.Errno(0); errors.As(o.cause, &errno) {
		o.cause = errno
	}
}

// confess tells in the log what is missing from it, if there is anything to tell
// and room for it.
func (o *Output) confess(now time.Time) {
	if o.unsaid == 0 {
		return
	}
	text := fmt.Appendf(nil, "dropped %d bytes: the log could not be written: %v", o.unsaid, o.cause)
	if o.append(o.header(Heroproc, now).bytes, nil, text) {
		o.unsaid = 0
	}
}

// append puts a record into the buffer of the segment it belongs to. It is false
// when there is no room for it.
func (o *Output) append(head, tail, text []byte) bool {
	if o.refused {
		return false
	}
	b := o.reserve(len(head) + len(tail) + len(text) + 1)
	if b == nil {
		o.refused = true
		return false
	}
	b.records = append(b.records, head...)
	b.records = append(b.records, tail...)
	b.records = append(b.records, text...)
	b.records = append(b.records, '\n')
	return true
}

// reserve makes room for a record of n bytes where the next one belongs, and keeps
// count of where that is. It is nil when there is none.
func (o *Output) reserve(n int) *buffer {
	w := o.w
	if !o.own.begun {
		room := w.reserveShared(n)
		if o.shared+int64(n) <= w.o.OwnAfterBytes && w.number < o.first+sharedSpan {
			if !room {
				return nil
			}
			if o.shared == 0 {
				o.place.First, o.place.FirstOffset = w.number, w.end()
			}
			o.shared += int64(n)
			o.place.Last, o.place.LastOffset = w.number, w.end()+int64(n)
			return &w.buffer
		}
		if !o.beginOwn() {
			return nil
		}
	}
	if !o.reserveOwn(n) {
		return nil
	}
	return &w.own
}
