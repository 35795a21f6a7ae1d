package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/heroproc/heroproc/jobs/spec"
	"github.com/heroproc/heroproc/supervisor/api/rpc"
)

// call is Call with the result's type known.
func call[R any](ctx context.Context, c *Client, method string, params any) (R, error) {
	var result R
	err := c.Call(ctx, method, params, &result)
	return result, err
}

// Submit stores a run; when it returns the run is on disk and will be done.
func (c *Client) Submit(ctx context.Context, run spec.Run) (rpc.SubmitResult, error) {
	return call[rpc.SubmitResult](ctx, c, "run.submit", run)
}

// SubmitMany stores several runs, at most rpc.MaxSubmit, all or none of them,
// and answers them in their order.
func (c *Client) SubmitMany(ctx context.Context, runs []spec.Run) ([]rpc.SubmitResult, error) {
	result, err := call[rpc.SubmitManyResult](ctx, c, "run.submit_many", rpc.SubmitManyParams{Runs: runs})
	return result.Runs, err
}

// Run shows a run with its jobs and their attempts.
func (c *Client) Run(ctx context.Context, id int64) (rpc.RunDetail, error) {
	return call[rpc.RunDetail](ctx, c, "run.show", rpc.IDParams{ID: id})
}

// Runs lists a page of runs, newest first.
func (c *Client) Runs(ctx context.Context, page rpc.ListParams) (rpc.RunList, error) {
	return call[rpc.RunList](ctx, c, "run.list", page)
}

// Wait returns when a run is final, however long that takes, or with the
// context's error when ctx ends first.
func (c *Client) Wait(ctx context.Context, id int64) (rpc.WaitResult, error) {
	for {
		result, err := call[rpc.WaitResult](ctx, c, "run.wait", rpc.WaitParams{ID: id})
		if err != nil || result.ExitCode != nil {
			return result, err
		}
	}
}

// Cancel ends what is not final of a run; its answer says what that was.
func (c *Client) Cancel(ctx context.Context, id int64) (rpc.CancelResult, error) {
	return call[rpc.CancelResult](ctx, c, "run.cancel", rpc.IDParams{ID: id})
}

// Job shows a job with its attempts.
func (c *Client) Job(ctx context.Context, id int64) (rpc.JobDetail, error) {
	return call[rpc.JobDetail](ctx, c, "job.show", rpc.IDParams{ID: id})
}

// Jobs lists a page of jobs, newest first.
func (c *Client) Jobs(ctx context.Context, page rpc.ListParams) (rpc.JobList, error) {
	return call[rpc.JobList](ctx, c, "job.list", page)
}

// Logs reads a page of a job's output.
func (c *Client) Logs(ctx context.Context, params rpc.LogsParams) (rpc.LogsResult, error) {
	return call[rpc.LogsResult](ctx, c, "job.logs", params)
}

// Info says who answers.
func (c *Client) Info(ctx context.Context) (rpc.Info, error) {
	return call[rpc.Info](ctx, c, "system.info", nil)
}

// Stats counts what the daemon has done.
func (c *Client) Stats(ctx context.Context) (rpc.Stats, error) {
	return call[rpc.Stats](ctx, c, "system.stats", nil)
}

// Shutdown begins to end the daemon; it does not wait for the end.
func (c *Client) Shutdown(ctx context.Context, leaveRunning bool) (rpc.ShutdownResult, error) {
	return call[rpc.ShutdownResult](ctx, c, "system.shutdown", rpc.ShutdownParams{LeaveRunning: leaveRunning})
}

// Health asks whether the daemon has recovered. One that has not, or that is
// stopping, is no error: the answer says so.
func (c *Client) Health(ctx context.Context) (rpc.Health, error) {
	var health rpc.Health
	response, err := c.do(ctx, http.MethodGet, rpc.HealthPath, nil)
	if err != nil {
		return health, fmt.Errorf("cannot ask for health: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return health, fmt.Errorf("cannot ask for health: %w", c.lost(ctx, err))
	}
	if err := json.Unmarshal(text, &health); err != nil || health.Status == "" {
		return health, httpError(response.Status, text)
	}
	return health, nil
}
