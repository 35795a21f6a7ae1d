package document

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// maxAliased bounds how many values of a document may come from aliases: a few
// nested aliases can stand for billions of values.
const maxAliased = 100_000

// parseYAML makes a tree of the one YAML document in text. The library judges
// the syntax and resolves the types; anchors, aliases and merge keys (<<) are
// resolved here, so that the tree is as plain as that of JSON.
func parseYAML(text []byte) (Value, *Problem) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var root, further yaml.Node
	switch err := decoder.Decode(&root); {
	case errors.Is(err, io.EOF):
		return Value{}, &Problem{Line: 1, Column: 1, Text: "is empty"}
	case err != nil:
		return Value{}, yamlProblem(err)
	}
	switch err := decoder.Decode(&further); {
	case err == nil:
		return Value{}, problemAt(yamlPlace(&further), "a second document begins here; a file holds one")
	case !errors.Is(err, io.EOF):
		return Value{}, yamlProblem(err)
	}
	var walk yamlWalk
	v := walk.value(root.Content[0], 0)
	if walk.aliased > maxAliased {
		return Value{}, &Problem{Text: fmt.Sprintf("its aliases stand for more than %d values", maxAliased)}
	}
	return v, nil
}

// yamlError takes the library's text apart: it tells the line nowhere else.
var yamlError = regexp.MustCompile(`^yaml: (?:line (\d+): )?(?s:(.*))$`)

// yamlHints say what would help against what people most often run into.
var yamlHints = map[string]string{
	"found character that cannot start any token":    "; indent with spaces, not tabs, and quote text that begins with a sign",
	"mapping values are not allowed in this context": "; quote text that has a colon and a blank in it, or write it below a |",
}

func yamlProblem(err error) *Problem {
	m := yamlError.FindStringSubmatch(err.Error())
	if m == nil {
		return &Problem{Text: "is not YAML: " + err.Error()}
	}
	line, _ := strconv.Atoi(m[1]) // No line reads as 0, which means the same.
	return &Problem{Line: line, Text: "is not YAML: " + m[2] + yamlHints[m[2]]}
}

func yamlPlace(n *yaml.Node) place {
	return place{line: int32(n.Line), column: int32(n.Column)}
}

// yamlWalk goes once over a tree of YAML nodes.
type yamlWalk struct {
	// open are the anchored nodes whose aliases are being followed: one that
	// leads back into them would never end.
	open []*yaml.Node
	// aliased counts the values made by following aliases.
	aliased int
}

// value makes a Value of n, which lies below depth others.
func (y *yamlWalk) value(n *yaml.Node, depth int) Value {
	at := yamlPlace(n)
	if len(y.open) > 0 {
		if y.aliased++; y.aliased > maxAliased {
			return Value{} // The whole document is refused.
		}
	}
	if depth > MaxDepth || depth == MaxDepth && n.Kind != yaml.ScalarNode {
		return invalid(at, tooDeep)
	}
	switch n.Kind {
	case yaml.AliasNode:
		if slices.Contains(y.open, n.Alias) {
			return invalid(at, "the alias *"+clip(n.Value)+" stands inside of what it stands for")
		}
		y.open = append(y.open, n.Alias)
		v := y.value(n.Alias, depth)
		y.open = y.open[:len(y.open)-1]
		v.place = at
		return v
	case yaml.MappingNode:
		if n.ShortTag() != "!!map" {
			return unknownTag(n)
		}
		return Value{place: at, kind: Map, members: y.members(n, depth)}
	case yaml.SequenceNode:
		if n.ShortTag() != "!!seq" {
			return unknownTag(n)
		}
		v := Value{place: at, kind: List, items: make([]Value, len(n.Content))}
		for i, item := range n.Content {
			v.items[i] = y.value(item, depth+1)
		}
		return v
	default:
		return yamlScalar(n)
	}
}

// members are the members of a mapping: those written in it, then those of its
// merge keys that it does not name itself.
func (y *yamlWalk) members(n *yaml.Node, depth int) []member {
	members := make([]member, 0, len(n.Content)/2)
	var merged []member
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.ShortTag() == "!!merge" {
			merged = append(merged, y.merged(key, value, depth)...)
			continue
		}
		m := member{place: yamlPlace(key), name: key.Value}
		switch tag := key.ShortTag(); {
		case key.Kind == yaml.ScalarNode && tag == "!!str":
			m.value = y.value(value, depth+1)
		case key.Kind == yaml.ScalarNode:
			m.value = invalid(m.place, fmt.Sprintf("a key must be a string; write %q", clip(key.Value)))
		default:
			m.value = invalid(m.place, "a key must be a string, not a list, a map or an alias")
		}
		members = append(members, m)
	}
	if merged == nil {
		return members
	}
	known := map[string]bool{}
	for _, m := range members {
		known[m.name] = true
	}
	for _, m := range merged {
		if !known[m.name] {
			known[m.name] = true
			members = append(members, m)
		}
	}
	return members
}

// merged are the members that a merge key brings: those of a map, or of several
// of which the first to name a member wins.
func (y *yamlWalk) merged(key, value *yaml.Node, depth int) []member {
	switch v := y.value(value, depth); v.kind {
	case Map:
		return v.members
	case List:
		var members []member
		for _, item := range v.items {
			if item.kind != Map {
				return []member{{place: yamlPlace(key), name: key.Value, value: invalid(item.place, "expected a map to merge, got "+item.got())}}
			}
			members = append(members, item.members...)
		}
		return members
	case Invalid:
		return []member{{place: yamlPlace(key), name: key.Value, value: v}}
	default:
		return []member{{place: yamlPlace(key), name: key.Value, value: invalid(v.place, "expected a map to merge, got "+v.got())}}
	}
}

// yamlScalar makes a Value of a node without children.
func yamlScalar(n *yaml.Node) Value {
	v := Value{place: yamlPlace(n), text: n.Value}
	switch n.ShortTag() {
	case "!!null":
		v.kind, v.text = Null, ""
		return v
	case "!!str", "!!merge":
		v.kind = String
		return v
	case "!!timestamp":
		v.kind = Time
		return v
	case "!!bool", "!!int", "!!float":
	default:
		return unknownTag(n)
	}
	var resolved any
	if err := n.Decode(&resolved); err != nil {
		return invalid(v.place, fmt.Sprintf("%q is not what its tag %s says", clip(n.Value), n.ShortTag()))
	}
	switch resolved := resolved.(type) {
	case bool:
		v.kind, v.text = Bool, strconv.FormatBool(resolved)
	case float64:
		v.kind, v.text = Number, floatLiteral(resolved)
	default: // one of the integer types
		v.kind, v.text = Number, fmt.Sprint(resolved)
	}
	return v
}

func unknownTag(n *yaml.Node) Value {
	return invalid(yamlPlace(n), fmt.Sprintf("the tag %s is not supported; leave it out", clip(n.ShortTag())))
}
