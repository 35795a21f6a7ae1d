package document

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// Problem is one thing that is wrong with a document, where it is, and what
// would help.
type Problem struct {
	// File is the document's name; empty for the parameters of a call.
	File string `json:"file,omitempty"`
	// Line counts from 1; 0 means that the place has no line.
	Line int `json:"line,omitempty"`
	// Column counts from 1, in characters in YAML and in bytes in JSON and TOML.
	Column int `json:"column,omitempty"`
	// Path is the place inside the document; empty means the whole of it.
	Path Path `json:"path,omitempty"`
	// Text is one line for people.
	Text string `json:"text"`
}

// Error is the problem in one line, such as
//
//	run.yaml:7: jobs.build.timeout: expected a duration such as "5s", got the number 5
func (p Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		if p.File == "" {
			b.WriteString("line ")
		} else {
			b.WriteString(":")
		}
		b.WriteString(strconv.Itoa(p.Line))
	}
	for _, part := range []string{string(p.Path), p.Text} {
		if part == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteString(": ")
		}
		b.WriteString(part)
	}
	return b.String()
}

// Problems is everything that is wrong with a document, in the order of the
// text. As an error it is never empty.
type Problems []Problem

// MaxProblems bounds how many problems one document is told: a list that nobody
// will read to its end must not cost more memory than the document.
const MaxProblems = 1000

// Error lists the problems, one a line.
func (p Problems) Error() string {
	var b strings.Builder
	for i, problem := range p {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(problem.Error())
	}
	return b.String()
}

// Add records one more problem. Beyond MaxProblems it only says that there are
// more.
func (p *Problems) Add(problem Problem) {
	switch {
	case len(*p) < MaxProblems:
		*p = append(*p, problem)
	case len(*p) == MaxProblems:
		*p = append(*p, Problem{File: problem.File, Text: "there are more problems than these; they are left out"})
	}
}

// Err is the problems as an error: nil where there are none.
func (p Problems) Err() error {
	if len(p) == 0 {
		return nil
	}
	return p
}

// Under is the same problems seen from further out: their paths continue prefix.
// It is for a document that is one item of a larger one.
func (p Problems) Under(prefix Path) Problems {
	out := slices.Clone(p)
	for i := range out {
		out[i].Path = prefix.Join(out[i].Path)
	}
	return out
}

// sort puts the problems into the order of the text. Problems without a line
// keep their order behind those that have one.
func (p Problems) sort() {
	slices.SortStableFunc(p, func(a, b Problem) int {
		if (a.Line == 0) != (b.Line == 0) {
			return cmp.Compare(b.Line, a.Line)
		}
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// Join makes one error of what reading a document has found and what checking
// the result has found, so that both are told at once. What is only a
// consequence is left out: a value that could not be read is also missing, and
// nobody needs to hear it twice. Errors that are not Problems are returned as
// they are, the first one first.
func Join(read, check error) error {
	var first, second Problems
	switch {
	case read == nil:
		return check
	case check == nil, !errors.As(read, &first), !errors.As(check, &second):
		return read
	}
	all := slices.Clone(first)
	for _, problem := range second {
		if !slices.ContainsFunc(first, problem.follows) {
			all.Add(problem)
		}
	}
	all.sort()
	return all
}

// follows says whether p is only a consequence of cause: it is about the same
// value, about something inside of it, or about the value that cause is a
// member of, which for want of that member looks incomplete.
func (p Problem) follows(cause Problem) bool {
	if cause.Path.covers(p.Path) {
		return true
	}
	parent, ok := cause.Path.parent()
	return ok && parent == p.Path
}
