package spec

import (
	"fmt"
	"time"

	"github.com/heroproc/heroproc/jobs/document"
)

// Duration is a span of time that documents write as "1m30s". A bare number is
// refused there, because one reader takes it for seconds and the next for
// milliseconds.
type Duration time.Duration

const (
	// MinDuration is the shortest span that is not nothing: the database counts
	// in milliseconds.
	MinDuration = Duration(time.Millisecond)
	// MaxDuration is the longest span, a leap year: what is meant to take longer
	// is meant to have no limit, and whoever writes more has mistaken the unit.
	MaxDuration = Duration(366 * 24 * time.Hour)
)

// String is the duration as documents write it.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText is the duration as documents write it.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads a duration such as "1m30s" or "0s".
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf(`expected a duration such as "5s", "1m30s" or "250ms", got %.40q`, text)
	}
	*d = Duration(parsed)
	return nil
}

// UnmarshalDocument reads a duration from a document and says how to write one.
func (d *Duration) UnmarshalDocument(v *document.Value) error {
	switch v.Kind() {
	case document.String:
		return d.UnmarshalText([]byte(v.Text()))
	case document.Number:
		return fmt.Errorf(`expected a duration such as "5s", got the number %.40s; write "%[1]ss" for seconds`, v.Text())
	default:
		return fmt.Errorf(`expected a duration such as "5s", got %s`, v.Kind())
	}
}
