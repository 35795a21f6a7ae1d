//go:build race

package failures

// buildFlags build the binary as the tests themselves were built.
var buildFlags = []string{"-race"}
