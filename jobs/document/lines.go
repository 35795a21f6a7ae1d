package document

import "slices"

// lines turns offsets in a text into lines and columns: it holds the offset at
// which each line begins. A nil lines knows none and answers the zero place.
type lines []int

func newLines(text []byte) lines {
	l := lines{0}
	for i, c := range text {
		if c == '\n' {
			l = append(l, i+1)
		}
	}
	return l
}

// place is the line and the column, both from 1, of the byte at offset.
func (l lines) place(offset int) place {
	if l == nil {
		return place{}
	}
	line, begins := slices.BinarySearch(l, offset)
	if begins {
		line++
	}
	return place{line: int32(line), column: int32(offset - l[line-1] + 1)}
}
