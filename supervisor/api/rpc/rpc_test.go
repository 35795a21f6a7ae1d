package rpc_test

import (
	"encoding/json"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/heroproc/heroproc/supervisor/api/rpc"
)

func TestTimeHasMilliseconds(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("", 2*3600)
	for at, want := range map[rpc.Time]string{
		rpc.Millis(0):                 `"1970-01-01T00:00:00.000Z"`,
		rpc.Millis(1_700_000_000_120): `"2023-11-14T22:13:20.120Z"`,
		{Time: time.Date(2026, 1, 2, 3, 4, 5, 6_999_999, zone)}: `"2026-01-02T01:04:05.006Z"`,
	} {
		text, err := json.Marshal(at)
		if err != nil || string(text) != want {
			t.Errorf("got %s, %v, want %s", text, err, want)
		}
		var back rpc.Time
		if err := json.Unmarshal(text, &back); err != nil || back.UnixMilli() != at.UnixMilli() {
			t.Errorf("%s is read as %v, %v", text, back, err)
		}
	}
	for _, text := range []string{`""`, `"yesterday"`, `5`, `"2026-01-02"`} {
		if err := json.Unmarshal([]byte(text), new(rpc.Time)); err == nil {
			t.Errorf("%s was read", text)
		}
	}
}

func TestOutputQueryComesBack(t *testing.T) {
	t.Parallel()
	for _, query := range []rpc.OutputQuery{
		{Run: 1},
		{Job: 9_223_372_036_854_775_807, Attempt: 3, Tail: 20},
		{Run: 7, Follow: true, Timestamps: true},
	} {
		got, problems := rpc.ParseOutputQuery(query.Values())
		if diff := cmp.Diff(query, got); diff != "" || problems != nil {
			t.Error(diff, problems)
		}
	}
}

func TestOutputQueryIsStrict(t *testing.T) {
	t.Parallel()
	const number = "expected a number from 1 on, got "
	either := rpc.Problem{Path: "run", Text: "say either run=ID or job=ID"}
	tests := []struct {
		query string
		want  []rpc.Problem
	}{
		{"", []rpc.Problem{either}},
		{"run=1&job=1", []rpc.Problem{either}},
		{"run=1&follow=0&format=raw", nil},
		{"run=0", []rpc.Problem{{Path: "run", Text: number + `"0"`}}},
		{"job=9223372036854775808", []rpc.Problem{{Path: "job", Text: number + `"9223372036854775808"`}}},
		{"run=1&run=2", []rpc.Problem{{Path: "run", Text: "given 2 times"}}},
		{"run=1&attempt=1", []rpc.Problem{{Path: "attempt", Text: "only a job has attempts: say job=ID"}}},
		{"job=1&tial=1&follow=yes&format=xml&tail=1e3", []rpc.Problem{
			{Path: "follow", Text: `expected 1 or 0, got "yes"`},
			{Path: "format", Text: `expected raw or timestamps, got "xml"`},
			{Path: "tail", Text: number + `"1e3"`},
			{Path: "tial", Text: "unknown; known are run, job, attempt, tail, follow and format"},
		}},
	}
	for _, test := range tests {
		values, err := url.ParseQuery(test.query)
		if err != nil {
			t.Fatal(err)
		}
		_, problems := rpc.ParseOutputQuery(values)
		if diff := cmp.Diff(test.want, problems); diff != "" {
			t.Errorf("%s: %s", test.query, diff)
		}
	}
}
