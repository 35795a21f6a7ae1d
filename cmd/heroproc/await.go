package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/heroproc/heroproc/supervisor/api/client"
)

// awaitRun waits until the run is final. A run that did not end well is a
// runError with the run's code.
func (c *cli) awaitRun(ctx context.Context, api *client.Client, id int64, asJSON bool) error {
	outcome, err := api.Wait(ctx, id)
	if err != nil {
		return err
	}
	if asJSON {
		if err := c.printJSON(outcome); err != nil {
			return err
		}
	}
	if *outcome.ExitCode != 0 {
		return &runError{*outcome.ExitCode, fmt.Sprintf("run %d %s: %s", id, outcome.State, outcome.Reason.Text)}
	}
	return nil
}

// stillRuns tells somebody who gives up waiting that the run does not.
func (c *cli) stillRuns(err error, id int64) error {
	if errors.Is(err, context.Canceled) {
		return &interruptedError{id, c.line("heroproc run cancel")}
	}
	return err
}

// interruptedError is a Ctrl-C while a run was waited for.
type interruptedError struct {
	id     int64
	cancel string
}

func (e *interruptedError) Error() string {
	return fmt.Sprintf("run %d goes on; cancel it with: %s %[1]d", e.id, e.cancel)
}

func (e *interruptedError) Unwrap() error { return context.Canceled }
