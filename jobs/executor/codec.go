package executor

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"syscall"
	"time"

	"github.com/heroproc/heroproc/jobs/logs"
)

// protocolVersion names the meaning of every frame below. An executor outlives
// the daemon that started it, so a daemon of another version may come to talk
// to it: each change of a message's bytes is a new version.
const protocolVersion uint32 = 1

// hello is the daemon's first frame on a connection. The protocol version comes
// first in every version for ever.
type hello struct {
	protocol uint32
	// loop is which of the executor's loops the connection is for.
	loop uint32
	// positions are the last applied numbers, by epoch.
	positions map[uint64]uint64
}

// welcome is the executor's answer to a hello. Its head, up to failure, is the
// same in every version for ever, so that a daemon of another version can say
// whom it met.
type welcome struct {
	protocol  uint32
	pid       int
	startedAt time.Time
	version   string
	// failure says why the connection ends here; empty when it goes on.
	failure string

	loops  uint32
	epoch  uint64
	bootID string
	// whole says that the journals of all former executors are.
	whole bool
}

// ack says that the daemon has applied and committed every event of an epoch up
// to number.
type ack struct {
	epoch, number uint64
}

// loopOf answers which loop an attempt belongs to, on both sides of the socket.
func loopOf(attempt int64, loops int) int {
	return int(uint64(attempt) % uint64(loops))
}

func appendHello(b []byte, h hello) []byte {
	b = appendUint32(b, h.protocol)
	b = appendUint32(b, h.loop)
	b = appendUint32(b, uint32(len(h.positions)))
	for _, epoch := range slices.Sorted(maps.Keys(h.positions)) {
		b = appendUint64(b, epoch)
		b = appendUint64(b, h.positions[epoch])
	}
	return b
}

// decodeHello reads a hello; of one in another protocol version only the
// version.
func decodeHello(payload []byte) (hello, error) {
	d := decoder{rest: payload}
	h := hello{protocol: d.uint32()}
	if d.err == nil && h.protocol != protocolVersion {
		return h, nil
	}
	h.loop = d.uint32()
	if n := d.count(16); n > 0 {
		h.positions = make(map[uint64]uint64, n)
		var last uint64
		for i := range n {
			epoch := d.uint64()
			if i > 0 && epoch <= last {
				d.fail(errors.New("its positions are out of order"))
				break
			}
			h.positions[epoch], last = d.uint64(), epoch
		}
	}
	return h, decodeError("hello", &d)
}

func appendWelcome(b []byte, w welcome) []byte {
	b = appendUint32(b, w.protocol)
	b = appendUint32(b, uint32(w.pid))
	b = appendTime(b, w.startedAt)
	b = appendString(b, w.version)
	b = appendString(b, w.failure)
	b = appendUint32(b, w.loops)
	b = appendUint64(b, w.epoch)
	b = appendString(b, w.bootID)
	return appendBool(b, w.whole)
}

// decodeWelcome reads a welcome; of one in another protocol version only the
// head.
func decodeWelcome(payload []byte) (welcome, error) {
	d := decoder{rest: payload}
	w := welcome{
		protocol:  d.uint32(),
		pid:       d.int32(),
		startedAt: d.time(),
		version:   d.string(),
		failure:   d.string(),
	}
	if d.err == nil && w.protocol != protocolVersion {
		return w, nil
	}
	w.loops = d.uint32()
	w.epoch = d.uint64()
	w.bootID = d.string()
	w.whole = d.bool()
	return w, decodeError("welcome", &d)
}

func appendAck(b []byte, a ack) []byte {
	return appendUint64(appendUint64(b, a.epoch), a.number)
}

func decodeAck(payload []byte) (ack, error) {
	d := decoder{rest: payload}
	a := ack{epoch: d.uint64(), number: d.uint64()}
	return a, decodeError("ack", &d)
}

func appendOrder(b []byte, o *Order) []byte {
	b = appendInt64(b, o.Attempt)
	b = appendString(b, o.Token)
	b = appendStrings(b, o.Command)
	b = appendStrings(b, o.Env)
	b = appendString(b, o.Dir)
	return appendLimits(b, o)
}

func decodeOrder(payload []byte) (Order, error) {
	d := decoder{rest: payload}
	o := Order{
		Attempt: d.int64(),
		Token:   d.string(),
		Command: d.strings(),
		Env:     d.strings(),
		Dir:     d.string(),
	}
	d.limits(&o)
	return o, decodeError("order", &d)
}

// appendLimits writes the part of an order that still matters once its process
// runs.
func appendLimits(b []byte, o *Order) []byte {
	b = appendInt64(b, o.Timeout)
	b = appendStopSequence(b, o.Stop)
	b = appendInt64(b, o.Drain)
	b = appendInt64(b, o.LogBudget)
	return appendString(b, o.OutputFile)
}

