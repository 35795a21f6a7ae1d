package logs

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"time"
)

// scanner walks along a route and reads the attempt's lines from it. At the end of
// what there is it can be asked again later: that is how a log is followed.
type scanner struct {
	route route
	// live says that more may come, so that an unfinished record is left alone.
	live bool
	skip int // records to leave out
	tag  []byte

	at      Cursor // the next record
	records records
	// ahead is the segment after the present one. When it is found the present one
	// is read once more before it is left: then all of it has been read, because no
	// writer touches a segment that has a successor.
	ahead      Cursor
	aheadKnown bool

	output int64     // bytes of output before at; -1 when not known
	last   time.Time // of the last line
	told   bool      // a line told that shared segments or the end are missing
}

func newScanner(r route, start Cursor, live bool) *scanner {
	s := &scanner{route: r, live: live, at: start, output: -1}
	s.tag = append(strconv.AppendInt([]byte{':'}, r.attempt, 10), ' ')
	switch {
	case start == r.start() && r.place.Epoch != 0:
		s.output = 0
	case start.own && start.offset == 0 && start != beforeOwn:
		s.output = start.segment
	}
	return s
}

func (s *scanner) close() { s.records.close() }

// finish tells the scanner that nothing more comes, and where the output ends.
func (s *scanner) finish(place Place) {
	s.live = false
	s.route.place = place
	s.records.limit = s.route.limit(s.at)
}

// next is the next line. It is false at the present end.
func (s *scanner) next() (Line, bool, error) {
	for {
		record, ok, err := s.read()
		if err != nil {
			return Line{}, false, err
		}
		if ok {
			s.at.offset = s.records.offset
			if line, ok := s.line(record); ok {
				return line, true, nil
			}
			continue
		}
		if !s.aheadKnown {
			if s.ahead, s.aheadKnown, err = s.route.after(s.at); err != nil {
				return Line{}, false, err
			}
			if s.aheadKnown {
				s.records.forget()
				continue
			}
			if s.live {
				s.records.forget()
				return Line{}, false, nil
			}
		}
		if line, ok := s.torn(); ok {
			return line, true, nil
		}
		if !s.aheadKnown {
			return s.end()
		}
		line, ok, err := s.cross()
		if ok || err != nil {
			return line, ok, err
		}
	}
}

// read is the next record of the present segment, whoever's it is.
func (s *scanner) read() ([]byte, bool, error) {
	if s.records.file == nil {
		if s.at == beforeOwn {
			return nil, false, nil
		}
		err := s.records.open(s.route.path(s.at), s.at.offset, s.route.limit(s.at))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, false, nil // not made yet, or deleted
		}
		if err != nil {
			return nil, false, err
		}
	}
	return s.records.next()
}

// line makes a line of a record if it is one of this attempt's.
func (s *scanner) line(record []byte) (Line, bool) {
	if !s.at.own && !s.tagged(record) {
		return Line{}, false
	}
	line, attempt, ok := parseRecord(record)
	switch {
	case ok && attempt == s.route.attempt:
		line.Next, s.last = s.at, line.At
	case s.at.own:
		line = s.say("%d bytes of the log are damaged", len(record))
	default:
		return Line{}, false
	}
	if s.output >= 0 {
		s.output += line.outputBytes()
	}
	if s.skip > 0 {
		s.skip--
		return Line{}, false
	}
	return line, true
}

// tagged says quickly whether a record may be this attempt's: in shared segments
// most are not.
func (s *scanner) tagged(record []byte) bool {
	for range 2 {
		i := bytes.IndexByte(record, ' ')
		if i < 0 {
			return false
		}
		record = record[i+1:]
	}
	return len(record) > 0 && bytes.HasPrefix(record[1:], s.tag)
}

// torn is the line that the end of the segment was cut off from. Of a record that
// was cut before its text nothing is left to show.
func (s *scanner) torn() (Line, bool) {
	record := s.records.torn()
	if len(record) == 0 {
		return Line{}, false
	}
	s.records.advance(len(record))
	s.at.offset = s.records.offset
	if len(record) < maxHeader {
		if line, _, ok := parseRecord(record); !ok || len(line.Text) == 0 {
			return Line{}, false
		}
	}
	line, ok := s.line(record)
	if ok && line.Stream != Heroproc && !line.Partial {
		line.Partial = true
		if s.output >= 0 {
			s.output--
		}
	}
	return line, ok
}

// cross goes over to the next segment. It returns a line if output is missing in
// between.
func (s *scanner) cross() (Line, bool, error) {
	from, to, wasThere := s.at, s.ahead, s.records.file != nil
	if !to.own {
		s.enter(to)
		if wasThere || s.route.sharedOnly {
			return Line{}, false, nil
		}
		s.told = true
		return s.say("dropped: removed by the total log budget"), true, nil
	}
	before, err := s.outputBefore(to)
	if err != nil {
		return Line{}, false, err
	}
	s.enter(to)
	s.output = to.segment
	fromOwn := from.own && from != beforeOwn
	switch {
	case before < 0:
		return s.say("dropped: removed by a log budget"), true, nil
	case before >= to.segment || s.told && !fromOwn:
		return Line{}, false, nil
	case fromOwn:
		return s.say("dropped %d bytes: the attempt's log budget is used up", to.segment-before), true, nil
	default:
		return s.say("dropped %d bytes: removed by the total log budget", to.segment-before), true, nil
	}
}

// enter leaves the present segment for the one that begins at to.
func (s *scanner) enter(to Cursor) {
	s.records.close()
	s.at, s.aheadKnown = to, false
}

// outputBefore is how many bytes of output there are before the own segment to;
// -1 if nobody can know.
func (s *scanner) outputBefore(to Cursor) (int64, error) {
	switch {
	case s.output >= 0:
		return s.output, nil
	case s.route.place.Epoch == 0:
		return to.segment, nil // what was shared is not known, so not missed either
	case !s.at.own || s.at == beforeOwn:
		_, output, err := s.route.countShared(s.live)
		return output, err
	case s.records.file == nil:
		return -1, nil
	}
	output, err := outputIn(s.records.file)
	return s.at.segment + output, err
}

// end is the end of the log, after one more line if its end is missing.
func (s *scanner) end() (Line, bool, error) {
	inOwn := s.at.own && s.at != beforeOwn
	// Nothing is missed behind the known end of the shared part.
	sharedLeft := !s.at.own && s.route.place.Last != 0 && s.at.offset < s.route.limit(s.at)
	segmentGone := s.records.file == nil && (inOwn || sharedLeft)
	ownGone := s.route.place.Own && !inOwn
	if s.told || s.route.sharedOnly || !segmentGone && !ownGone {
		return Line{}, false, nil
	}
	s.told = true
	return s.say("dropped: removed by the total log budget"), true, nil
}

// say is a line by heroproc itself that is in no segment. It bears the time of the
// line before it.
func (s *scanner) say(format string, args ...any) Line {
	return Line{At: s.last, Stream: Heroproc, Text: fmt.Appendf(nil, format, args...), Next: s.at}
}
