package document

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// parseTOML makes a tree of TOML text. The library judges the syntax and makes
// maps; a second pass over its tokens finds where each value was written.
func parseTOML(text []byte) (Value, *Problem) {
	var root map[string]any
	if err := toml.Unmarshal(text, &root); err != nil {
		problem := &Problem{Text: "is not TOML: " + strings.TrimPrefix(err.Error(), "toml: ")}
		var decode *toml.DecodeError
		if errors.As(err, &decode) {
			problem.Line, problem.Column = decode.Position()
		}
		return Value{}, problem
	}
	return tomlValue(root, "", findTOML(text), 0), nil
}

// tomlValue makes a Value of what the library has made of the value at path.
func tomlValue(from any, path Path, places map[Path]place, depth int) Value {
	v := Value{place: places[path]}
	switch from := from.(type) {
	case map[string]any:
		if depth >= MaxDepth {
			return invalid(v.place, tooDeep)
		}
		v.kind = Map
		for name, value := range from {
			member := Member{Name: name, Value: tomlValue(value, path.Key(name), places, depth+1)}
			member.place = member.Value.place
			v.members = append(v.members, member)
		}
		// The map has lost the order of the text; the places have it.
		slices.SortFunc(v.members, func(a, b Member) int {
			return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.column, b.column), cmp.Compare(a.Name, b.Name))
		})
	case []any:
		if depth >= MaxDepth {
			return invalid(v.place, tooDeep)
		}
		v.kind = List
		for i, item := range from {
			v.items = append(v.items, tomlValue(item, path.Index(i), places, depth+1))
		}
	case string:
		v.kind, v.text = String, from
	case bool:
		v.kind, v.text = Bool, strconv.FormatBool(from)
	case int64:
		v.kind, v.text = Number, strconv.FormatInt(from, 10)
	case float64:
		v.kind, v.text = Number, strconv.FormatFloat(from, 'g', -1, 64)
	case time.Time:
		v.kind, v.text = Time, from.Format(time.RFC3339Nano)
	default: // a date or a time without a zone, each a type of its own
		v.kind, v.text = Time, fmt.Sprint(from)
	}
	return v
}

// findTOML finds the place of every value in text, which is valid TOML.
func findTOML(text []byte) map[Path]place {
	f := tomlFinder{
		lines:  newLines(text),
		places: map[Path]place{"": {line: 1, column: 1}},
		arrays: map[Path]int{},
	}
	f.parser.Reset(text)
	var table Path // what the keys that follow a header belong to
	depth := 0
	for f.parser.NextExpression() {
		switch e := f.parser.Expression(); e.Kind {
		case unstable.Table, unstable.ArrayTable:
			table, depth = f.key(e, "", 0)
		case unstable.KeyValue:
			f.member(e, table, depth)
		}
	}
	return f.places
}

type tomlFinder struct {
	parser unstable.Parser
	lines  lines
	places map[Path]place
	// arrays counts the tables that [[headers]] have appended so far to the list
	// at a path: later headers and keys mean the last of them.
	arrays map[Path]int
}

// key follows the dotted key of e from path on, noting the parts that are new,
// and answers where it ends and how deep that is. Below MaxDepth nothing is
// noted: the tree ends there.
func (f *tomlFinder) key(e *unstable.Node, path Path, depth int) (Path, int) {
	for parts := e.Key(); parts.Next() && depth <= MaxDepth; depth++ {
		part := parts.Node()
		at := f.lines.place(int(part.Raw.Offset))
		path = path.Key(string(part.Data))
		f.note(path, at)
		if e.Kind == unstable.ArrayTable && parts.IsLast() {
			f.arrays[path]++
		}
		if n := f.arrays[path]; n > 0 {
			path = path.Index(n - 1)
			depth++
			f.note(path, at)
		}
	}
	return path, depth
}

// member notes the places of a key and its value.
func (f *tomlFinder) member(e *unstable.Node, path Path, depth int) {
	path, depth = f.key(e, path, depth)
	f.value(e.Value(), path, depth)
}

// value notes the places inside of the value at path. Its own place is that of
// its key, or of the list it stands in where the library tells none.
func (f *tomlFinder) value(n *unstable.Node, path Path, depth int) {
	if depth > MaxDepth {
		return
	}
	at := f.places[path]
	i := 0
	for children := n.Children(); children.Next(); {
		child := children.Node()
		switch n.Kind {
		case unstable.InlineTable:
			f.member(child, path, depth)
		case unstable.Array:
			item := path.Index(i)
			if child.Raw.Length > 0 {
				f.note(item, f.lines.place(int(child.Raw.Offset)))
			} else {
				f.note(item, at)
			}
			f.value(child, item, depth+1)
			i++
		}
	}
}

func (f *tomlFinder) note(path Path, at place) {
	if _, ok := f.places[path]; !ok {
		f.places[path] = at
	}
}