func (d *decoder) limits(o *Order) {
	o.Timeout = d.duration()
	o.Stop = d.stopSequence()
	o.Drain = d.duration()
	o.LogBudget = d.int64()
	o.OutputFile = d.string()
}

func appendStopSequence(b []byte, s StopSequence) []byte {
	return appendInt64(appendUint32(b, uint32(s.Signal)), s.Grace)
}

func (d *decoder) stopSequence() StopSequence {
	return StopSequence{Signal: syscall.Signal(d.int32()), Grace: d.duration()}
}

func appendStop(b []byte, s Stop) []byte {
	b = appendInt64(b, s.Attempt)
	b = appendString(b, s.Token)
	b = appendString(b, s.Reason)
	return appendStopSequence(b, s.Stop)
}

func decodeStop(payload []byte) (Stop, error) {
	d := decoder{rest: payload}
	s := Stop{Attempt: d.int64(), Token: d.string(), Reason: d.string(), Stop: d.stopSequence()}
	return s, decodeError("stop", &d)
}

func appendLive(b []byte, l Live) []byte {
	b = appendInt64(b, l.Attempt)
	b = appendString(b, l.Token)
	b = appendBool(b, l.Started != nil)
	if l.Started != nil {
		b = appendStarted(b, l.Started)
	}
	return b
}

func decodeLive(payload []byte) (Live, error) {
	d := decoder{rest: payload}
	l := Live{Attempt: d.int64(), Token: d.string()}
	if d.bool() {
		l.Started = d.started()
	}
	return l, decodeError("live attempt", &d)
}

// The parts an event may have, as bits of one byte.
const (
	partStarted   = 1 << 0
	partExit      = 1 << 1
	partSurvivors = 1 << 2
	partLimits    = 1 << 3
)

// appendEvent writes an event as the journal keeps it: without epoch and
// number, which are the journal's to give.
func appendEvent(b []byte, e *Event) []byte {
	var parts uint8
	if e.Started != nil {
		parts |= partStarted
	}
	if e.Exit != nil {
		parts |= partExit
	}
	if len(e.Survivors) > 0 {
		parts |= partSurvivors
	}
	b = appendEventHead(b, e, parts)
	if e.Started != nil {
		b = appendStarted(b, e.Started)
	}
	if e.Exit != nil {
		b = appendExit(b, e.Exit)
	}
	if len(e.Survivors) > 0 {
		b = appendSurvivors(b, e.Survivors)
	}
	return b
}

// appendIntent writes the EventIntent of an order. It carries what an executor
// that adopts the process must go on to enforce. Command and environment stay
// away: an order is never carried out from the journal, and the environment may
// hold secrets.
func appendIntent(b []byte, at time.Time, o *Order) []byte {
	b = appendEventHead(b, &Event{Kind: EventIntent, Attempt: o.Attempt, Token: o.Token, At: at}, partLimits)
	return appendLimits(b, o)
}

func appendEventHead(b []byte, e *Event, parts uint8) []byte {
	b = append(b, byte(e.Kind), parts)
	b = appendInt64(b, e.Attempt)
	b = appendString(b, e.Token)
	return appendTime(b, e.At)
}

// decodeEvent reads an event as the journal keeps it; epoch and number are
// where the journal had it.
func decodeEvent(epoch, number uint64, payload []byte) (Event, error) {
	e, _, err := decodeJournalled(epoch, number, payload)
	return e, err
}

// decodeIntent reads the order of an EventIntent, as far as the journal has it:
// attempt, token, timeout, stop sequence, drain, log budget and output file.
func decodeIntent(payload []byte) (Order, error) {
	e, o, err := decodeJournalled(0, 0, payload)
	if err == nil && e.Kind != EventIntent {
		err = fmt.Errorf("cannot read intent: it is an event of kind %d", e.Kind)
	}
	return o, err
}

func decodeJournalled(epoch, number uint64, payload []byte) (Event, Order, error) {
	d := decoder{rest: payload}
	kind, parts := EventKind(d.uint8()), d.uint8()
	e := Event{Epoch: epoch, Number: number, Kind: kind, Attempt: d.int64(), Token: d.string(), At: d.time()}
	if d.err == nil && !partsFit(kind, parts) {
		d.fail(fmt.Errorf("kind %d has the parts %04b", kind, parts))
	}
	o := Order{Attempt: e.Attempt, Token: e.Token}
	if parts&partStarted != 0 {
		e.Started = d.started()
	}
	if parts&partExit != 0 {
		e.Exit = d.exit()
	}
	if parts&partSurvivors != 0 {
		e.Survivors = d.survivors()
		if len(e.Survivors) == 0 {
			d.fail(errors.New("its list of survivors is empty"))
		}
	}
	if parts&partLimits != 0 {
		d.limits(&o)
	}
	return e, o, decodeError("event", &d)
}

