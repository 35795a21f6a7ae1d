package api

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestMethods holds the table against what is promised: nothing is missing,
// nothing more is there.
func TestMethods(t *testing.T) {
	t.Parallel()
	var names []string
	for _, method := range Methods() {
		names = append(names, method.Name)
		if !strings.HasSuffix(method.Doc, ".") || method.Params == nil || method.Result == nil || method.handle == nil {
			t.Errorf("%s is not described", method.Name)
		}
	}
	want := []string{
		"run.submit", "run.submit_many", "run.list", "run.show", "run.wait", "run.cancel",
		"job.list", "job.show", "job.logs",
		"system.info", "system.stats", "system.shutdown",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
}

// TestReadmeNamesMethodsThatExist keeps the README from promising others.
func TestReadmeNamesMethodsThatExist(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	known := slices.Collect(func(yield func(string) bool) {
		for _, method := range Methods() {
			if !yield(method.Name) {
				return
			}
		}
	})
	for _, name := range regexp.MustCompile(`\b(run|job|system)\.[a-z_]+\b`).FindAllString(string(readme), -1) {
		// A run file is no method.
		if ext := strings.TrimPrefix(name, "run."); ext == "yaml" || ext == "toml" || ext == "json" {
			continue
		}
		if !slices.Contains(known, name) {
			t.Errorf("the README names %s, which is no method", name)
		}
	}
}
