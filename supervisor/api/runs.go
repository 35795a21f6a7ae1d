package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/heroproc/heroproc/db"
	"github.com/heroproc/heroproc/jobs/document"
	"github.com/heroproc/heroproc/jobs/spec"
	"github.com/heroproc/heroproc/supervisor/api/rpc"
)

// runMethods are the methods of runs.
func runMethods() []Method {
	return []Method{
		define("run.submit", "Stores a run of one job or a graph of jobs; answered when it is on disk.", (*Server).runSubmit),
		define("run.submit_many", "Stores several runs by one transaction, all or none.", (*Server).runSubmitMany),
		define("run.list", "Lists runs, newest first.", (*Server).runList),
		define("run.show", "Shows a run with its jobs and their attempts.", (*Server).runShow),
		waiting(define("run.wait", "Answers when the run is final, or when the timeout is over.", (*Server).runWait)),
		define("run.cancel", "Ends what is not final of a run, its processes by their stop sequence.", (*Server).runCancel),
	}
}

func (s *Server) runSubmit(ctx context.Context, run rpc.SubmitParams) (rpc.SubmitResult, error) {
	submitted, err := s.runs.Submit(ctx, []spec.Run{run})
	if err != nil {
		return rpc.SubmitResult{}, err
	}
	return submitResult(submitted[0]), nil
}

func (s *Server) runSubmitMany(ctx context.Context, p rpc.SubmitManyParams) (rpc.SubmitManyResult, error) {
	var result rpc.SubmitManyResult
	if n := len(p.Runs); n < 1 || n > rpc.MaxSubmit {
		return result, paramsError{document.Problems{{Path: "runs",
			Text: fmt.Sprintf("expected 1 to %d runs, got %d", rpc.MaxSubmit, n)}}}
	}
	submitted, err := s.runs.Submit(ctx, p.Runs)
	if err != nil {
		return result, inRuns(len(p.Runs), err)
	}
	result.Runs = mapped(submitted, submitResult)
	return result, nil
}

// inRuns names the place of a lone run's problems: only those of several runs
// come with it.
func inRuns(n int, err error) error {
	var problems document.Problems
	if n == 1 && errors.As(err, &problems) {
		return problems.Under("runs[0]")
	}
	return err
}

func (s *Server) runList(ctx context.Context, p rpc.ListParams) (rpc.RunList, error) {
	var list rpc.RunList
	limit, err := checkPage(p)
	if err != nil {
		return list, err
	}
	rows, err := s.runs.Runs(ctx, p.Before, limit+1)
	if err != nil {
		return list, err
	}
	rows, list.Next = cutPage(rows, limit, func(row db.Run) int64 { return row.ID })
	list.Runs, err = converted(rows, viewRun)
	return list, err
}

func (s *Server) runShow(ctx context.Context, p rpc.IDParams) (rpc.RunDetail, error) {
	if err := checkID(p.ID); err != nil {
		return rpc.RunDetail{}, err
	}
	detail, err := s.runs.Run(ctx, p.ID)
	if err != nil {
		return rpc.RunDetail{}, err
	}
	return viewRunDetail(detail)
}

// runWait holds nothing but its place while it waits: who is waiting is told by
// the commit that ends the run.
func (s *Server) runWait(ctx context.Context, p rpc.WaitParams) (rpc.WaitResult, error) {
	var result rpc.WaitResult
	var c checks
	c.id(p.ID)
	c.within("timeout_ms", p.TimeoutMs, 0, rpc.MaxWait.Milliseconds())
	if err := c.err(); err != nil {
		return result, err
	}
	ctx, done, err := s.waits.begin(ctx)
	if err != nil {
		return result, err
	}
	defer done()
	timeout := cmp.Or(time.Duration(p.TimeoutMs)*time.Millisecond, rpc.MaxWait)
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	outcome, err := s.runs.Wait(limited, p.ID)
	if err != nil {
		return result, err
	}
	if !outcome.State.Final() && ctx.Err() != nil {
		// Not the timeout: the server ends, or the caller has gone.
		return result, context.Cause(ctx)
	}
	return viewOutcome(outcome), nil
}

func (s *Server) runCancel(ctx context.Context, p rpc.IDParams) (rpc.CancelResult, error) {
	if err := checkID(p.ID); err != nil {
		return rpc.CancelResult{}, err
	}
	cancelled, err := s.runs.Cancel(ctx, p.ID)
	if err != nil {
		return rpc.CancelResult{}, err
	}
	return viewCancelled(cancelled), nil
}
