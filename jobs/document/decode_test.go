package document_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/heroproc/heroproc/jobs/document"
)

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
