package rpc

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// OutputQuery asks for the output of a run or of one of its jobs, as a stream.
// Without Timestamps the answer is raw: what was written, byte for byte. With
// them each line is "TIME STREAM TEXT", its time in RFC 3339 with nanoseconds.
type OutputQuery struct {
	// Run or Job says whose; exactly one of them is set.
	Run, Job int64
	// Attempt is the number of one attempt of Job; 0 means all of them.
	Attempt int64
	// Tail asks for the last lines of each attempt only; 0 means all.
	Tail int
	// Follow goes on until everything asked for is final.
	Follow bool
	// Timestamps adds time and stream to each line.
	Timestamps bool
}

// Values writes the query as ParseOutputQuery reads it.
func (q OutputQuery) Values() url.Values {
	v := url.Values{}
	number := func(key string, n int64) {
		if n != 0 {
			v.Set(key, strconv.FormatInt(n, 10))
		}
	}
	number("run", q.Run)
	number("job", q.Job)
	number("attempt", q.Attempt)
	number("tail", int64(q.Tail))
	if q.Follow {
		v.Set("follow", "1")
	}
	if q.Timestamps {
		v.Set("format", "timestamps")
	}
	return v
}

// ParseOutputQuery reads a query strictly and tells everything that is wrong
// with it.
func ParseOutputQuery(v url.Values) (OutputQuery, []Problem) {
	var q OutputQuery
	var problems []Problem
	wrong := func(path, format string, args ...any) {
		problems = append(problems, Problem{Path: path, Text: fmt.Sprintf(format, args...)})
	}
	number := func(key, text string, bits int) int64 {
		n, err := strconv.ParseInt(text, 10, bits)
		if err != nil || n < 1 {
			wrong(key, "expected a number from 1 on, got %q", text)
		}
		return n
	}
	for key, values := range v {
		if len(values) > 1 {
			wrong(key, "given %d times", len(values))
			continue
		}
		text := values[0]
		switch key {
		case "run":
			q.Run = number(key, text, 64)
		case "job":
			q.Job = number(key, text, 64)
		case "attempt":
			q.Attempt = number(key, text, 64)
		case "tail":
			q.Tail = int(number(key, text, 31))
		case "follow":
			q.Follow = text == "1" || text == "true"
			if !q.Follow && text != "0" && text != "false" {
				wrong(key, "expected 1 or 0, got %q", text)
			}
		case "format":
			q.Timestamps = text == "timestamps"
			if !q.Timestamps && text != "raw" {
				wrong(key, "expected raw or timestamps, got %q", text)
			}
		default:
			wrong(key, "unknown; known are run, job, attempt, tail, follow and format")
		}
	}
	switch hasRun, hasJob := v.Has("run"), v.Has("job"); {
	case hasRun == hasJob:
		wrong("run", "say either run=ID or job=ID")
	case hasRun && v.Has("attempt"):
		wrong("attempt", "only a job has attempts: say job=ID")
	}
	// A map has no order; problems do.
	slices.SortStableFunc(problems, func(a, b Problem) int { return strings.Compare(a.Path, b.Path) })
	return q, problems
}