// partsFit holds an event against what its kind has: whoever reads an event may
// rely on the pointers its kind promises.
func partsFit(kind EventKind, parts uint8) bool {
	switch kind {
	case EventIntent:
		return parts == partLimits
	case EventStarted:
		return parts == partStarted
	case EventExited:
		return parts&^partStarted == partExit
	case EventStuck:
		return parts&^partSurvivors == 0
	}
	return false
}

// appendEventFrame appends an event to what goes to the daemon, straight from
// its journal payload.
func appendEventFrame(b []byte, epoch, number uint64, journalled []byte) []byte {
	name := ack{epoch: epoch, number: number}
	return appendFrame(b, frameEvent, func(b []byte, payload []byte) []byte {
		return append(appendAck(b, name), payload...)
	}, journalled)
}

// decodeEventFrame reads the payload of a frameEvent.
func decodeEventFrame(payload []byte) (Event, error) {
	d := decoder{rest: payload}
	epoch, number := d.uint64(), d.uint64()
	if d.err != nil {
		return Event{}, decodeError("event", &d)
	}
	return decodeEvent(epoch, number, d.rest)
}

func appendPlace(b []byte, p logs.Place) []byte {
	b = appendUint64(b, p.Epoch)
	b = appendUint64(b, p.First)
	b = appendInt64(b, p.FirstOffset)
	b = appendUint64(b, p.Last)
	b = appendInt64(b, p.LastOffset)
	return appendBool(b, p.Own)
}

func (d *decoder) place() logs.Place {
	return logs.Place{
		Epoch:       d.uint64(),
		First:       d.uint64(),
		FirstOffset: d.int64(),
		Last:        d.uint64(),
		LastOffset:  d.int64(),
		Own:         d.bool(),
	}
}

func appendStarted(b []byte, s *Started) []byte {
	b = appendTime(b, s.At)
	b = appendUint32(b, uint32(s.PID))
	b = appendUint64(b, s.StartTicks)
	b = appendString(b, s.BootID)
	b = appendString(b, s.Cgroup)
	return appendPlace(b, s.Log)
}

func (d *decoder) started() *Started {
	return &Started{
		At:         d.time(),
		PID:        d.int32(),
		StartTicks: d.uint64(),
		BootID:     d.string(),
		Cgroup:     d.string(),
		Log:        d.place(),
	}
}

func appendExit(b []byte, x *Exit) []byte {
	b = append(b, byte(x.Cause))
	b = appendString(b, x.StopReason)
	b = appendUint32(b, uint32(x.Code))
	b = appendUint32(b, uint32(x.Signal))
	b = appendBool(b, x.CoreDumped)
	b = appendUint32(b, uint32(x.Errno))
	b = appendString(b, x.Message)
	b = appendInt64(b, x.UserCPU)
	b = appendInt64(b, x.SystemCPU)
	b = appendInt64(b, x.MaxRSSBytes)
	b = appendPlace(b, x.Log)
	b = appendInt64(b, x.LogBytes)
	b = appendInt64(b, x.DroppedBytes)
	b = appendString(b, x.StderrTail)
	b = appendString(b, x.Output)
	return appendSurvivors(b, x.Survivors)
}

func (d *decoder) exit() *Exit {
	x := &Exit{
		Cause:        Cause(d.uint8()),
		StopReason:   d.string(),
		Code:         d.int32(),
		Signal:       syscall.Signal(d.int32()),
		CoreDumped:   d.bool(),
		Errno:        syscall.Errno(d.uint32()),
		Message:      d.string(),
		UserCPU:      d.duration(),
		SystemCPU:    d.duration(),
		MaxRSSBytes:  d.int64(),
		Log:          d.place(),
		LogBytes:     d.int64(),
		DroppedBytes: d.int64(),
		StderrTail:   d.bytes(),
		Output:       d.bytes(),
		Survivors:    d.survivors(),
	}
	if d.err == nil && (x.Cause < CauseExited || x.Cause > CauseLost) {
		d.fail(fmt.Errorf("its cause %d is unknown", x.Cause))
	}
	return x
}

// survivorBytes is the least a survivor takes: its pid and two empty strings.
const survivorBytes = 12

func appendSurvivors(b []byte, list []Survivor) []byte {
	b = appendUint32(b, uint32(len(list)))
	for _, s := range list {
		b = appendUint32(b, uint32(s.PID))
		b = appendString(b, s.Command)
		b = appendString(b, s.State)
	}
	return b
}

func (d *decoder) survivors() []Survivor {
	n := d.count(survivorBytes)
	if n == 0 {
		return nil
	}
	list := make([]Survivor, n)
	for i := range list {
		list[i] = Survivor{PID: d.int32(), Command: d.string(), State: d.string()}
	}
	return list
}

// decodeError says which message could not be read, and why.
func decodeError(message string, d *decoder) error {
	if err := d.finish(); err != nil {
		return fmt.Errorf("cannot read %s: %w", message, err)
	}
	return nil
}
