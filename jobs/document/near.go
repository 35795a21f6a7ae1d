package document

// DidYouMean is the half sentence that offers the known name somebody probably
// meant by writing name: the one reached by the fewest slips of a finger, at
// most one in three letters. It is empty where none is near.
func DidYouMean(name string, known []string) string {
	if name == "" || len(name) > maxShown {
		return ""
	}
	nearest, slips := "", min(max(1, len(name)/3), len(name)-1)+1
	for _, candidate := range known {
		if d := distance(name, candidate, slips); d < slips {
			nearest, slips = candidate, d
		}
	}
	if nearest == "" {
		return ""
	}
	return "; did you mean " + nearest + "?"
}

// distance is how many insertions, deletions, substitutions and swaps of two
// neighbours lead from a to b (the optimal string alignment distance), or limit
// where it is not less.
func distance(a, b string, limit int) int {
	if max(len(a), len(b))-min(len(a), len(b)) >= limit {
		return limit
	}
	// Three rows of the usual table are enough: a swap looks two rows back.
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			change := 1
			if a[i] == b[j] {
				change = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+change)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return min(last[len(b)], limit)
}
