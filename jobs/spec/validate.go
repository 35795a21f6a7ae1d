package spec

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/heroproc/heroproc/jobs/document"
)

const (
	// MaxJobs bounds a run, so that it is one transaction of bounded length.
	MaxJobs = 10_000
	// MaxName bounds, in bytes, a name, a context or a tag: they are columns in
	// tables and lists.
	MaxName = 128
	// MaxTags bounds the tags of a run and of a job.
	MaxTags = 100
	// MaxKey bounds an idempotency key in bytes: it is an index's key.
	MaxKey = 256
)

// Validate checks everything that can be checked without looking at the machine,
// and reports all that is wrong as [document.Problems] whose paths begin at the
// run. Directories must be absolute by now; a name and a context may be missing,
// see FillIn.
//
// Text that is not UTF-8 is refused everywhere, also where the kernel would take
// it: a spec is stored and shown as JSON, which could only garble it, and what is
// executed would no longer be what is shown. A program that needs other bytes can
// be given them encoded, or in a file.
func (r *Run) Validate() error {
	var c checker
	if r.Name != "" {
		c.name("name", r.Name)
	}
	if r.Context != "" {
		c.name("context", r.Context)
	}
	c.key("key", r.Key)
	c.tags("tags", r.Tags)
	c.env("env", r.Env)
	c.dir("dir", r.Dir)
	c.limit("timeout", r.Timeout)

	switch n := len(r.Jobs); {
	case n == 0:
		c.report("jobs", "a run needs at least one job")
	case n > MaxJobs:
		c.report("jobs", fmt.Sprintf("there are %d jobs; a run may have at most %d", n, MaxJobs))
		return c.problems.Err()
	}
	inherited := envBytes(r.Env)
	jobs := slices.Sorted(maps.Keys(r.Jobs))
	for _, name := range jobs {
		job := r.Jobs[name]
		at := document.Path("jobs").Key(name)
		c.name(at, name)
		c.action(at, &job.Action, inherited)
		c.needs(at.Key("needs"), name, job.Needs, r.Jobs, jobs)
	}
	for _, cycle := range cycles(r.Jobs) {
		c.report(document.Path("jobs").Key(cycle[0]).Key("needs"), "the needs form a circle: "+drawCycle(cycle))
	}
	return c.problems.Err()
}

// drawCycle shows a circle of needs by its path. Of a very long one it shows
// both ends.
func drawCycle(cycle []string) string {
	const ends = 6
	if left := len(cycle) - 2*ends; left > 0 {
		cycle = slices.Concat(cycle[:ends], []string{fmt.Sprintf("(%d more)", left)}, cycle[len(cycle)-ends:])
	}
	return strings.Join(cycle, " → ") + " → " + cycle[0]
}

// checker collects what is wrong with a spec.
type checker struct {
	problems document.Problems
}

func (c *checker) report(at document.Path, text string) {
	c.problems.Add(document.Problem{Path: at, Text: text})
}

// name checks what people type and tables show.
func (c *checker) name(at document.Path, name string) {
	if !made(name, "._-") {
		c.report(at, fmt.Sprintf("%.40q is not a name: use 1 to %d letters, digits, dots, underscores and hyphens", name, MaxName))
	}
}

// tags checks words to search by. They may be structured, as in team=web or
// user:42.
func (c *checker) tags(at document.Path, tags []string) {
	if len(tags) > MaxTags {
		c.report(at, fmt.Sprintf("there are %d tags; there may be at most %d", len(tags), MaxTags))
		return
	}
	for i, tag := range tags {
		switch {
		case !made(tag, "._-:=/@+"):
			c.report(at.Index(i), fmt.Sprintf("%.40q is not a tag: use 1 to %d letters, digits and any of . _ - : = / @ +", tag, MaxName))
		case slices.Index(tags, tag) < i:
			c.report(at.Index(i), fmt.Sprintf("the tag %s is given twice", tag))
		}
	}
}

// made says whether text has the length of a name and is made of ASCII letters,
// digits and the marks.
func made(text, marks string) bool {
	if text == "" || len(text) > MaxName {
		return false
	}
	for _, b := range []byte(text) {
		switch {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9':
		case strings.IndexByte(marks, b) < 0:
			return false
		}
	}
	return true
}

func (c *checker) key(at document.Path, key string) {
	switch {
	case len(key) > MaxKey:
		c.report(at, fmt.Sprintf("is %d bytes long; a key may have at most %d", len(key), MaxKey))
	case strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r == 0x7F }):
		c.report(at, "has a control character")
	default:
		c.text(at, key)
	}
}

// needs checks the needs of the job called name. Circles of more than one job
// are found by looking at all jobs.
func (c *checker) needs(at document.Path, name string, needs []string, jobs map[string]Job, known []string) {
	var seen map[string]bool
	if len(needs) > 1 {
		seen = make(map[string]bool, len(needs))
	}
	for i, need := range needs {
		switch _, there := jobs[need]; {
		case need == name:
			c.report(at.Index(i), "a job cannot need itself")
		case !there:
			c.report(at.Index(i), fmt.Sprintf("there is no job called %.40q", need)+document.DidYouMean(need, known))
		case seen[need]:
			c.report(at.Index(i), fmt.Sprintf("the job %s is needed twice", need))
		}
		if seen != nil {
			seen[need] = true
		}
	}
}
