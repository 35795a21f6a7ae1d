package logs

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"slices"
)

// route knows in which segments an attempt's output is, and their order.
type route struct {
	dir     string
	attempt int64
	place   Place
	// sharedOnly leaves the own segments out.
	sharedOnly bool
}

// beforeOwn is the position between the shared part and the own segments. No file
// is there.
var beforeOwn = Cursor{own: true, segment: -1}

// start is the position of the first record.
func (r route) start() Cursor {
	if r.place.emptyShared() {
		return beforeOwn
	}
	return Cursor{segment: int64(r.place.First), offset: r.place.FirstOffset}
}

// resume is where reading goes on at c, which anybody may have made up: what
// segments others shared before or after the attempt is not searched through.
func (r route) resume(c Cursor) Cursor {
	start := r.start()
	switch {
	case c == Cursor{}:
		return start
	case c.own:
		return c
	case start.own || c.segment > int64(r.place.lastShared()):
		return beforeOwn
	case c.segment < start.segment || c.segment == start.segment && c.offset < start.offset:
		return start
	}
	return c
}

// path is the file of the segment that c is in.
func (r route) path(c Cursor) string {
	if c.own {
		return ownPath(r.dir, r.attempt, c.segment)
	}
	return sharedPath(r.dir, r.place.Epoch, uint64(c.segment))
}

// limit is where output of this attempt ends in the segment that c is in.
func (r route) limit(c Cursor) int64 {
	if !c.own && r.place.Last != 0 && c.segment == int64(r.place.Last) {
		return r.place.LastOffset
	}
	return math.MaxInt64
}

// after is the beginning of the first segment after c's that exists. It is false
// if there is none.
//
// Own segments are looked for before shared ones: where one exists the whole
// shared part is on disk. In the other order a writer that makes the last shared
// segment and the first own one between the two looks would have the former
// passed over.
func (r route) after(c Cursor) (next Cursor, ok bool, err error) {
	segments, err := r.own()
	if err != nil {
		return Cursor{}, false, err
	}
	if !c.own {
		for n := c.segment + 1; n <= int64(r.place.lastShared()); n++ {
			next := Cursor{segment: n}
			if _, err := os.Stat(r.path(next)); err == nil {
				return next, true, nil
			} else if !errors.Is(err, fs.ErrNotExist) {
				return Cursor{}, false, err
			}
		}
		c = beforeOwn
	}
	i := slices.IndexFunc(segments, func(offset int64) bool { return offset > c.segment })
	if i < 0 {
		return Cursor{}, false, nil
	}
	return Cursor{own: true, segment: segments[i]}, true, nil
}

// own lists the own segments there are, in order.
func (r route) own() ([]int64, error) {
	if r.sharedOnly {
		return nil, nil
	}
	entries, err := os.ReadDir(ownFolders(r.dir, r.attempt)[2])
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	segments := make([]int64, 0, len(entries))
	for _, entry := range entries {
		if offset, ok := parseOwnName(entry.Name()); ok {
			segments = append(segments, offset)
		}
	}
	slices.Sort(segments)
	return segments, nil
}

// tail is from where to read for the last n records: at start, after skip records
// have been left out. Own segments are read backwards. The shared part, which is
// short, is counted.
func (r route) tail(n int, live bool) (start Cursor, skip int, err error) {
	segments, err := r.own()
	if err != nil {
		return Cursor{}, 0, err
	}
	for _, segment := range slices.Backward(segments) {
		c := Cursor{own: true, segment: segment}
		offset, count, err := tailOf(r.path(c), n, live)
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted a moment ago; the attempt's budget leaves the first
		}
		if err != nil {
			return Cursor{}, 0, err
		}
		c.offset = offset
		start = c
		n -= count
		if n == 0 {
			return start, 0, nil
		}
	}
	shared, _, err := r.countShared(live)
	if err != nil {
		return Cursor{}, 0, err
	}
	return r.start(), max(0, shared-n), nil
}

// countShared counts the records and the bytes of output in the shared part.
func (r route) countShared(live bool) (count int, output int64, err error) {
	r.sharedOnly = true
	s := newScanner(r, r.start(), live)
	defer s.close()
	for {
		line, ok, err := s.next()
		if err != nil || !ok {
			return count, output, err
		}
		count++
		output += line.outputBytes()
	}
}
