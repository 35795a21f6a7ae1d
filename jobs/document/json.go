package document

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// tooDeep is said of a value that lies deeper than MaxDepth.
var tooDeep = fmt.Sprintf("lies more than %d levels deep", MaxDepth)

// parseJSONFile is parseJSON for a text in which lines matter.
func parseJSONFile(text []byte) (Value, *Problem) {
	return parseJSON(text, newLines(text))
}

// parseJSON makes a tree of JSON text. encoding/json judges the syntax; the walk
// over what it accepts is ours, because neither its tokens nor its maps say
// where a value begins or that a name is written twice.
func parseJSON(text []byte, lines lines) (Value, *Problem) {
	if !json.Valid(text) {
		return Value{}, jsonProblem(text, lines)
	}
	j := jsonWalk{text: text, lines: lines}
	j.skipSpace()
	return j.value(0), nil
}

// jsonProblem says what is wrong with text that is no JSON.
func jsonProblem(text []byte, lines lines) *Problem {
	if len(bytes.TrimSpace(text)) == 0 {
		return problemAt(lines.place(0), "is empty")
	}
	var raw json.RawMessage
	err := json.Unmarshal(text, &raw)
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return &Problem{Text: fmt.Sprintf("is not JSON: %v", err)}
	}
	return problemAt(lines.place(max(0, int(syntax.Offset)-1)), "is not JSON: "+syntax.Error())
}

// jsonWalk goes once over text that is known to be valid JSON.
type jsonWalk struct {
	text  []byte
	lines lines
	next  int // the offset of the byte to look at next
}

func (j *jsonWalk) skipSpace() {
	for j.next < len(j.text) {
		switch j.text[j.next] {
		case ' ', '\t', '\r', '\n':
			j.next++
		default:
			return
		}
	}
}

// value reads the value that begins here, below depth others, and what is blank
// behind it.
func (j *jsonWalk) value(depth int) Value {
	at := j.lines.place(j.next)
	v := Value{place: at}
	switch c := j.text[j.next]; c {
	case '{', '[':
		if depth >= MaxDepth {
			j.skipNested()
			v = invalid(at, tooDeep)
		} else if c == '{' {
			v.kind, v.members = Map, j.members(depth)
		} else {
			v.kind, v.items = List, j.items(depth)
		}
	case '"':
		text, ok := j.string()
		if v.kind, v.text = String, text; !ok {
			v = invalid(at, halfSurrogate)
		}
	case 't', 'f':
		v.kind, v.text = Bool, j.literal()
	case 'n':
		j.literal()
		v.kind = Null
	default:
		v.kind, v.text = Number, j.literal()
	}
	j.skipSpace()
	return v
}

// more steps over the opening bracket, or the comma between two elements, and
// says whether another element follows; at the closing bracket it steps over it.
func (j *jsonWalk) more(closing byte) bool {
	if j.text[j.next] != closing {
		j.next++
		j.skipSpace()
	}
	if j.text[j.next] != closing {
		return true
	}
	j.next++
	return false
}

// few is the room that lists and maps begin with: most of those in parameters
// fit, and growing them one by one was a quarter of the time.
const few = 4

func (j *jsonWalk) members(depth int) []member {
	if !j.more('}') {
		return nil
	}
	members := make([]member, 0, few)
	for more := true; more; more = j.more('}') {
		m := member{place: j.lines.place(j.next)}
		name, ok := j.string()
		j.skipSpace()
		j.next++ // the colon
		j.skipSpace()
		m.name, m.value = name, j.value(depth+1)
		if !ok {
			m.value = invalid(m.place, halfSurrogate)
		}
		members = append(members, m)
	}
	return members
}

func (j *jsonWalk) items(depth int) []Value {
	if !j.more(']') {
		return nil
	}
	items := make([]Value, 0, few)
	for more := true; more; more = j.more(']') {
		items = append(items, j.value(depth+1))
	}
	return items
}

// literal reads a number, true, false or null.
func (j *jsonWalk) literal() string {
	start := j.next
	for ; j.next < len(j.text); j.next++ {
		switch j.text[j.next] {
		case ' ', '\t', '\r', '\n', ',', ']', '}':
			return string(j.text[start:j.next])
		}
	}
	return string(j.text[start:])
}

// skipNested steps over a map or a list without a look at what is inside.
func (j *jsonWalk) skipNested() {
	for depth := 0; ; {
		switch j.text[j.next] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case '"':
			j.skipString()
			continue
		}
		j.next++
		if depth == 0 {
			return
		}
	}
}

// skipString steps over a string and says whether it has escapes.
func (j *jsonWalk) skipString() (escaped bool) {
	for j.next++; j.text[j.next] != '"'; j.next++ {
		if j.text[j.next] == '\\' {
			escaped = true
			j.next++
		}
	}
	j.next++
	return escaped
}

// halfSurrogate is said of a string that JSON allows and Unicode does not.
const halfSurrogate = `has half of a surrogate pair, which is no character; write both halves, or the character itself`

// string reads the string that begins here. It is not ok if it names a surrogate
// without its other half, for which there is no character.
func (j *jsonWalk) string() (text string, ok bool) {
	start := j.next + 1
	if escaped := j.skipString(); escaped {
		return unescape(string(j.text[start : j.next-1]))
	}
	return string(j.text[start : j.next-1]), true
}

// unescape resolves the escapes in the inside of a valid JSON string.
func unescape(s string) (text string, ok bool) {
	var b strings.Builder
	b.Grow(len(s))
	ok = true
	for {
		plain, rest, escaped := strings.Cut(s, `\`)
		b.WriteString(plain)
		if !escaped {
			return b.String(), ok
		}
		c := rest[0]
		s = rest[1:]
		switch c {
		case 'b':
			b.WriteByte('\b')
		case 'f':
			b.WriteByte('\f')
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 't':
			b.WriteByte('\t')
		case 'u':
			r := hex4(s)
			s = s[4:]
			if utf16.IsSurrogate(r) {
				if low, found := strings.CutPrefix(s, `\u`); found {
					r = utf16.DecodeRune(r, hex4(low))
				} else {
					r = utf8.RuneError
				}
				if r == utf8.RuneError {
					ok = false
				} else {
					s = s[len(`\uXXXX`):]
				}
			}
			b.WriteRune(r)
		default: // a quotation mark, a backslash or a slash stands for itself
			b.WriteByte(c)
		}
	}
}

// hex4 is the number that the first four bytes of s write; in valid JSON they
// are hexadecimal digits.
func hex4(s string) rune {
	n, _ := strconv.ParseUint(s[:4], 16, 16)
	return rune(n)
}
