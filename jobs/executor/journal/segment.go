package journal

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A segment begins with segmentMagic. Then come its records: the payload's
// length (4 bytes), the number (8 bytes), a checksum of these (4 bytes), the
// payload, a checksum of all (4 bytes); integers are little-endian. Because the
// length has a checksum of its own, a record that a kill cut short is told from
// one that is damaged. The checksums are CRC-32C and begin with the epoch, so
// that a record is believed only in the series it was written for.
const (
	segmentMagic      = "hpjrnl1\n"
	segmentSuffix     = ".journal"
	recordHeaderBytes = 16
	checksumBytes     = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Errors that say how a segment ends where it does not end cleanly.
var (
	errTorn    = errors.New("the last record was cut short")
	errDamaged = errors.New("a record is damaged")
	errGap     = errors.New("records are missing")
)

// segmentName pads its numbers, so that a listing is in order.
func segmentName(epoch, first uint64) string {
	return fmt.Sprintf("%019d-%019d%s", epoch, first, segmentSuffix)
}

// parseSegmentName is the inverse of segmentName and accepts nothing else.
// Epochs and numbers have 63 bits: they go to a database that has no more.
func parseSegmentName(name string) (epoch, first uint64, ok bool) {
	base, found := strings.CutSuffix(name, segmentSuffix)
	left, right, cut := strings.Cut(base, "-")
	if !found || !cut {
		return 0, 0, false
	}
	epoch, errEpoch := strconv.ParseUint(left, 10, 63)
	first, errFirst := strconv.ParseUint(right, 10, 63)
	if errEpoch != nil || errFirst != nil || first == 0 || segmentName(epoch, first) != name {
		return 0, 0, false
	}
	return epoch, first, true
}

// appendRecord appends one record as it is on disk.
func appendRecord(b []byte, epoch, number uint64, payload []byte) []byte {
	at := len(b)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(payload)))
	b = binary.LittleEndian.AppendUint64(b, number)
	sum := headerChecksum(epoch, b[at:])
	b = binary.LittleEndian.AppendUint32(b, sum)
	b = append(b, payload...)
	return binary.LittleEndian.AppendUint32(b, crc32.Update(sum, castagnoli, payload))
}

// headerChecksum is the checksum of a record's length and number. The one
// behind its payload is this one, continued.
func headerChecksum(epoch uint64, lengthAndNumber []byte) uint32 {
	var seed [8]byte
	binary.LittleEndian.PutUint64(seed[:], epoch)
	return crc32.Update(crc32.Update(0, castagnoli, seed[:]), castagnoli, lengthAndNumber)
}

// position is where a record begins.
type position struct {
	number uint64
	first  uint64 // names the segment
	offset int64
}

// series is the segments of one epoch.
type series struct {
	dir    string
	epoch  uint64
	firsts []uint64 // of the segments that exist, in order
	resume position // where the last reading stopped; number 0: nowhere
}

func (s *series) path(first uint64) string {
	return filepath.Join(s.dir, segmentName(s.epoch, first))
}

// removeFirst deletes the oldest segment.
func (s *series) removeFirst() error {
	if err := os.Remove(s.path(s.firsts[0])); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.firsts = s.firsts[1:]
	return nil
}

// examine reads all there is, to learn where it ends and how.
func (s *series) examine() Left {
	end, err := s.scan(position{number: s.firsts[0], first: s.firsts[0]}, math.MaxUint64, nil)
	return Left{
		Epoch:  s.epoch,
		Last:   end.number - 1,
		Whole:  err == nil || errors.Is(err, errTorn),
		Damage: err,
	}
}

// read calls fn for the records after a number, up to last.
func (s *series) read(after, last uint64, fn func(number uint64, payload []byte) error) error {
	if len(s.firsts) == 0 || after >= last {
		return nil
	}
	end, err := s.scan(s.locate(after+1), last, func(number uint64, payload []byte) error {
		if number <= after {
			return nil
		}
		return fn(number, payload)
	})
	s.resume = end
	return err
}

// locate answers the best place known to start from in search of a number.
func (s *series) locate(number uint64) position {
	i, exact := slices.BinarySearch(s.firsts, number)
	if !exact {
		i = max(i-1, 0)
	}
	from := position{number: s.firsts[i], first: s.firsts[i]}
	if s.resume.first >= from.first && s.resume.number <= number {
		return s.resume
	}
	return from
}

