package executor

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

const (
	// ackLinger is how long an acknowledgement waits for an order to travel with.
	// Nobody waits for it, and each message costs the executor a wake-up.
	ackLinger = 50 * time.Millisecond
	// flushTimeout is how long a client that is closed goes on sending what it
	// has accepted.
	flushTimeout = time.Second
	// backlogLimit bounds what waits to be sent to one loop, in bytes: some ten
	// thousand orders, far more than queues admit at once.
	backlogLimit = 64 << 20
	// receiveBytes is how much room a read from the socket is given at least half
	// of: some hundred events.
	receiveBytes = 64 << 10
)

// link is the connection to one of the executor's loops.
type link struct {
	conn    *net.UnixConn
	welcome welcome
	in      inbox

	wake chan struct{} // holds one token when there is something to send

	mu      sync.Mutex
	frames  []byte // waiting to be sent
	acks    []ack  // sent behind them; one for each epoch
	refusal error  // why nothing more is accepted
}

func newLink(conn *net.UnixConn) *link {
	return &link{conn: conn, in: inbox{from: conn}, wake: make(chan struct{}, 1)}
}

// push accepts one message to be sent.
func push[M any](l *link, kind frameKind, encode func([]byte, M) []byte, message M) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refusal != nil {
		return l.refusal
	}
	before := len(l.frames)
	l.frames = appendFrame(l.frames, kind, encode, message)
	var err error
	if size := len(l.frames) - before - frameHeaderBytes; size > frameLimit {
		err = fmt.Errorf("it has %d bytes, the limit is %d", size, frameLimit)
	} else if before > 0 && len(l.frames) > backlogLimit {
		err = ErrBacklog
	}
	if err != nil {
		l.frames = l.frames[:before]
		return err
	}
	l.signal()
	return nil
}

// pushAck accepts an acknowledgement; of an epoch only the newest is kept.
func (l *link) pushAck(a ack) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refusal != nil {
		return l.refusal
	}
	for i := range l.acks {
		if l.acks[i].epoch == a.epoch {
			l.acks[i].number = max(l.acks[i].number, a.number)
			return nil
		}
	}
	if l.acks = append(l.acks, a); len(l.acks) == 1 {
		time.AfterFunc(ackLinger, l.signal)
	}
	return nil
}

// end refuses further messages, and bounds how long the accepted ones take.
func (l *link) end(refusal error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refusal = refusal
	// It fails only on a closed connection, where nothing takes long.
	_ = l.conn.SetWriteDeadline(time.Now().Add(flushTimeout))
	l.signal()
}

func (l *link) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// take answers everything that is to be sent, in exchange for an empty buffer,
// and whether more may come.
func (l *link) take(empty []byte) (frames []byte, open bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	frames, l.frames = l.frames, empty
	for _, a := range l.acks {
		frames = appendFrame(frames, frameAck, appendAck, a)
	}
	l.acks = l.acks[:0]
	return frames, l.refusal == nil
}

// send sends what is accepted, until nothing more is. Whatever came together
// while it wrote goes with one system call.
func (l *link) send() error {
	var frames []byte
	for {
		var open bool
		frames, open = l.take(frames[:0])
		if len(frames) == 0 {
			if !open {
				return nil
			}
			<-l.wake
			continue
		}
		if _, err := l.conn.Write(frames); err != nil {
			return fmt.Errorf("cannot send to the executor: %w", err)
		}
		if cap(frames) > 4*receiveBytes {
			frames = nil // a large order is rare, its room would be kept for ever
		}
	}
}

// receive hands over events until the connection ends, and answers why it did.
func (l *link) receive(handle func([]Event)) error {
	for {
		events, err := l.events()
		if len(events) > 0 {
			handle(events)
		}
		if err != nil {
			return err
		}
		if err := l.in.fill(); err != nil {
			return fmt.Errorf("cannot read from the executor: %w", err)
		}
	}
}

// events decodes what has been read.
func (l *link) events() ([]Event, error) {
	var events []Event
	for {
		kind, payload, ok, err := l.in.next()
		if err != nil || !ok {
			return events, err
		}
		if kind != frameEvent {
			return events, fmt.Errorf("the executor sent a frame of kind %d among the events", kind)
		}
		e, err := decodeEventFrame(payload)
		if err != nil {
			return events, err
		}
		events = append(events, e)
	}
}

// inbox cuts what comes from a connection into frames.
type inbox struct {
	from   io.Reader
	buffer []byte // what was read
	taken  int    // how much of it next has handed out
}

// next answers the next frame that has been read wholly; its payload is valid
// until fill.
func (in *inbox) next() (kind frameKind, payload []byte, ok bool, err error) {
	kind, payload, rest, ok, err := nextFrame(in.buffer[in.taken:])
	in.taken = len(in.buffer) - len(rest)
	return kind, payload, ok, err
}

// fill reads once, waiting for at least one byte. The buffer grows only while a
// single frame does not fit, so the limit of a frame limits it too.
func (in *inbox) fill() error {
	in.buffer = append(in.buffer[:0], in.buffer[in.taken:]...)
	in.taken = 0
	if free := cap(in.buffer) - len(in.buffer); free < receiveBytes/2 {
		grown := make([]byte, len(in.buffer), 2*len(in.buffer)+receiveBytes)
		copy(grown, in.buffer)
		in.buffer = grown
	}
	n, err := in.from.Read(in.buffer[len(in.buffer):cap(in.buffer)])
	in.buffer = in.buffer[:len(in.buffer)+n]
	if n > 0 {
		return nil // an error comes again with the next read
	}
	if errors.Is(err, io.EOF) {
		return errHungUp
	}
	return err
}

// errHungUp is the end of a connection that the executor has closed.
var errHungUp = errors.New("it has closed the connection")
