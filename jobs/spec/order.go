package spec

import (
	"container/heap"
	"maps"
	"slices"
)

// Order is the run's jobs in graph order: every job behind all that it needs,
// and jobs that do not wait for one another by name. It is the same for the same
// graph, however it was written. In a graph that Validate refuses, jobs that
// never become ready are left out.
func (r *Run) Order() []string {
	open := make(map[string]int, len(r.Jobs)) // how many needs are not in order yet
	dependents := make(map[string][]string, len(r.Jobs))
	var ready names
	for name, job := range r.Jobs {
		open[name] = len(job.Needs)
		for _, need := range job.Needs {
			dependents[need] = append(dependents[need], name)
		}
		if len(job.Needs) == 0 {
			ready = append(ready, name)
		}
	}
	heap.Init(&ready)
	order := make([]string, 0, len(r.Jobs))
	for len(ready) > 0 {
		name := heap.Pop(&ready).(string)
		order = append(order, name)
		for _, dependent := range dependents[name] {
			if open[dependent]--; open[dependent] == 0 {
				heap.Push(&ready, dependent)
			}
		}
	}
	return order
}

// names is a heap that gives the first name first.
type names []string

func (n names) Len() int           { return len(n) }
func (n names) Less(i, j int) bool { return n[i] < n[j] }
func (n names) Swap(i, j int)      { n[i], n[j] = n[j], n[i] }
func (n *names) Push(name any)     { *n = append(*n, name.(string)) }
func (n *names) Pop() any {
	last := len(*n) - 1
	name := (*n)[last]
	*n = (*n)[:last]
	return name
}

// maxCycles bounds the circles that are reported: a dense graph has more than
// anybody could store, and each that is undone leaves fewer.
const maxCycles = 20

// cycles are the circles in the needs of jobs, each with its members in the
// order of their needs: [a b] means that a needs b and b needs a. A graph with
// circles yields at least one of them, and at most maxCycles; the same graph
// always yields the same.
func cycles(jobs map[string]Job) [][]string {
	type state uint8
	const (
		unseen state = iota
		onTrail
		done
	)
	var found [][]string
	states := make(map[string]state, len(jobs))
	var trail []string
	var visit func(name string)
	visit = func(name string) {
		states[name] = onTrail
		trail = append(trail, name)
		for _, need := range slices.Compact(slices.Sorted(slices.Values(jobs[name].Needs))) {
			if _, there := jobs[need]; !there || need == name {
				continue // reported by itself
			}
			switch states[need] {
			case unseen:
				visit(need)
			case onTrail:
				if len(found) < maxCycles {
					found = append(found, slices.Clone(trail[slices.Index(trail, need):]))
				}
			case done:
			}
		}
		trail = trail[:len(trail)-1]
		states[name] = done
	}
	for _, name := range slices.Sorted(maps.Keys(jobs)) {
		if states[name] == unseen {
			visit(name)
		}
	}
	return found
}
