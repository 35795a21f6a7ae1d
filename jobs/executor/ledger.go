package executor

import (
	"errors"
	"syscall"
	"time"

	"github.com/heroproc/heroproc/jobs/executor/journal"
)

// ledger is what a loop remembers beyond its own life: it takes events, writes
// them to the loop's journal, several at a time, and hands those that the
// daemon is to hear of to send, never before they are written.
//
// What cannot be written (the disk is full) stays here, in order, until it can:
// an exit is never lost while the process lives.
type ledger struct {
	journal *journal.Writer
	bootID  string
	send    func(number uint64, payload []byte)

	// The records that are not yet written. Payloads are parts of arena, or of
	// what arena was before it grew.
	payloads [][]byte
	public   []bool
	arena    []byte

	// ended are the tokens of attempts whose exit the daemon has not yet
	// acknowledged, so that an order that is repeated is still known.
	ended      map[string]bool
	endedOrder []endedToken
	// dropped is the number up to which the journal may have deleted records.
	dropped uint64
}

// endedToken is a token and the number of the event that says so.
type endedToken struct {
	number uint64
	token  string
}

// recordOpened is the kind of a record that is no event: it says in which boot
// of the machine the records behind it were written. Event kinds begin at 1.
const recordOpened = 0

// keepArena is the largest buffer kept between two flushes, in bytes.
const keepArena = 64 << 10

// ackEvery is how many acknowledged records the journal keeps at least, before
// the living attempts among them are written once more and the rest may be
// deleted: often enough to keep the journal small, seldom enough that a
// thousand living ones cost little.
const ackEvery = 8192

func newLedger(w *journal.Writer, bootID string, send func(uint64, []byte)) *ledger {
	l := &ledger{journal: w, bootID: bootID, send: send, ended: make(map[string]bool)}
	l.opened()
	return l
}

// opened notes which boot the records that follow are of.
func (l *ledger) opened() {
	l.add(appendString([]byte{recordOpened}, l.bootID), false)
}

// next answers the number that the next record will have.
func (l *ledger) next() uint64 {
	return l.journal.Last() + uint64(len(l.payloads)) + 1
}

// intent notes that an order was accepted.
func (l *ledger) intent(o *Order, now time.Time) {
	begin := len(l.arena)
	l.arena = appendIntent(l.arena, now, o)
	l.add(l.arena[begin:len(l.arena):len(l.arena)], false)
}

// event notes an event. One that is not public is for a later executor alone.
func (l *ledger) event(e *Event, public bool) {
	begin := len(l.arena)
	l.arena = appendEvent(l.arena, e)
	l.add(l.arena[begin:len(l.arena):len(l.arena)], public)
}

// exited notes the end of an attempt.
func (l *ledger) exited(e *Event) {
	l.ended[e.Token] = true
	l.endedOrder = append(l.endedOrder, endedToken{number: l.next(), token: e.Token})
	l.event(e, true)
}

func (l *ledger) add(payload []byte, public bool) {
	l.payloads = append(l.payloads, payload)
	l.public = append(l.public, public)
}

// flush writes what is not yet written. After an error it is all still here.
func (l *ledger) flush() error {
	if len(l.payloads) == 0 {
		return nil
	}
	first, err := l.journal.AppendMany(l.payloads...)
	if err != nil {
		return err
	}
	for i, payload := range l.payloads {
		if l.public[i] {
			l.send(first+uint64(i), payload)
		}
	}
	clear(l.payloads)
	l.payloads, l.public, l.arena = l.payloads[:0], l.public[:0], l.arena[:0]
	if cap(l.arena) > keepArena {
		l.arena = nil
	}
	return nil
}

// waiting tells whether records are not yet written.
func (l *ledger) waiting() bool { return len(l.payloads) > 0 }

// acknowledged forgets the ended tokens up to number, and tells whether it is
// time to write down what lives, and then to call drop.
func (l *ledger) acknowledged(number uint64) bool {
	number = min(number, l.journal.Last())
	for len(l.endedOrder) > 0 && l.endedOrder[0].number <= number {
		delete(l.ended, l.endedOrder[0].token)
		l.endedOrder = l.endedOrder[1:]
	}
	return number >= l.dropped+ackEvery
}

// drop lets the journal delete what is acknowledged up to number. The caller
// has seen to it that no living attempt is known by those records alone.
func (l *ledger) drop(number uint64) {
	l.dropped = min(number, l.journal.Last())
	l.journal.Ack(l.dropped)
}

// isPublic tells whether a record that was read back is one the daemon hears
// of.
func isPublic(payload []byte) bool {
	return len(payload) > 0 && payload[0] != recordOpened && EventKind(payload[0]) != EventIntent
}

// errnoOf answers the system's error number inside err, or EIO: something went
// wrong with input or output.
func errnoOf(err error) syscall.Errno {
	var errno syscall.Errno
	if errors.As(err, &errno) && errno != 0 {
		return errno
	}
	return syscall.EIO
}
