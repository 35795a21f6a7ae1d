package document_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/heroproc/heroproc/jobs/document"
)

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
		"dotted.toml": strings.Repeat("a.", 1<<19) + "a = 1",
		"header.toml": "[" + strings.Repeat("a.", 1<<19) + "a]",
		"indent.yaml": strings.Repeat("- ", 1<<19),
		"flow.yaml":   strings.Repeat("{a: ", 1<<18),
		"tags.yaml":   strings.Repeat("!", 1<<20),
		"keys.yaml":   strings.Repeat("? ", 1<<19),
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
			"":                    "is empty",
			"{":                   "is not JSON: unexpected end of JSON input",
			"{\"name\":\"\xff\"}": "is not valid UTF-8",
			"[]":                  "expected a map, got a list",
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
