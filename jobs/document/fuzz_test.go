package document_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/heroproc/heroproc/jobs/document"
)

// FuzzParse holds for every text in every format: it is a document or it has
// problems, with lines inside of the text, and nothing panics. What is a document
// is also one when it is written as JSON.
func FuzzParse(f *testing.F) {
	names := []string{"f.yaml", "f.json", "f.toml", "-"}
	for _, seed := range []string{
		"name: x\nships: {one: {speed: 5}}\n",
		"a: &a {b: [1, 2.5, true, ~, 2026-01-02]}\nc: {<<: *a, d: *a}\n",
		"? [a]\n: b\n--- !!set {a}\n...\n",
		`{"name": "\ud83d\ude00", "ships": {"one": {"crew": 1e3}}, "rows": [[1], []]}`,
		"name = 'x'\n[ships.one]\ncrew = 0x1F\n[[a.b]]\nc.d = [1, {e = 1979-05-27T07:32:00Z}]\n",
		"a = [[[[[[]]]]]]\n",
		"[[[[[[[[{}]]]]]]]]",
	} {
		for i := range names {
			f.Add(uint8(i), []byte(seed))
		}
	}
	f.Fuzz(func(t *testing.T, format uint8, text []byte) {
		doc, err := document.Parse(names[int(format)%len(names)], text)
		if err != nil {
			checkProblems(t, err, text)
			return
		}
		var strict fleet
		err = doc.Decode(&strict)
		checkProblems(t, err, text)
		checkProblems(t, doc.Locate(document.Problems{{Path: "ships.one"}, {Path: `x."y`}}), text)

		var loose any
		if err := doc.Decode(&loose); err != nil {
			checkProblems(t, err, text)
			return
		}
		again, err := json.Marshal(loose)
		if err != nil {
			t.Fatalf("the document has no JSON form: %v", err)
		}
		if err := document.JSON(again, &loose); err != nil {
			t.Fatalf("the document's JSON form has problems: %v\n%s", err, again)
		}
	})
}

func checkProblems(t *testing.T, err error, text []byte) {
	t.Helper()
	if err == nil {
		return
	}
	var problems document.Problems
	if !errors.As(err, &problems) || len(problems) == 0 {
		t.Fatalf("error %v is not Problems", err)
	}
	lines := 1
	for _, c := range text {
		if c == '\n' || c == '\r' { // YAML counts both
			lines++
		}
	}
	for _, problem := range problems {
		// The YAML library may blame the line behind the last, and counts the
		// line breaks of Unicode too.
		if problem.Line < 0 || problem.Line > lines+1 && !hasUnicodeBreak(text) {
			t.Errorf("problem %q is on line %d of %d", problem, problem.Line, lines)
		}
		if problem.Text == "" && problem.Path == "" {
			t.Errorf("problem %#v says nothing", problem)
		}
	}
}

func hasUnicodeBreak(text []byte) bool {
	for _, r := range string(text) {
		if r == 0x85 || r == 0x2028 || r == 0x2029 {
			return true
		}
	}
	return false
}

// FuzzJSON holds our walk over JSON against encoding/json: where we find no
// problem, both find the same values.
func FuzzJSON(f *testing.F) {
	for _, seed := range []string{
		`{"a": [1, -2.5e3, "x\n\u00e9\\", true, false, null], "b": {}, "c": []}`,
		` [ [ ] , { "" : { "\"": "\\" } } ] `,
		`"\ud83d\ude00\/"`,
		`-0`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var got any
		if err := document.JSON(text, &got); err != nil {
			checkProblems(t, err, text)
			return
		}
		var want any
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatalf("encoding/json refuses what we accept: %v", err)
		}
		if diff := cmp.Diff(want, floats(got)); diff != "" {
			t.Errorf("values differ (-encoding/json +document):\n%s", diff)
		}
	})
}

// floats makes every number the float64 that encoding/json makes of it.
func floats(v any) any {
	switch v := v.(type) {
	case int64:
		return float64(v)
	case []any:
		for i := range v {
			v[i] = floats(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = floats(v[name])
		}
	}
	return v
}
