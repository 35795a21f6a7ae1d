package jobs

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The diagram in the package comment is what people read, the table is what the
// code obeys: they must be the same.
func TestDiagramIsTheTable(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	drawn := map[JobState][]JobState{}
	for _, m := range regexp.MustCompile(`(?m)^//\t(\S+)\s+→ (\S+)`).FindAllStringSubmatch(string(text), -1) {
		from := JobState(m[1])
		if from == "(new)" {
			from = ""
		}
		drawn[from] = append(drawn[from], JobState(m[2]))
	}
	tabled := map[JobState][]JobState{}
	for from, next := range moves {
		if len(next) > 0 {
			tabled[from] = slices.Clone(next)
		}
	}
	for _, table := range []map[JobState][]JobState{drawn, tabled} {
		for from := range table {
			slices.Sort(table[from])
		}
	}
	if diff := cmp.Diff(tabled, drawn); diff != "" {
		t.Errorf("table (-) and diagram (+) differ:\n%s", diff)
	}
}

// The database's CHECK and the table name the same states.
func TestStatesAreTheDatabases(t *testing.T) {
	text, err := os.ReadFile("../sql/migrations/0001_spine.sql")
	if err != nil {
		t.Fatal(err)
	}
	checks := regexp.MustCompile(`(?s)CHECK \(state IN \((.*?)\)\)`).FindAllStringSubmatch(string(text), -1)
	if len(checks) != 2 {
		t.Fatalf("found %d lists of states, want those of runs and jobs", len(checks))
	}
	states := func(list string) []string {
		var names []string
		for name := range strings.SplitSeq(list, ",") {
			names = append(names, strings.Trim(strings.TrimSpace(name), "'"))
		}
		slices.Sort(names)
		return names
	}
	runStates := []string{string(RunCancelled), string(RunFailed), string(RunRunning), string(RunSucceeded)}
	if diff := cmp.Diff(runStates, states(checks[0][1])); diff != "" {
		t.Errorf("states of runs (-code +sql):\n%s", diff)
	}
	var jobStates []string
	for _, state := range slices.Sorted(maps.Keys(moves)) {
		if state != "" {
			jobStates = append(jobStates, string(state))
		}
	}
	if diff := cmp.Diff(jobStates, states(checks[1][1])); diff != "" {
		t.Errorf("states of jobs (-code +sql):\n%s", diff)
	}
}

func TestFinalStatesNeverChange(t *testing.T) {
	final := []JobState{JobSucceeded, JobFailed, JobCancelled, JobSkipped}
	for from := range moves {
		if from == "" {
			continue
		}
		if got, want := from.Final(), slices.Contains(final, from); got != want {
			t.Errorf("%q is final: %v, want %v", from, got, want)
		}
		for to := range moves {
			if from.Final() && CanMove(from, to) {
				t.Errorf("%q can move to %q", from, to)
			}
		}
	}
	if JobState("nonsense").Final() || CanMove("nonsense", JobQueued) {
		t.Error("an unknown state must be neither final nor have a way out")
	}
}
