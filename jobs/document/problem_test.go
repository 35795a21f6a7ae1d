package document_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/heroproc/heroproc/jobs/document"
)

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

	if other := errors.New("other"); !errors.Is(doc.Locate(other), other) {
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
