package spec_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/heroproc/heroproc/jobs/document"
	"github.com/heroproc/heroproc/jobs/spec"
)

// FuzzRead holds for every text in every format: it is a run or it has problems.
// What is a run can be ordered, and is the same run after it went through JSON,
// as it does on its way into the database.
func FuzzRead(f *testing.F) {
	formats := []string{".yaml", ".json", ".toml"}
	for i, format := range formats {
		seeds, err := filepath.Glob("testdata/bad/*" + format)
		if err != nil {
			f.Fatal(err)
		}
		examples, err := filepath.Glob("../../cmd/heroproc/examples/*" + format)
		if err != nil {
			f.Fatal(err)
		}
		for _, seed := range append(seeds, examples...) {
			text, err := os.ReadFile(seed)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(uint8(i), text)
		}
	}
	f.Fuzz(func(t *testing.T, format uint8, text []byte) {
		run, err := spec.Read(bytes.NewReader(text), "run"+formats[int(format)%len(formats)], "/srv")
		if err != nil {
			var problems document.Problems
			if !errors.As(err, &problems) || len(problems) == 0 {
				t.Fatalf("error %v is not Problems", err)
			}
			return
		}
		if order := run.Order(); len(order) != len(run.Jobs) {
			t.Errorf("%d of %d jobs are in order", len(order), len(run.Jobs))
		}
		for name := range run.Jobs {
			action := run.Effective(name)
			if argv := action.Argv(); len(argv) == 0 || argv[0] == "" || action.Dir == "" {
				t.Errorf("job %q executes %q in %q", name, argv, action.Dir)
			}
		}
		again, err := json.Marshal(&run)
		if err != nil {
			t.Fatal(err)
		}
		var same spec.Run
		if err := document.JSON(again, &same); err != nil {
			t.Fatalf("the run's JSON has problems: %v\n%s", err, again)
		}
		if err := same.Validate(); err != nil {
			t.Fatalf("the run read from its JSON has problems: %v\n%s", err, again)
		}
		if same.Fingerprint() != run.Fingerprint() {
			t.Errorf("the run read from its JSON is another one:\n%s", cmp.Diff(run, same))
		}
	})
}
