package executor

import (
	"encoding/binary"
	"errors"
	"time"
)

// The primitives every message is made of: fixed little-endian integers, and
// strings behind their length. Whatever is encoded has exactly one encoding, so
// that golden bytes mean something and a changed byte is found.

func appendUint32(b []byte, v uint32) []byte { return binary.LittleEndian.AppendUint32(b, v) }

func appendUint64(b []byte, v uint64) []byte { return binary.LittleEndian.AppendUint64(b, v) }

func appendInt64[T ~int64](b []byte, v T) []byte { return appendUint64(b, uint64(v)) }

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

func appendString[T ~string | ~[]byte](b []byte, v T) []byte {
	return append(appendUint32(b, uint32(len(v))), v...)
}

func appendStrings(b []byte, list []string) []byte {
	b = appendUint32(b, uint32(len(list)))
	for _, v := range list {
		b = appendString(b, v)
	}
	return b
}

// appendTime writes nanoseconds since 1970; 0 stands for the zero time.
func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return appendUint64(b, 0)
	}
	return appendUint64(b, uint64(t.UnixNano()))
}

var (
	errShort    = errors.New("it ends too early")
	errLong     = errors.New("bytes are left over")
	errNotABool = errors.New("a yes or no is neither")
	errCount    = errors.New("a list is longer than the message")
)

// decoder takes primitives off a payload. The first thing that does not fit is
// remembered and everything after it reads as zero, so that a message is
// decoded straight through and asked for its error once.
type decoder struct {
	rest []byte
	err  error
}

// finish answers the first error; bytes that nobody has read are one.
func (d *decoder) finish() error {
	if d.err == nil && len(d.rest) > 0 {
		d.err = errLong
	}
	return d.err
}

// fail remembers err, unless an earlier one explains it.
func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.rest = nil
}

// take cuts n bytes off; nil when there are fewer.
func (d *decoder) take(n int) []byte {
	if n < 0 || n > len(d.rest) {
		d.fail(errShort)
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) uint8() uint8 {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uint32() uint32 {
	if b := d.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (d *decoder) uint64() uint64 {
	if b := d.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (d *decoder) int32() int { return int(int32(d.uint32())) }

func (d *decoder) int64() int64 { return int64(d.uint64()) }

func (d *decoder) duration() time.Duration { return time.Duration(d.uint64()) }

func (d *decoder) bool() bool {
	switch d.uint8() {
	case 0:
		return false
	case 1:
		return true
	}
	d.fail(errNotABool)
	return false
}

func (d *decoder) string() string { return string(d.take(int(d.uint32()))) }

// bytes answers a copy: a payload lives no longer than the buffer it came in.
func (d *decoder) bytes() []byte { return append([]byte(nil), d.take(int(d.uint32()))...) }

func (d *decoder) time() time.Time {
	if n := d.int64(); n != 0 {
		return time.Unix(0, n)
	}
	return time.Time{}
}

// count reads the length of a list whose elements take at least size bytes
// each, so that a lying count cannot make anybody allocate.
func (d *decoder) count(size int) int {
	n := int(d.uint32())
	if n < 0 || n > len(d.rest)/size {
		d.fail(errCount)
		return 0
	}
	return n
}

// strings reads a list with two allocations, however long it is: all of its
// strings are parts of one.
func (d *decoder) strings() []string {
	n := d.count(4)
	if n == 0 {
		return nil
	}
	all := d.rest
	for range n {
		d.take(int(d.uint32()))
	}
	if d.err != nil {
		return nil
	}
	text := string(all[:len(all)-len(d.rest)])
	list := make([]string, n)
	for i := range list {
		length := int(binary.LittleEndian.Uint32(all))
		all = all[4+length:]
		list[i] = text[4 : 4+length]
		text = text[4+length:]
	}
	return list
}
