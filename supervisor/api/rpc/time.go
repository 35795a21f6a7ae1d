package rpc

import (
	"fmt"
	"strings"
	"time"
)

// Time is a moment in JSON: RFC 3339 with milliseconds.
type Time struct{ time.Time }

// timeLayout is the one form in which heroproc writes a time.
const timeLayout = "2006-01-02T15:04:05.000Z07:00"

// Millis makes a Time of unix milliseconds, as the database keeps them.
func Millis(ms int64) Time { return Time{time.UnixMilli(ms).UTC()} }

// MarshalJSON writes RFC 3339 with milliseconds.
func (t Time) MarshalJSON() ([]byte, error) {
	b := make([]byte, 0, len(timeLayout)+2)
	b = append(b, '"')
	b = t.UTC().AppendFormat(b, timeLayout)
	return append(b, '"'), nil
}

// UnmarshalJSON reads any RFC 3339 time.
func (t *Time) UnmarshalJSON(b []byte) error {
	parsed, err := time.Parse(time.RFC3339Nano, strings.Trim(string(b), `"`))
	if err != nil {
		return fmt.Errorf("not an RFC 3339 time: %s", b)
	}
	t.Time = parsed
	return nil
}
