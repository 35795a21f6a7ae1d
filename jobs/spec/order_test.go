package spec_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/heroproc/heroproc/jobs/spec"
)

// graph makes a run of jobs written as "name: need need".
func graph(lines ...string) spec.Run {
	run := spec.Run{Jobs: map[string]spec.Job{}}
	for _, line := range lines {
		name, needs, _ := strings.Cut(line, ":")
		run.Jobs[name] = spec.Job{Action: spec.Action{Command: []string{"true"}}, Needs: strings.Fields(needs)}
	}
	return run
}

func TestOrder(t *testing.T) {
	t.Parallel()

	tests := []struct {
		name string
		run  spec.Run
		want string
	}{
		{"one", graph("a"), "a"},
		{"by name where nothing else decides", graph("c", "a", "b"), "a b c"},
		{"behind what is needed", graph("a: b", "b: c", "c"), "c b a"},
		{"a diamond", graph("end: left right", "right: begin", "left: begin", "begin"), "begin left right end"},
		{"ready jobs by name, however late they became ready", graph("z", "m: z", "a: m", "n"), "n z m a"},
		{"circles and what hangs on them never become ready", graph("a: b", "b: a", "c", "d: a"), "c"},
		{"a job that needs nobody's job never becomes ready", graph("a: nobody", "b"), "b"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := strings.Join(test.run.Order(), " "); got != test.want {
				t.Errorf("order %q, want %q", got, test.want)
			}
		})
	}
}

func TestCycles(t *testing.T) {
	t.Parallel()

	var ring []string
	for i := range 100 {
		ring = append(ring, fmt.Sprintf("j%02d: j%02d", i, (i+1)%100))
	}
	tests := []struct {
		name string
		run  spec.Run
		want []string
	}{
		{"none", graph("a: b c", "b: c", "c"), nil},
		{"two", graph("a: b", "b: a"), []string{"jobs.a.needs: the needs form a circle: a → b → a"}},
		{"not those who only lead to it", graph("a: b", "b: c", "c: d", "d: b", "e: a"), []string{"jobs.b.needs: the needs form a circle: b → c → d → b"}},
		{"several", graph("a: b", "b: a", "c: d", "d: c"), []string{
			"jobs.a.needs: the needs form a circle: a → b → a",
			"jobs.c.needs: the needs form a circle: c → d → c",
		}},
		{"two through one job", graph("a: b c", "b: a", "c: a"), []string{
			"jobs.a.needs: the needs form a circle: a → b → a",
			"jobs.a.needs: the needs form a circle: a → c → a",
		}},
		{"a long one is cut in the middle", graph(ring...), []string{
			"jobs.j00.needs: the needs form a circle: j00 → j01 → j02 → j03 → j04 → j05 → (88 more) → j94 → j95 → j96 → j97 → j98 → j99 → j00",
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			if err := test.run.Validate(); err != nil {
				got = strings.Split(err.Error(), "\n")
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestADenseGraphIsBounded(t *testing.T) {
	t.Parallel()

	var names, lines []string
	for i := range 200 {
		names = append(names, fmt.Sprintf("j%03d", i))
	}
	for _, name := range names {
		others := slices.DeleteFunc(slices.Clone(names), func(other string) bool { return other == name })
		lines = append(lines, name+": "+strings.Join(others, " "))
	}
	run := graph(lines...)
	err := run.Validate()
	if err == nil {
		t.Fatal("a graph of circles is accepted")
	}
	if n := strings.Count(err.Error(), "circle"); n != 20 {
		t.Errorf("%d circles are reported, want 20", n)
	}
}

// TestOrderOfAnyGraph holds for graphs of any shape: without a circle the order
// has every job once, behind what it needs, and no job could stand earlier by
// name; with circles Validate names real ones.
func TestOrderOfAnyGraph(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 30).Draw(t, "jobs")
		numbers := make([]int, n)
		for i := range numbers {
			numbers[i] = i
		}
		numbers = rapid.Permutation(numbers).Draw(t, "numbers")
		circular := rapid.Bool().Draw(t, "circular")
		run := spec.Run{Jobs: map[string]spec.Job{}}
		name := func(i int) string { return fmt.Sprintf("j%02d", numbers[i]) }
		for i := range n {
			highest := i - 1 // only earlier ones: no circle
			if circular {
				highest = n - 1
			}
			needs := map[string]bool{}
			for range min(rapid.IntRange(0, 4).Draw(t, "needs"), highest+1) {
				if need := rapid.IntRange(0, highest).Draw(t, "need"); need != i {
					needs[name(need)] = true
				}
			}
			run.Jobs[name(i)] = spec.Job{
				Action: spec.Action{Command: []string{"true"}},
				Needs:  slices.Collect(maps.Keys(needs)),
			}
		}

		order := run.Order()
		checkOrder(t, run, order)
		err := run.Validate()
		if (err == nil) != (len(order) == n) {
			t.Fatalf("%d of %d jobs are in order, and Validate says %v", len(order), n, err)
		}
		if !circular && err != nil {
			t.Fatalf("a graph without a circle is refused: %v", err)
		}
		if err != nil {
			checkCircles(t, run, err.Error())
		}
	})
}

func checkOrder(t *rapid.T, run spec.Run, order []string) {
	place := map[string]int{}
	for i, name := range order {
		if _, twice := place[name]; twice {
			t.Fatalf("%s is in order twice", name)
		}
		place[name] = i
	}
	for i, name := range order {
		ready := 0 // where it could have stood
		for _, need := range run.Jobs[name].Needs {
			at, there := place[need]
			if !there || at >= i {
				t.Fatalf("%s stands before %s, which it needs", name, need)
			}
			ready = max(ready, at+1)
		}
		for _, other := range order[ready:i] {
			if other > name {
				t.Fatalf("%s was ready when %s was taken", name, other)
			}
		}
	}
}

func checkCircles(t *rapid.T, run spec.Run, problems string) {
	for line := range strings.Lines(problems) {
		_, drawn, _ := strings.Cut(strings.TrimSpace(line), "circle: ")
		if strings.Contains(drawn, "more)") {
			continue
		}
		circle := strings.Split(drawn, " → ")
		if len(circle) < 3 || circle[0] != circle[len(circle)-1] {
			t.Fatalf("%q is no circle", drawn)
		}
		for i, name := range circle[1:] {
			if !slices.Contains(run.Jobs[circle[i]].Needs, name) {
				t.Fatalf("in %q, %s does not need %s", drawn, circle[i], name)
			}
		}
	}
}
