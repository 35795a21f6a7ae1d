package document

import (
	"strconv"
	"strings"
)

// Path names a place inside a document, such as jobs.build.needs[1]. The root is
// empty. A name that would be misread, one with a dot in it for example, is
// quoted: jobs."build.all".needs.
type Path string

// Key is the place of the member called name.
func (p Path) Key(name string) Path {
	if !plain(name) {
		name = strconv.Quote(clip(name))
	}
	if p == "" {
		return Path(name)
	}
	return p + "." + Path(name)
}

// Index is the place of the i-th item, counted from 0.
func (p Path) Index(i int) Path {
	return p + Path("["+strconv.Itoa(i)+"]")
}

// Join is the place that rest names when it is seen from p.
func (p Path) Join(rest Path) Path {
	if p == "" || rest == "" || rest[0] == '[' {
		return p + rest
	}
	return p + "." + rest
}

// parent is the place one step up; the root has none. Inside a quoted name it
// may stop half-way, at a place that does not exist: its users go on from there.
func (p Path) parent() (Path, bool) {
	if p == "" {
		return "", false
	}
	return p[:max(strings.LastIndexAny(string(p), ".["), 0)], true
}

// covers says whether q is p or lies below it.
func (p Path) covers(q Path) bool {
	rest, ok := strings.CutPrefix(string(q), string(p))
	return ok && (p == "" || rest == "" || rest[0] == '.' || rest[0] == '[')
}

// plain says whether a name can stand in a path as it is.
func plain(name string) bool {
	for _, c := range []byte(name) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-':
		default:
			return false
		}
	}
	return name != "" && len(name) <= maxShown
}

// maxShown bounds, in bytes, what a message repeats of a document: enough to
// recognise it, too little to flood a terminal or a log.
const maxShown = 128

// clip cuts text to what a message may repeat.
func clip(text string) string {
	if len(text) <= maxShown {
		return text
	}
	return strings.ToValidUTF8(text[:maxShown], "") + "…"
}
