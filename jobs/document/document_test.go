package document_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/heroproc/heroproc/jobs/document"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// fleet is a document type with one field for everything the decoder knows.
type fleet struct {
	base
	On       bool              `json:"on"`
	Port     int               `json:"port"`
	Small    int8              `json:"small"`
	Count    uint16            `json:"count"`
	Ratio    float64           `json:"ratio"`
	Names    []string          `json:"names" hint:"write [\"name\"]"`
	Labels   map[string]string `json:"labels"`
	Limit    *int              `json:"limit"`
	Extra    any               `json:"extra"`
	At       time.Time         `json:"at"`
	Ships    map[string]ship   `json:"ships"`
	Rows     [][]int           `json:"rows"`
	Hidden   string            `json:"-"`
	Untagged string
}

type base struct {
	Name string `json:"name"`
}

// ship has a preset and a field that reads itself.
type ship struct {
	Crew  int   `json:"crew"`
	Speed speed `json:"speed"`
	Next  *ship `json:"next"`
}

func (s *ship) Preset() { s.Crew = 3 }

// speed is written as a number of knots or as {knots: N}.
type speed int

func (s *speed) UnmarshalDocument(v *document.Value) error {
	switch v.Kind() {
	case document.Number:
		return v.Decode((*int)(s))
	case document.Map:
		var long struct {
			Knots int `json:"knots"`
		}
		err := v.Decode(&long)
		*s = speed(long.Knots)
		return err
	default:
		return fmt.Errorf("expected a speed, got %s", v.Kind())
	}
}

// decode reads text as a file called name and returns the messages.
func decode(name, text string, into any) []string {
	doc, err := document.Parse(name, []byte(text))
	if err == nil {
		err = doc.Decode(into)
	}
	return messages(err)
}

func messages(err error) []string {
	if err == nil {
		return nil
	}
	return strings.Split(err.Error(), "\n")
}

func TestOneDocumentInThreeFormats(t *testing.T) {
	t.Parallel()

	texts := map[string]string{
		"fleet.yaml": `
name: red
on: true
port: 8080
small: -128
count: 65535
ratio: 0.25
names: [a, "b c", "é\n"]
labels: {x: "1", "a.b": two}
limit: 7
extra: {n: 1, f: 1.5, s: text, l: [true, null], big: 1e30}
at: "2026-01-02T03:04:05Z"
ships:
  one: {speed: 5}
  two:
    crew: 9
    speed: {knots: 6}
    next: {}
rows: [[1, 2], []]
Untagged: here
`,
		"fleet.json": `{
	"name": "red", "on": true, "port": 8080, "small": -128, "count": 65535, "ratio": 0.25,
	"names": ["a", "b c", "\u00e9\n"],
	"labels": {"x": "1", "a.b": "two"},
	"limit": 7,
	"extra": {"n": 1, "f": 1.5, "s": "text", "l": [true, null], "big": 1e30},
	"at": "2026-01-02T03:04:05Z",
	"ships": {"one": {"speed": 5}, "two": {"crew": 9, "speed": {"knots": 6}, "next": {}}},
	"rows": [[1, 2], []],
	"Untagged": "here"
}`,
		"fleet.toml": `
name = "red"
on = true
port = 8_080
small = -128
count = 0xFFFF
ratio = 0.25
names = ["a", "b c", "é\n"]
labels = {x = "1", "a.b" = "two"}
limit = 7
at = "2026-01-02T03:04:05Z"
rows = [[1, 2], []]
Untagged = "here"
[extra]
n = 1
f = 1.5
s = "text"
l = [true]
big = 1e30
[ships]
one.speed = 5
[ships.two]
crew = 9
speed = {knots = 6}
[ships.two.next]
`,
	}
	want := fleet{
		base: base{Name: "red"}, On: true, Port: 8080, Small: -128, Count: 65535, Ratio: 0.25,
		Names:  []string{"a", "b c", "é\n"},
		Labels: map[string]string{"x": "1", "a.b": "two"},
		Limit:  new(7),
		Extra:  map[string]any{"n": int64(1), "f": 1.5, "s": "text", "l": []any{true, nil}, "big": 1e30},
		At:     time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Ships: map[string]ship{
			"one": {Crew: 3, Speed: 5},
			"two": {Crew: 9, Speed: 6, Next: &ship{Crew: 3}},
		},
		Rows:     [][]int{{1, 2}, {}},
		Untagged: "here",
	}
	for name, text := range texts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got fleet
			if problems := decode(name, text, &got); problems != nil {
				t.Fatalf("problems: %q", problems)
			}
			want := want
			if name == "fleet.toml" { // TOML has no null.
				want.Extra = map[string]any{"n": int64(1), "f": 1.5, "s": "text", "l": []any{true}, "big": 1e30}
			}
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(fleet{})); diff != "" {
				t.Errorf("decoded document (-want +got):\n%s", diff)
			}
		})
	}
}

