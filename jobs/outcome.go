package jobs

import (
	"context"

	"github.com/heroproc/heroproc/db"
)

// outcome is how a run stands, with the code that waiting for it exits with.
func outcome(ctx context.Context, q *db.Queries, run db.Run) (Outcome, error) {
	o := Outcome{ID: run.ID, State: RunState(run.State), Reason: Reason{run.ReasonCode, run.ReasonText}}
	switch o.State {
	case RunRunning:
		return o, nil
	case RunSucceeded:
		o.ExitCode = new(0)
	case RunCancelled:
		o.ExitCode = new(exitCancelled)
		if run.ReasonCode == ReasonTimeout {
			o.ExitCode = new(exitTimeout)
		}
	case RunFailed:
		first, err := q.JobFirstInState(ctx, db.JobFirstInStateParams{RunID: run.ID, State: string(JobFailed)})
		if err != nil {
			return o, err
		}
		o.ExitCode = new(exitCode(first))
	}
	return o, nil
}

// exitCode is what a failed job gives its run: its own exit code, 128+signal,
// or what shells say for what never ran.
func exitCode(job db.Job) int {
	switch job.ReasonCode {
	case ReasonTimeout:
		return exitTimeout
	case ReasonNotFound:
		return exitNotFound
	case ReasonNotExecutable, ReasonCannotStart:
		return exitNotExecutable
	}
	switch {
	case job.Signal != nil:
		return exitSignalBase + int(*job.Signal)
	case job.ExitCode != nil && *job.ExitCode != 0:
		return int(*job.ExitCode)
	default:
		return 1
	}
}
