package main

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/heroproc/heroproc/jobs/document"
	"github.com/heroproc/heroproc/supervisor/api/client"
	"github.com/heroproc/heroproc/supervisor/api/rpc"
)

func TestExitCode(t *testing.T) {
	t.Parallel()
	answer := func(code int) error { return fmt.Errorf("cannot do it: %w", &rpc.Error{Code: code}) }
	for _, test := range []struct {
		name string
		err  error
		want int
	}{
		{"Done", nil, 0},
		{"Failed", errors.New("any"), 1},
		{"Run", &runError{code: 42}, 42},
		{"Usage", badInput("no"), 2},
		{"Problems", document.Problems{{Text: "wrong"}}, 2},
		{"InvalidParams", answer(rpc.CodeInvalidParams), 2},
		{"Invalid", answer(rpc.CodeInvalid), 2},
		{"NoMethod", answer(rpc.CodeNoMethod), 2},
		{"NotFound", answer(rpc.CodeNotFound), 3},
		{"NoDaemon", fmt.Errorf("cannot call: %w", client.ErrNoDaemon), 4},
		{"Busy", answer(rpc.CodeBusy), 5},
		{"Conflict", answer(rpc.CodeConflict), 6},
		{"Storage", answer(rpc.CodeStorage), 1},
		{"Forbidden", answer(rpc.CodeForbidden), 1},
		{"ShuttingDown", answer(rpc.CodeShuttingDown), 4},
		{"Internal", answer(rpc.CodeInternal), 1},
		{"WaitedTooLong", fmt.Errorf("%w: run 1", errWaitedTooLong), 124},
		{"Interrupted", new(cli).stillRuns(context.Canceled, 1), 130},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := exitCode(test.err); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}

func TestErrorMessageTellsEveryProblem(t *testing.T) {
	t.Parallel()
	err := &rpc.Error{Code: rpc.CodeInvalid, Message: "the run is not valid", Data: &rpc.ErrorData{
		Problems: []rpc.Problem{{Path: "jobs.a.command", Text: "is empty"}, {Text: "has no jobs"}},
	}}
	const want = "jobs.a.command: is empty\nhas no jobs"
	if got := errorMessage(err); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