func TestProblems(t *testing.T) {
	t.Parallel()

	tests := []struct {
		name string
		file string // its extension tells the format
		text string
		want []string
	}{
		{
			name: "unknown keys are reported at every level with a near name",
			file: "f.yaml",
			text: "prt: 1\nships:\n  one:\n    crw: 2\n    zzzzzz: 1\n",
			want: []string{
				`f.yaml:1: prt: unknown key; did you mean port?`,
				`f.yaml:4: ships.one.crw: unknown key; did you mean crew?`,
				`f.yaml:5: ships.one.zzzzzz: unknown key; known are crew, next, speed`,
			},
		},
		{
			name: "case counts",
			file: "f.json",
			text: `{"Port": 1}`,
			want: []string{`f.json:1: Port: unknown key; did you mean port?`},
		},
		{
			name: "a field that is no part of documents is unknown",
			file: "f.json",
			text: `{"Hidden": "x"}`,
			want: []string{`f.json:1: Hidden: unknown key; known are Untagged, at, count, extra, labels, limit, name, names, on, port, ratio, rows, ships, small`},
		},
		{
			name: "nothing is guessed from another type",
			file: "f.yaml",
			text: "name: 5\non: \"true\"\nport: \"5\"\nratio: yes\nnames: a\nlabels: [a]\nships: 1\nat: 5\nlimit: [1]\nrows: [1]\n",
			want: []string{
				`f.yaml:1: name: expected a string, got the number 5; write "5"`,
				`f.yaml:2: on: expected true or false, got a string`,
				`f.yaml:3: port: expected a whole number, got a string`,
				`f.yaml:4: ratio: expected a number, got a string`,
				`f.yaml:5: names: expected a list of strings, got a string; write ["name"]`,
				`f.yaml:6: labels: expected a map of strings, got a list`,
				`f.yaml:7: ships: expected a map of maps, got the number 1`,
				`f.yaml:8: at: expected a string, got the number 5; write "5"`,
				`f.yaml:9: limit: expected a whole number, got a list`,
				`f.yaml:10: rows[0]: expected a list of whole numbers, got the number 1`,
			},
		},
		{
			name: "an unquoted date is no string",
			file: "f.yaml",
			text: "name: 2026-01-02\nlabels: {a: true}\n",
			want: []string{
				`f.yaml:1: name: expected a string, got the date 2026-01-02; write "2026-01-02"`,
				`f.yaml:2: labels.a: expected a string, got true; write "true"`,
			},
		},
		{
			name: "a date of TOML is no string",
			file: "f.toml",
			text: "name = 2026-01-02\n[labels]\na = 2026-01-02T03:04:05Z\nb = 03:04:05\n",
			want: []string{
				`f.toml:1: name: expected a string, got the date 2026-01-02; write "2026-01-02"`,
				`f.toml:3: labels.a: expected a string, got the date 2026-01-02T03:04:05Z; write "2026-01-02T03:04:05Z"`,
				`f.toml:4: labels.b: expected a string, got the date 03:04:05; write "03:04:05"`,
			},
		},
		{
			name: "numbers that do not fit are refused",
			file: "f.json",
			text: "{\"small\": 128,\n\"count\": -1,\n\"port\": 1.5,\n\"limit\": 99999999999999999999,\n\"ratio\": 1e999}",
			want: []string{
				`f.json:1: small: 128 is out of range`,
				`f.json:2: count: expected a whole number from 0, got -1`,
				`f.json:3: port: expected a whole number, got the number 1.5`,
				`f.json:4: limit: 99999999999999999999 is out of range`,
				`f.json:5: ratio: 1e999 is out of range`,
			},
		},
		{
			name: "a fraction is no whole number in YAML",
			file: "f.yaml",
			text: "port: 1.0\nsmall: 1e2\ncount: 0x10\n",
			want: []string{
				`f.yaml:1: port: expected a whole number, got the number 1.0`,
				`f.yaml:2: small: expected a whole number, got the number 100.0`,
			},
		},
		{
			name: "a fraction is no whole number in TOML",
			file: "f.toml",
			text: "port = 1.0\nratio = inf\n",
			want: []string{
				`f.toml:1: port: expected a whole number, got the number 1.0`,
				`f.toml:2: ratio: expected a number, got one that is not finite`,
			},
		},
		{
			name: "what is not finite is no number",
			file: "f.yaml",
			text: "ratio: .nan\nextra: [.inf]\n",
			want: []string{
				`f.yaml:1: ratio: expected a number, got one that is not finite`,
				`f.yaml:2: extra[0]: expected a number, got one that is not finite`,
			},
		},
		{
			name: "nothing is an empty list, map or pointer, and no string",
			file: "f.yaml",
			text: "names:\nlabels: ~\nlimit: null\nextra:\nships:\n  one:\nname:\nport:\n",
			want: []string{
				`f.yaml:6: ships.one: expected a map, got nothing`,
				`f.yaml:7: name: expected a string, got nothing`,
				`f.yaml:8: port: expected a whole number, got nothing`,
			},
		},
		{
			name: "a key given twice is refused, wherever it is",
			file: "f.json",
			text: "{\"port\": 1,\n\"port\": 2,\n\"labels\": {\"a\": \"1\",\n\"a\": \"2\"},\n\"extra\": {\"b\": 1,\n\"b\": 2}}",
			want: []string{
				`f.json:2: port: is given twice; only one can count`,
				`f.json:4: labels.a: is given twice; only one can count`,
				`f.json:6: extra.b: is given twice; only one can count`,
			},
		},
		{
			name: "YAML keys given twice are problems like any other",
			file: "f.yaml",
			text: "port: 1\nprt: 1\nport: 2\n",
			want: []string{
				`f.yaml:2: prt: unknown key; did you mean port?`,
				`f.yaml:3: port: is given twice; only one can count`,
			},
		},
		{
			name: "TOML keys given twice are refused by its own rules",
			file: "f.toml",
			text: "port = 1\nport = 2\n",
			want: []string{`f.toml:2: is not TOML: key port is already defined`},
		},
		{
			name: "a type that reads itself reports inside of itself",
			file: "f.yaml",
			text: "ships:\n  one:\n    speed: fast\n  two:\n    speed: {knts: 1}\n  \"th.ree\":\n    speed: 1.5\n",
			want: []string{
				`f.yaml:3: ships.one.speed: expected a speed, got a string`,
				`f.yaml:5: ships.two.speed.knts: unknown key; did you mean knots?`,
				`f.yaml:7: ships."th.ree".speed: expected a whole number, got the number 1.5`,
			},
		},
		{
			name: "a type that reads itself from text reports what it has to say",
			file: "f.json",
			text: `{"at": "noon"}`,
			want: []string{`f.json:1: at: parsing time "noon" as "2006-01-02T15:04:05Z07:00": cannot parse "noon" as "2006"`},
		},
		{
			name: "the root has the wrong type",
			file: "f.yaml",
			text: "- a\n",
			want: []string{`f.yaml:1: expected a map, got a list`},
		},
		{
			name: "keys that are no strings",
			file: "f.yaml",
			text: "1: a\nlabels:\n  2: x\n  true: y\n  [a]: z\n",
			want: []string{
				`f.yaml:1: 1: a key must be a string; write "1"`,
				`f.yaml:3: labels.2: a key must be a string; write "2"`,
				`f.yaml:4: labels.true: a key must be a string; write "true"`,
				`f.yaml:5: labels."": a key must be a string, not a list, a map or an alias`,
			},
		},
		{
			name: "tags that nobody knows",
			file: "f.yaml",
			text: "name: !env HOME\nlabels: !!set {a}\nnames: !foo [a]\nextra: !!binary aGk=\nport: !!int x\n",
			want: []string{
				`f.yaml:1: name: the tag !env is not supported; leave it out`,
				`f.yaml:2: labels: the tag !!set is not supported; leave it out`,
				`f.yaml:3: names: the tag !foo is not supported; leave it out`,
				`f.yaml:4: extra: the tag !!binary is not supported; leave it out`,
				`f.yaml:5: port: "x" is not what its tag !!int says`,
			},
		},
		{
			name: "half of a surrogate pair",
			file: "f.json",
			text: `{"name": "\ud83d", "names": ["\ud83d\ude00", "\ude00x", "\ud83d\u0041"], "labels": {"\udead": "x"}}`,
			want: []string{
				`f.json:1: name: has half of a surrogate pair, which is no character; write both halves, or the character itself`,
				`f.json:1: names[1]: has half of a surrogate pair, which is no character; write both halves, or the character itself`,
				`f.json:1: names[2]: has half of a surrogate pair, which is no character; write both halves, or the character itself`,
				`f.json:1: labels."�": has half of a surrogate pair, which is no character; write both halves, or the character itself`,
			},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var into fleet
			got := decode(test.file, test.text, &into)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTOMLPlaces(t *testing.T) {
	t.Parallel()

	type table struct {
		N    int     `json:"n"`
		List []int   `json:"list"`
		Sub  *table  `json:"sub"`
		Subs []table `json:"subs"`
	}
	text := `n = "1"
list = [
  1, "2",
  [3],
]
[[subs]]
n = "4"
[[subs]]
sub.sub.n = "5"
[[subs.subs]]
[subs.subs.sub]
n = "6"
[[subs.subs]]
list = [[], {n = 1}]
subs = [
  {n = 1},
  {n = "7", subs = [ {
     n = "8" } ]},
]
`
	want := []string{
		`t.toml:1: n: expected a whole number, got a string`,
		// A list that stands in a list is found on the outer one's line.
		`t.toml:2: list[2]: expected a whole number, got a list`,
		`t.toml:3: list[1]: expected a whole number, got a string`,
		`t.toml:7: subs[0].n: expected a whole number, got a string`,
		`t.toml:9: subs[1].sub.sub.n: expected a whole number, got a string`,
		`t.toml:12: subs[1].subs[0].sub.n: expected a whole number, got a string`,
		`t.toml:14: subs[1].subs[1].list[0]: expected a whole number, got a list`,
		`t.toml:14: subs[1].subs[1].list[1]: expected a whole number, got a map`,
		`t.toml:17: subs[1].subs[1].subs[1].n: expected a whole number, got a string`,
		`t.toml:18: subs[1].subs[1].subs[1].subs[0].n: expected a whole number, got a string`,
	}
	if diff := cmp.Diff(want, decode("t.toml", text, &table{})); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestTextThatIsNoDocument(t *testing.T) {
	t.Parallel()

	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	tests := []struct {
		name, file, text, want string
	}{
		{"an empty YAML file", "f.yaml", "", "f.yaml:1: is empty"},
		{"a YAML file of comments", "f.yaml", "# later\n", "f.yaml:1: is empty"},
		{"an empty JSON file", "f.json", " \n", "f.json:1: is empty"},
		{"broken YAML", "f.yaml", "a: 1\nb: [\n", "f.yaml:2: is not YAML: did not find expected node content"},
		{"a tab in YAML", "f.yaml", "a:\n\tb: 1\n", "f.yaml:2: is not YAML: found character that cannot start any token; indent with spaces, not tabs, and quote text that begins with a sign"},
		{"an alias to nowhere", "f.yaml", "a: *x\n", "f.yaml: is not YAML: unknown anchor 'x' referenced"},
		{"broken JSON", "f.json", "{\n  \"a\": 1,\n}", "f.json:3: is not JSON: invalid character '}' looking for beginning of object key string"},
		{"JSON that ends early", "f.json", "{\n\"a\": 1", "f.json:2: is not JSON: unexpected end of JSON input"},
		{"broken TOML", "f.toml", "a = 1\nb =\n", "f.toml:2: is not TOML: unexpected character U+000A at start of value"},
		{"a second YAML document", "f.yaml", "a: 1\n---\nb: 2\n", "f.yaml:2: a second document begins here; a file holds one"},
		{"an empty second YAML document", "f.yaml", "a: 1\n---\n", "f.yaml:2: a second document begins here; a file holds one"},
		{"a broken second YAML document", "f.yaml", "a: 1\n---\n]\n", "f.yaml:2: is not YAML: did not find expected node content"},
		{"a second JSON value", "f.json", "{}\n{}", "f.json:2: is not JSON: invalid character '{' after top-level value"},
		{"a binary file", "f.yaml", "\x7fELF\n\x02\x00\x00", "f.yaml:2: is not text: it has a zero byte here"},
		{"UTF-16", "f.yaml", "\xff\xfea\x00", "f.yaml:1: is UTF-16; save it as UTF-8"},
		{"Latin-1", "f.toml", "a = 1\nb = \"\xe9\"\n", "f.toml:2: is not UTF-8: it has the byte 0xE9 here; save it as UTF-8"},
		{"an unknown extension", "f.ini", "a=1", "f.ini: the extension .ini names no known format; use .yaml, .yml, .toml or .json"},
		{"a document that is too large", "f.yaml", strings.Repeat("#", document.MaxBytes+1), "f.yaml: is larger than 4 MiB, the most a document may have"},
		{"JSON that is nested deeper than its parser goes", "f.json", deep(20_000), "f.json:1: is not JSON: invalid character '[' exceeded max depth"},
		{"YAML that is nested deeper than its parser goes", "f.yaml", deep(20_000), "f.yaml: is not YAML: exceeded max depth of 10000"},
		{"TOML that is nested deeper than its parser goes", "f.toml", "a = " + deep(20_000), "f.toml:1: is not TOML: arrays and inline tables are nested more than the maximum of 10000 levels deep"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var into any
			got := decode(test.file, test.text, &into)
			if diff := cmp.Diff([]string{test.want}, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDepthIsBounded(t *testing.T) {
	t.Parallel()

	nested := func(n int) string { return strings.Repeat("[", n) + "1" + strings.Repeat("]", n) }
	place := strings.Repeat("[0]", document.MaxDepth)
	tests := []struct{ name, file, deepest, below, want string }{
		{"JSON", "f.json", nested(document.MaxDepth), nested(document.MaxDepth + 1), "f.json:1: " + place},
		{"YAML", "f.yaml", nested(document.MaxDepth), nested(document.MaxDepth + 1), "f.yaml:1: " + place},
		{"TOML", "f.toml", "a = " + nested(document.MaxDepth-1), "a = " + nested(document.MaxDepth), "f.toml:1"},
		{"dotted TOML keys", "f.toml", "a" + strings.Repeat(".a", document.MaxDepth-1) + " = 1",
			"a" + strings.Repeat(".a", document.MaxDepth) + " = 1", "f.toml:1"},
		{"TOML headers", "f.toml", "[a" + strings.Repeat(".a", document.MaxDepth-1) + "]",
			"[a" + strings.Repeat(".a", document.MaxDepth) + "]", "f.toml:1"},
		{"lists of tables in TOML", "f.toml", "[[a" + strings.Repeat(".a", document.MaxDepth-2) + "]]",
			"[[a" + strings.Repeat(".a", document.MaxDepth-1) + "]]", "f.toml:1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var into any
			if problems := decode(test.file, test.deepest, &into); problems != nil {
				t.Errorf("the deepest document has problems: %q", problems)
			}
			want := []string{test.want + ": lies more than 64 levels deep"}
			if diff := cmp.Diff(want, decode(test.file, test.below, &into)); diff != "" {
				t.Errorf("problems one level below (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWideAndDeepKeysCostLittle(t *testing.T) {
	t.Parallel()

	for name, text := range map[string]string{
		"dotted.toml": strings.Repeat("a.", document.MaxBytes/2-4) + "a = 1",
		"header.toml": "[" + strings.Repeat("a.", document.MaxBytes/2-4) + "a]",
		"indent.yaml": strings.Repeat("- ", document.MaxBytes/2),
		"flow.yaml":   strings.Repeat("{a: ", document.MaxBytes/4),
		"tags.yaml":   strings.Repeat("!", document.MaxBytes),
		"keys.yaml":   strings.Repeat("? ", document.MaxBytes/2),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var into fleet
			if problems := decode(name, text, &into); len(problems) == 0 {
				t.Error("the document is accepted")
			}
		})
	}
}

func TestYAMLAliases(t *testing.T) {
	t.Parallel()

	t.Run("AreWhatTheyStandFor", func(t *testing.T) {
		t.Parallel()
		var got fleet
		problems := decode("f.yaml", "name: &n red\nlabels: {a: *n}\nships:\n  one: &s {crew: 5}\n  two: *s\n", &got)
		if problems != nil {
			t.Fatalf("problems: %q", problems)
		}
		want := fleet{base: base{"red"}, Labels: map[string]string{"a": "red"}, Ships: map[string]ship{"one": {Crew: 5}, "two": {Crew: 5}}}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(fleet{})); diff != "" {
			t.Errorf("decoded document (-want +got):\n%s", diff)
		}
	})

	t.Run("MergeBelowWhatIsWritten", func(t *testing.T) {
		t.Parallel()
		var got fleet
		text := "ships:\n  one: &one {crew: 5, speed: 1}\n  two: &two {crew: 6, next: {}}\n" +
			"  three: {<<: *one, speed: 2}\n  four: {crew: 7, <<: [*two, *one]}\n"
		if problems := decode("f.yaml", text, &got); problems != nil {
			t.Fatalf("problems: %q", problems)
		}
		next := &ship{Crew: 3}
		want := map[string]ship{
			"one": {Crew: 5, Speed: 1}, "two": {Crew: 6, Next: next},
			"three": {Crew: 5, Speed: 2}, "four": {Crew: 7, Speed: 1, Next: next},
		}
		if diff := cmp.Diff(want, got.Ships); diff != "" {
			t.Errorf("ships (-want +got):\n%s", diff)
		}
	})

	t.Run("MergeMapsOnly", func(t *testing.T) {
		t.Parallel()
		got := decode("f.yaml", "ships:\n  one: {<<: 5}\n  two: {<<: [5]}\n  three: {<<: !x {}}\n", &fleet{})
		want := []string{
			`f.yaml:2: ships.one."<<": expected a map to merge, got the number 5`,
			`f.yaml:3: ships.two."<<": expected a map to merge, got the number 5`,
			`f.yaml:4: ships.three."<<": the tag !x is not supported; leave it out`,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("problems (-want +got):\n%s", diff)
		}
	})

	t.Run("DoNotStandInsideOfThemselves", func(t *testing.T) {
		t.Parallel()
		got := decode("f.yaml", "extra: &a [1, *a]\nlabels: &m {<<: *m}\n", &fleet{})
		want := []string{
			`f.yaml:1: extra[1][1]: the alias *a stands inside of what it stands for`,
			`f.yaml:2: labels."<<": the alias *m stands inside of what it stands for`,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("problems (-want +got):\n%s", diff)
		}
	})

	t.Run("DoNotMultiply", func(t *testing.T) {
		t.Parallel()
		text := "l0: &l0 [1,1,1,1,1,1,1,1,1,1]\n"
		for i := range 12 {
			text += fmt.Sprintf("l%d: &l%[1]d [%[2]s]\n", i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*l%d,", i), 10), ","))
		}
		want := []string{"f.yaml: its aliases stand for more than 100000 values"}
		if diff := cmp.Diff(want, decode("f.yaml", text, new(any))); diff != "" {
			t.Errorf("problems (-want +got):\n%s", diff)
		}
	})
}

func TestProblemsAreBounded(t *testing.T) {
	t.Parallel()

	var text strings.Builder
	for i := range document.MaxProblems * 3 {
		fmt.Fprintf(&text, "key%d: 1\n", i)
	}
	got := decode("f.yaml", text.String(), &fleet{})
	if len(got) != document.MaxProblems+1 {
		t.Errorf("%d problems, want %d and a last word", len(got), document.MaxProblems)
	}
	if want := "f.yaml: there are more problems than these; they are left out"; got[len(got)-1] != want {
		t.Errorf("the last is %q, want %q", got[len(got)-1], want)
	}
}

func TestRead(t *testing.T) {
	t.Parallel()

	t.Run("TellsTheFormatByTheText", func(t *testing.T) {
		t.Parallel()
		for text, want := range map[string]string{
			"\uFEFF \n{\"name\": \"json\",}": "-:2: is not JSON: invalid character '}' looking for beginning of object key string",
			"name: [":                        "-:1: is not YAML: did not find expected node content",
		} {
			_, err := document.Read(strings.NewReader(text), "-")
			if diff := cmp.Diff([]string{want}, messages(err)); diff != "" {
				t.Errorf("problems of %q (-want +got):\n%s", text, diff)
			}
		}
	})

	t.Run("LeavesTheByteOrderMarkOut", func(t *testing.T) {
		t.Parallel()
		for _, name := range []string{"f.yaml", "f.json", "-"} {
			var got fleet
			if problems := decode(name, "\uFEFF{\"name\": \"x\"}", &got); problems != nil || got.Name != "x" {
				t.Errorf("%s: name %q, problems %q", name, got.Name, problems)
			}
		}
	})

	t.Run("ReadsNoMoreThanADocumentMayHave", func(t *testing.T) {
		t.Parallel()
		endless := iotest.OneByteReader(strings.NewReader(strings.Repeat("#", 64)))
		_, err := document.Read(io.MultiReader(endless, zeros{}), "-")
		if err == nil || !strings.Contains(err.Error(), "larger than 4 MiB") {
			t.Errorf("error %v, want one about the size", err)
		}
	})

	t.Run("TellsWhyItCannotRead", func(t *testing.T) {
		t.Parallel()
		broken := errors.New("pulled out")
		_, err := document.Read(iotest.ErrReader(broken), "-")
		if !errors.Is(err, broken) || err.Error() != "cannot read -: pulled out" {
			t.Errorf("error %q, want one that wraps %q", err, broken)
		}
	})
}

// zeros is an endless source.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestOpen(t *testing.T) {
	t.Parallel()

	dir := t.TempDir()
	path := filepath.Join(dir, "f.yaml")
	if err := os.WriteFile(path, []byte("port: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	doc, err := document.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{path + ":1: port: expected a whole number, got a string"}
	if diff := cmp.Diff(want, messages(doc.Decode(&fleet{}))); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}

	missing := filepath.Join(dir, "none.yaml")
	if _, err := document.Open(missing); !errors.Is(err, fs.ErrNotExist) || err.Error() != "cannot read "+missing+": no such file or directory" {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := document.Open(dir); err == nil || err.Error() != "cannot read "+dir+": is a directory" {
		t.Errorf("a directory: %v", err)
	}
}

func TestLocate(t *testing.T) {
	t.Parallel()

	doc, err := document.Parse("f.yaml", []byte("ships:\n  one:\n    crew: 1\n  a.b:\n    crew: 2\nnames:\n  - x\n  - y\n"))
	if err != nil {
		t.Fatal(err)
	}
	ships := document.Path("ships")
	got := doc.Locate(document.Problems{
		{Path: document.Path("names").Index(1), Text: "an item"},
		{Path: ships.Key("a.b").Key("crew"), Text: "a member"},
		{Path: ships.Key("a.b").Key("speed").Key("knots"), Text: "below what is there"},
		{Path: "port", Text: "not there"},
		{Path: ships.Key("one"), Line: 7, Text: "already found"},
	})
	want := []string{
		"f.yaml:1: port: not there",
		`f.yaml:4: ships."a.b".speed.knots: below what is there`,
		`f.yaml:5: ships."a.b".crew: a member`,
		"f.yaml:7: ships.one: already found",
		"f.yaml:8: names[1]: an item",
	}
	if diff := cmp.Diff(want, messages(got)); diff != "" {
		t.Errorf("located problems (-want +got):\n%s", diff)
	}

	if other := errors.New("other"); doc.Locate(other) != other {
		t.Error("another error is not returned as it is")
	}
}

func TestJoin(t *testing.T) {
	t.Parallel()

	problems := func(paths ...document.Path) error {
		var all document.Problems
		for _, path := range paths {
			all.Add(document.Problem{Path: path, Text: "x"})
		}
		return all.Err()
	}
	other := errors.New("other")
	tests := []struct {
		name        string
		read, check error
		want        error
	}{
		{"nothing", nil, nil, nil},
		{"only reading", problems("a"), nil, problems("a")},
		{"only checking", nil, problems("a"), problems("a")},
		{"the same value", problems("a.b"), problems("a.b"), problems("a.b")},
		{"inside of what could not be read", problems("a"), problems("a.b", "a[0]", "ab"), problems("a", "ab")},
		{"what lacks the member that could not be read", problems("a.b"), problems("a"), problems("a.b")},
		{"what lies further out", problems("a.b.c"), problems("a"), problems("a.b.c", "a")},
		{"the root could not be read", problems(""), problems("a"), problems("")},
		{"another error of reading", other, problems("a"), other},
		{"another error of checking", problems("a"), other, problems("a")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(messages(test.want), messages(document.Join(test.read, test.check))); diff != "" {
				t.Errorf("joined (-want +got):\n%s", diff)
			}
		})
	}
}

func TestProblemsUnder(t *testing.T) {
	t.Parallel()

	got := document.Problems{{Path: "a"}, {Path: "[1]"}, {}}.Under("runs[2]")
	want := document.Problems{{Path: "runs[2].a"}, {Path: "runs[2][1]"}, {Path: "runs[2]"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()

	t.Run("HasPathsAndNoLines", func(t *testing.T) {
		t.Parallel()
		err := document.JSON([]byte("{\n\"ships\": {\"one\": {\"crew\": \"x\"}}, \"rows\": [[], [1, \"2\"]]}"), &fleet{})
		want := document.Problems{
			{Path: "ships.one.crew", Text: "expected a whole number, got a string"},
			{Path: "rows[1][1]", Text: "expected a whole number, got a string"},
		}
		if diff := cmp.Diff(want, err); diff != "" {
			t.Errorf("problems (-want +got):\n%s", diff)
		}
	})

	t.Run("RefusesWhatIsNoJSON", func(t *testing.T) {
		t.Parallel()
		for text, want := range map[string]string{
			"":                "is empty",
			"{":               "is not JSON: unexpected end of JSON input",
			"{\"name\":\"\xff\"}": "is not valid UTF-8",
			"[]":              "expected a map, got a list",
		} {
			if err := document.JSON([]byte(text), &fleet{}); err == nil || err.Error() != want {
				t.Errorf("error of %q is %v, want %s", text, err, want)
			}
		}
	})

	t.Run("RefusesToFillWhatItCannot", func(t *testing.T) {
		t.Parallel()
		for _, into := range []any{nil, fleet{}, (*fleet)(nil), new(chan int), &map[int]string{}} {
			err := document.JSON([]byte("{}"), into)
			if err == nil || !strings.HasPrefix(err.Error(), "internal error: ") {
				t.Errorf("error for a %T is %v, want an internal one", into, err)
			}
		}
	})

	t.Run("ResolvesEscapes", func(t *testing.T) {
		t.Parallel()
		var got string
		if err := document.JSON([]byte(`"\"\\\/\b\f\n\r\t\u00E9\u20ac\ud83d\uDE00 \ufffd"`), &got); err != nil {
			t.Fatal(err)
		}
		if want := "\"\\/\b\f\n\r\té€😀 \uFFFD"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
