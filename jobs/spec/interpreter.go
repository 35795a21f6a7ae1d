package spec

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/heroproc/heroproc/jobs/document"
)

// Interpreter is the command line that runs a script: the script's text is
// appended to it as the last argument. A document may write the name of a known
// interpreter instead of the list.
type Interpreter []string

// interpreters are the known interpreters with the option by which each takes a
// script from its command line.
var interpreters = map[string]string{
	"bash":    "-c",
	"dash":    "-c",
	"ksh":     "-c",
	"lua":     "-e",
	"node":    "-e",
	"perl":    "-e",
	"php":     "-r",
	"python":  "-c",
	"python3": "-c",
	"ruby":    "-e",
	"sh":      "-c",
	"zsh":     "-c",
}

// UnmarshalDocument reads a list, or the name of a known interpreter.
func (i *Interpreter) UnmarshalDocument(v *document.Value) error {
	switch v.Kind() {
	case document.List:
		return v.Decode((*[]string)(i))
	case document.String:
		name := v.Text()
		option, known := interpreters[name]
		if !known {
			return fmt.Errorf(`%.40q is not a known interpreter (%s); write its command line as a list, such as ["awk", "--"]`,
				name, strings.Join(slices.Sorted(maps.Keys(interpreters)), ", "))
		}
		*i = Interpreter{name, option}
		return nil
	default:
		return fmt.Errorf(`expected the name of an interpreter or a list of strings, got %s`, v.Kind())
	}
}
