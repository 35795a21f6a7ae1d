package logs

import (
	"fmt"
	"strconv"
	"strings"
)

// Cursor is a position in an attempt's log: reading goes on there. It stays valid
// while the log grows and when segments before it are deleted. The zero value is
// the beginning. Its text form is opaque to everybody else.
type Cursor struct {
	own bool
	// segment is the number of a shared segment or the offset that names an own
	// one. It is never 0 for a shared one.
	segment int64
	offset  int64 // in the segment's file
}

// String is the text that [ParseCursor] reads.
func (c Cursor) String() string {
	kind := "s"
	switch {
	case c == Cursor{}:
		return ""
	case c == beforeOwn:
		return "o"
	case c.own:
		kind = "o"
	}
	return kind + strconv.FormatInt(c.segment, 10) + "-" + strconv.FormatInt(c.offset, 10)
}

// ParseCursor reads the text form of a cursor. A position that does not exist in
// the log it is used for is no error: reading goes on behind it.
func ParseCursor(text string) (Cursor, error) {
	switch text {
	case "":
		return Cursor{}, nil
	case "o":
		return beforeOwn, nil
	}
	segment, offset, _ := strings.Cut(text[1:], "-")
	var c Cursor
	var err1, err2 error
	c.own = text[0] == 'o'
	c.segment, err1 = strconv.ParseInt(segment, 10, 64)
	c.offset, err2 = strconv.ParseInt(offset, 10, 64)
	known := c.own && c.segment >= 0 || text[0] == 's' && c.segment > 0
	if !known || err1 != nil || err2 != nil || c.offset < 0 {
		return Cursor{}, fmt.Errorf("%q is no log position: pass on one that came with a line, or none to begin at the start", text)
	}
	return c, nil
}

// MarshalText is [Cursor.String] for encoding/json.
func (c Cursor) MarshalText() ([]byte, error) {
	return []byte(c.String()), nil
}

// UnmarshalText is [ParseCursor] for encoding/json.
func (c *Cursor) UnmarshalText(text []byte) error {
	parsed, err := ParseCursor(string(text))
	if err != nil {
		return err
	}
	*c = parsed
	return nil
}
