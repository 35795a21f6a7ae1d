package spec

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

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
		c.name("", "name", r.Name)
	}
	if r.Context != "" {
		c.name("", "context", r.Context)
	}
	c.key("", "key", r.Key)
	c.tags("", "tags", r.Tags)
	c.env("", "env", r.Env)
	c.dir("", "dir", r.Dir)
	c.limit("", "timeout", r.Timeout)

	switch n := len(r.Jobs); {
	case n == 0:
		c.report("jobs", "a run needs at least one job")
	case n > MaxJobs:
		c.report("jobs", fmt.Sprintf("there are %d jobs; a run may have at most %d", n, MaxJobs))
	default:
		c.jobs("jobs", r.Jobs, envBytes(r.Env))
	}
	return c.problems.Err()
}

// jobs checks all jobs of a run and the graph they form. The environment they
// inherit takes so many bytes.
func (c *checker) jobs(at document.Path, jobs map[string]Job, inherited int) {
	names := slices.Sorted(maps.Keys(jobs))
	edges := 0
	for _, name := range names {
		job, at := jobs[name], at.Key(name)
		if !made(name, nameMarks) {
			c.report(at, notAName(name))
		}
		c.action(at, &job.Action, inherited)
		c.needs(at, name, job.Needs, jobs, names)
		edges += len(job.Needs)
	}
	if edges == 0 {
		return
	}
	for _, cycle := range cycles(jobs) {
		c.report(at.Key(cycle[0]).Key("needs"), "the needs form a circle: "+drawCycle(cycle))
	}
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

// checker collects what is wrong with a spec. Its methods check the member
// called key of what is at a path: the path of a member is only put together
// where there is something to say about it.
type checker struct {
	problems document.Problems
}

func (c *checker) report(at document.Path, text string) {
	c.problems.Add(document.Problem{Path: at, Text: text})
}

// nameMarks and tagMarks are what may stand in names and tags beside letters and
// digits. Names are what people type and tables show; tags may be structured, as
// in team=web or user:42.
const (
	nameMarks = "._-"
	tagMarks  = "._-:=/@+"
)

func (c *checker) name(at document.Path, key, name string) {
	if !made(name, nameMarks) {
		c.report(at.Key(key), notAName(name))
	}
}

func notAName(name string) string {
	return fmt.Sprintf("%.40q is not a name: use 1 to %d letters, digits, dots, underscores and hyphens", name, MaxName)
}

func (c *checker) tags(at document.Path, key string, tags []string) {
	if len(tags) > MaxTags {
		c.report(at.Key(key), fmt.Sprintf("there are %d tags; there may be at most %d", len(tags), MaxTags))
		return
	}
	for i, tag := range tags {
		switch {
		case !made(tag, tagMarks):
			c.report(at.Key(key).Index(i), fmt.Sprintf("%.40q is not a tag: use 1 to %d letters, digits and any of . _ - : = / @ +", tag, MaxName))
		case slices.Index(tags, tag) < i:
			c.report(at.Key(key).Index(i), fmt.Sprintf("the tag %s is given twice", tag))
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

// key checks an idempotency key, where one is given.
func (c *checker) key(at document.Path, member, key string) {
	switch {
	case len(key) > MaxKey:
		c.report(at.Key(member), fmt.Sprintf("is %d bytes long; a key may have at most %d", len(key), MaxKey))
	case strings.ContainsFunc(key, unicode.IsControl):
		c.report(at.Key(member), "has a control character")
	case !utf8.ValidString(key):
		c.report(at.Key(member), notUTF8)
	}
}

// needs checks the needs of the job called name. Circles of more than one job
// are found by looking at all jobs.
func (c *checker) needs(at document.Path, name string, needs []string, jobs map[string]Job, names []string) {
	seen := make(map[string]bool, len(needs))
	for i, need := range needs {
		text := ""
		switch _, there := jobs[need]; {
		case need == name:
			text = "a job cannot need itself"
		case !there:
			text = fmt.Sprintf("there is no job called %.40q", need) + document.DidYouMean(need, names)
		case seen[need]:
			text = fmt.Sprintf("the job %s is needed twice", need)
		}
		if text != "" {
			c.report(at.Key("needs").Index(i), text)
		}
		seen[need] = true
	}
}
