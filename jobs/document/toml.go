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
// maps; a pass over its tokens finds where each value is written. It comes first,
// because a key of a million dots is cheap as tokens and ruinous as maps.
func parseTOML(text []byte) (Value, *Problem) {
	places, problem := findTOML(text)
	if problem != nil {
		return Value{}, problem
	}
	var root map[string]any
	if err := toml.Unmarshal(text, &root); err != nil {
		problem := &Problem{Text: "is not TOML: " + strings.TrimPrefix(err.Error(), "toml: ")}
		var decode *toml.DecodeError
		if errors.As(err, &decode) {
			problem.Line, problem.Column = decode.Position()
		}
		return Value{}, problem
	}
	return tomlValue(root, "", places), nil
}

// tomlValue makes a Value of what the library has made of the value at path.
func tomlValue(from any, path Path, places map[Path]place) Value {
	v := Value{place: places[path]}
	switch from := from.(type) {
	case map[string]any:
		v.kind = Map
		for name, value := range from {
			inner := tomlValue(value, path.Key(name), places)
			v.members = append(v.members, member{place: inner.place, name: name, value: inner})
		}
		// The map has lost the order of the text; the places have it.
		slices.SortFunc(v.members, func(a, b member) int {
			return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.column, b.column), cmp.Compare(a.name, b.name))
		})
	case []any:
		v.kind = List
		for i, item := range from {
			v.items = append(v.items, tomlValue(item, path.Index(i), places))
		}
	case string:
		v.kind, v.text = String, from
	case bool:
		v.kind, v.text = Bool, strconv.FormatBool(from)
	case int64:
		v.kind, v.text = Number, strconv.FormatInt(from, 10)
	case float64:
		v.kind, v.text = Number, floatLiteral(from)
	case time.Time:
		v.kind, v.text = Time, from.Format(time.RFC3339Nano)
	default: // a date or a time without a zone, each a type of its own
		v.kind, v.text = Time, fmt.Sprint(from)
	}
	return v
}

// findTOML finds the place of every value in text, as far as its syntax is right,
// and refuses what lies too deep.
func findTOML(text []byte) (map[Path]place, *Problem) {
	f := tomlFinder{
		lines:  newLines(text),
		places: map[Path]place{"": {line: 1, column: 1}},
		arrays: map[Path]int{},
	}
	f.parser.Reset(text)
	var table spot // what the keys that follow a header belong to
	for f.parser.NextExpression() && f.problem == nil {
		switch e := f.parser.Expression(); e.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = f.key(e, spot{})
		case unstable.KeyValue:
			f.member(e, table)
		}
	}
	return f.places, f.problem
}

// spot is a path and how deep it leads.
type spot struct {
	path  Path
	depth int
}

type tomlFinder struct {
	parser  unstable.Parser
	lines   lines
	places  map[Path]place
	problem *Problem
	// arrays counts the tables that [[headers]] have appended so far to the list
	// at a path: later headers and keys mean the last of them.
	arrays map[Path]int
}

// key follows the dotted key of e and answers where it ends.
func (f *tomlFinder) key(e *unstable.Node, s spot) spot {
	for parts := e.Key(); parts.Next() && f.problem == nil; {
		part := parts.Node()
		at := f.lines.place(int(part.Raw.Offset))
		s = f.note(spot{s.path.Key(string(part.Data)), s.depth + 1}, at)
		if e.Kind == unstable.ArrayTable && parts.IsLast() {
			f.arrays[s.path]++
		}
		if n := f.arrays[s.path]; n > 0 {
			s = f.note(spot{s.path.Index(n - 1), s.depth + 1}, at)
		}
	}
	return s
}

// member notes the places of a key and its value.
func (f *tomlFinder) member(e *unstable.Node, s spot) {
	s = f.key(e, s)
	f.value(e.Value(), s)
}

// value notes the places inside of the value at a spot. Its own place is that of
// its key, or of the list it stands in where the library tells none.
func (f *tomlFinder) value(n *unstable.Node, s spot) {
	i := 0
	for children := n.Children(); children.Next() && f.problem == nil; {
		child := children.Node()
		switch n.Kind {
		case unstable.InlineTable:
			f.member(child, s)
		case unstable.Array:
			at := f.places[s.path]
			if child.Raw.Length > 0 {
				at = f.lines.place(int(child.Raw.Offset))
			}
			f.value(child, f.note(spot{s.path.Index(i), s.depth + 1}, at))
			i++
		}
	}
}

// note remembers where a spot was first seen.
func (f *tomlFinder) note(s spot, at place) spot {
	if s.depth > MaxDepth {
		f.problem = problemAt(at, tooDeep)
	} else if _, ok := f.places[s.path]; !ok {
		f.places[s.path] = at
	}
	return s
}
