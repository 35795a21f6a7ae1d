package document_test

import (
	"testing"

	"github.com/heroproc/heroproc/jobs/document"
)

func TestDidYouMean(t *testing.T) {
	t.Parallel()

	known := []string{"command", "dir", "env", "needs", "on_lost", "retry", "timeout"}
	tests := []struct{ name, want string }{
		{"timout", "timeout"},   // one letter is missing
		{"tiemout", "timeout"},  // two are swapped
		{"timeouts", "timeout"}, // one is too many
		{"Timeout", "timeout"},  // one is another
		{"onlost", "on_lost"},   //
		{"comand", "command"},   //
		{"envs", "env"},         //
		{"timeout", "timeout"},  // it is known, only not here
		{"tmt", ""},             // too much is missing
		{"schedule", ""},
		{"x", ""},
		{"", ""},
	}
	for _, test := range tests {
		want := test.want
		if want != "" {
			want = "; did you mean " + want + "?"
		}
		if got := document.DidYouMean(test.name, known); got != want {
			t.Errorf("DidYouMean(%q) is %q, want %q", test.name, got, want)
		}
	}
}
