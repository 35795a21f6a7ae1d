package api

import (
	"cmp"
	"context"
	"math"

	"github.com/heroproc/heroproc/db"
	"github.com/heroproc/heroproc/supervisor/api/rpc"
)

// jobMethods are the methods of jobs.
func jobMethods() []Method {
	return []Method{
		define("job.list", "Lists jobs of all runs, newest first.", (*Server).jobList),
		define("job.show", "Shows a job with what it needs and its attempts.", (*Server).jobShow),
		define("job.logs", "Reads a page of a job's output; GET /logs streams and follows it.", (*Server).jobLogs),
	}
}

func (s *Server) jobList(ctx context.Context, p rpc.ListParams) (rpc.JobList, error) {
	var list rpc.JobList
	limit, err := checkPage(p)
	if err != nil {
		return list, err
	}
	rows, err := s.runs.Jobs(ctx, p.Before, limit+1)
	if err != nil {
		return list, err
	}
	rows, list.Next = cutPage(rows, limit, func(row db.Job) int64 { return row.ID })
	list.Jobs, err = converted(rows, viewJob)
	return list, err
}

func (s *Server) jobShow(ctx context.Context, p rpc.IDParams) (rpc.JobDetail, error) {
	if err := checkID(p.ID); err != nil {
		return rpc.JobDetail{}, err
	}
	detail, err := s.runs.Job(ctx, p.ID)
	if err != nil {
		return rpc.JobDetail{}, err
	}
	return viewJobDetail(detail)
}

func (s *Server) jobLogs(ctx context.Context, p rpc.LogsParams) (rpc.LogsResult, error) {
	var c checks
	limit := cmp.Or(p.Limit, rpc.DefaultLines)
	c.id(p.ID)
	c.within("attempt", p.Attempt, 0, math.MaxInt64)
	c.within("tail", int64(p.Tail), 0, rpc.MaxLines)
	c.within("limit", int64(limit), 1, rpc.MaxLines)
	if err := c.err(); err != nil {
		return rpc.LogsResult{}, err
	}
	lines, next, err := s.runs.Log(ctx, p.ID, p.Attempt, p.Tail, limit, p.After)
	if err != nil {
		return rpc.LogsResult{}, err
	}
	return rpc.LogsResult{Lines: mapped(lines, viewLine), Next: next}, nil
}
