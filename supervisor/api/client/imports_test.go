package client_test

import (
	"os/exec"
	"strings"
	"testing"
)

// TestImportsLittle keeps the client's path light: who only calls a daemon links
// no database, no server and no supervisor.
func TestImportsLittle(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	const module = "github.com/heroproc/heroproc/"
	allowed := map[string]bool{
		"supervisor/api/client": true, "supervisor/api/rpc": true, "jobs/spec": true, "jobs/document": true,
	}
	for dep := range strings.Lines(string(out)) {
		if ours, is := strings.CutPrefix(strings.TrimSpace(dep), module); is && !allowed[ours] {
			t.Errorf("the client imports %s", ours)
		}
	}
}