// scan calls fn, if there is one, for the records from a position on, up to the
// number last, and answers where it stopped: behind the last record read, or at
// the one for which fn had an error. Reaching the clean end of the series before
// last is no error when last is the highest number there is.
func (s *series) scan(from position, last uint64, fn func(number uint64, payload []byte) error) (position, error) {
	i, ok := slices.BinarySearch(s.firsts, from.first)
	if !ok {
		return from, fmt.Errorf("%w: there is no segment %s", errGap, s.path(from.first))
	}
	for {
		end, err := s.scanSegment(from, last, fn)
		if end.number > last {
			return end, err
		}
		i++
		switch {
		case err != nil && !errors.Is(err, errTorn) && !errors.Is(err, errDamaged):
			return end, err
		case i == len(s.firsts):
			if err == nil && last != math.MaxUint64 {
				err = fmt.Errorf("%w after number %d", errGap, end.number-1)
			}
			return end, err
		case s.firsts[i] != end.number:
			gap := fmt.Errorf("%w from %d to %d", errGap, end.number, s.firsts[i]-1)
			if err != nil {
				// Why they are missing is for people: a gap is worse than a torn end.
				gap = fmt.Errorf("%w: %s", gap, err.Error())
			}
			return end, gap
		}
		// What may stand behind the last good record of a segment is the rest of a
		// write that failed. It took no number with it, as the next segment's name
		// proves.
		from = position{number: end.number, first: end.number}
	}
}

// scanSegment is scan within one segment.
func (s *series) scanSegment(from position, last uint64, fn func(number uint64, payload []byte) error) (position, error) {
	r, err := openSegment(s.path(from.first), s.epoch, from.offset)
	if err != nil {
		return from, err
	}
	defer r.file.Close()
	end := from
	for end.offset = r.offset; end.number <= last; end.offset = r.offset {
		payload, err := r.next(end.number)
		if errors.Is(err, io.EOF) {
			return end, nil
		}
		if err != nil {
			return end, fmt.Errorf("%s at byte %d: %w", s.path(from.first), end.offset, err)
		}
		if fn != nil {
			if err := fn(end.number, payload); err != nil {
				return end, err
			}
		}
		end.number++
	}
	return end, nil
}

// segmentReader reads the records of one segment.
type segmentReader struct {
	file   *os.File
	buffer *bufio.Reader
	epoch  uint64
	size   int64
	offset int64
	record []byte // the payload last read, and its checksum
}

// openSegment opens a segment to read it from an offset on; 0 means from its
// first record.
func openSegment(path string, epoch uint64, offset int64) (*segmentReader, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot open journal segment: %w", err)
	}
	r, err := newSegmentReader(f, epoch, offset)
	if err != nil {
		f.Close()
		return nil, err
	}
	return r, nil
}

func newSegmentReader(f *os.File, epoch uint64, offset int64) (*segmentReader, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("cannot read journal segment: %w", err)
	}
	size := info.Size()
	r := &segmentReader{file: f, epoch: epoch, size: size, offset: offset}
	r.buffer = bufio.NewReaderSize(io.NewSectionReader(f, offset, math.MaxInt64-offset), 64<<10)
	if offset > 0 {
		return r, nil
	}
	magic := make([]byte, min(int64(len(segmentMagic)), size))
	if err := r.fill(magic); err != nil {
		return nil, fmt.Errorf("cannot read journal segment: %w", err)
	}
	switch {
	case string(magic) == segmentMagic:
		return r, nil
	case strings.HasPrefix(segmentMagic, string(magic)):
		return nil, fmt.Errorf("%s: %w", f.Name(), errTorn)
	}
	return nil, fmt.Errorf("%s: %w: it does not begin like a journal of this version", f.Name(), errDamaged)
}

// next answers the payload of the record with this number, valid until the next
// call; io.EOF where the segment ends.
func (r *segmentReader) next(number uint64) ([]byte, error) {
	left := r.size - r.offset
	if left == 0 {
		return nil, io.EOF
	}
	if left < recordHeaderBytes {
		return nil, errTorn
	}
	var header [recordHeaderBytes]byte
	if err := r.fill(header[:]); err != nil {
		return nil, err
	}
	length := int64(binary.LittleEndian.Uint32(header[:]))
	sum := binary.LittleEndian.Uint32(header[12:])
	if sum != headerChecksum(r.epoch, header[:12]) ||
		binary.LittleEndian.Uint64(header[4:]) != number || length > MaxPayload {
		return nil, errDamaged
	}
	if left < recordHeaderBytes+length+checksumBytes {
		return nil, errTorn
	}
	r.record = slices.Grow(r.record[:0], int(length)+checksumBytes)[:length+checksumBytes]
	if err := r.fill(r.record); err != nil {
		return nil, err
	}
	payload := r.record[:length:length]
	if binary.LittleEndian.Uint32(r.record[length:]) != crc32.Update(sum, castagnoli, payload) {
		return nil, errDamaged
	}
	return payload, nil
}

// fill reads exactly len(b) bytes, which are there.
func (r *segmentReader) fill(b []byte) error {
	n, err := io.ReadFull(r.buffer, b)
	r.offset += int64(n)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errTorn // it became shorter while it was read
	}
	return err
}
