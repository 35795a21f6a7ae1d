package executor

import (
	"encoding/binary"
	"fmt"
)

// A frame is what travels on executor.sock: the payload's length (4 bytes,
// little-endian), the kind (1 byte), the payload. A reader that does not know a
// payload can still step over it, and a reader that never blocks can tell a
// whole frame from the beginning of one.

// frameKind says what a frame's payload is. The numbers are part of the
// protocol and never reused; those from 64 on go from the executor to the
// daemon.
type frameKind uint8

const (
	// frameHello opens a connection: a hello.
	frameHello frameKind = 1
	// frameOrder asks for a start: an Order.
	frameOrder frameKind = 2
	// frameStop asks for an end: a Stop.
	frameStop frameKind = 3
	// frameAck says what the daemon has on disk: an ack.
	frameAck frameKind = 4
	// frameShutdown has no payload: the executor is to end itself as soon as every
	// loop was told so and it has no children.
	frameShutdown frameKind = 5

	// frameWelcome answers a hello: a welcome.
	frameWelcome frameKind = 64
	// frameEvent is an Event, with the name the journal gave it.
	frameEvent frameKind = 65
	// frameLive is a Live: an attempt this loop holds.
	frameLive frameKind = 66
	// frameCaughtUp has no payload: everything older has been sent, what comes
	// now happens now.
	frameCaughtUp frameKind = 67
)

const (
	// frameHeaderBytes are the length and the kind.
	frameHeaderBytes = 5
	// frameLimit bounds a payload, and so what one connection can make the other
	// side allocate. The largest true message is an order: Linux refuses argument
	// and environment lists of more than 6 MiB.
	frameLimit = 16 << 20
)

// appendFrame appends one frame whose payload is what encode appends for
// message. It takes the encoder as a function so that the payload is written
// where it is to be, and never copied.
func appendFrame[M any](b []byte, kind frameKind, encode func([]byte, M) []byte, message M) []byte {
	at := len(b)
	b = appendEmptyFrame(b, kind)
	b = encode(b, message)
	binary.LittleEndian.PutUint32(b[at:], uint32(len(b)-at-frameHeaderBytes))
	return b
}

// appendEmptyFrame appends a frame that has no payload.
func appendEmptyFrame(b []byte, kind frameKind) []byte {
	return append(b, 0, 0, 0, 0, byte(kind))
}

// nextFrame cuts the first frame off b. It answers false while the frame is not
// yet whole, and an error when no further byte could make it a frame; then the
// connection is of no use any more. Payload and rest are parts of b.
func nextFrame(b []byte) (kind frameKind, payload, rest []byte, ok bool, err error) {
	if len(b) < frameHeaderBytes {
		return 0, nil, b, false, nil
	}
	length := binary.LittleEndian.Uint32(b)
	if length > frameLimit {
		return 0, nil, b, false, fmt.Errorf("cannot read a frame of %d bytes: the limit is %d", length, frameLimit)
	}
	end := frameHeaderBytes + int(length)
	if len(b) < end {
		return 0, nil, b, false, nil
	}
	return frameKind(b[4]), b[frameHeaderBytes:end:end], b[end:], true, nil
}
