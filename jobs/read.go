package jobs

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/heroproc/heroproc/db"
	"github.com/heroproc/heroproc/jobs/spec"
)

// maxAttemptsShown bounds the attempts that one answer carries; a run of that
// many is asked for job by job.
const maxAttemptsShown = 20_000

// Run reads a run with its jobs and their attempts.
func (r *Runner) Run(ctx context.Context, id int64) (RunDetail, error) {
	return db.Get(ctx, r.db, func(ctx context.Context, q *db.Queries) (RunDetail, error) {
		run, err := q.RunGet(ctx, id)
		if err != nil {
			return RunDetail{}, notFound("run", id, err)
		}
		o, err := outcome(ctx, q, run)
		if err != nil {
			return RunDetail{}, err
		}
		jobs, err := jobDetails(ctx, q, id)
		return RunDetail{Run: run, ExitCode: o.ExitCode, Jobs: jobs}, err
	})
}

// jobDetails reads a run's jobs with their needs and attempts.
func jobDetails(ctx context.Context, q *db.Queries, run int64) ([]JobDetail, error) {
	jobs, err := q.JobListByRun(ctx, db.JobListByRunParams{RunID: run, MaxRows: spec.MaxJobs})
	if err != nil {
		return nil, err
	}
	needs, err := needsByJob(ctx, q, run, jobs)
	if err != nil {
		return nil, err
	}
	attempts, err := q.AttemptListByRun(ctx, db.AttemptListByRunParams{RunID: run, MaxRows: maxAttemptsShown})
	if err != nil {
		return nil, err
	}
	byJob := make(map[int64][]db.Attempt, len(jobs))
	for _, attempt := range attempts {
		byJob[attempt.JobID] = append(byJob[attempt.JobID], attempt)
	}
	details := make([]JobDetail, len(jobs))
	for i, job := range jobs {
		details[i] = JobDetail{Job: job, Needs: needs[job.ID], Attempts: byJob[job.ID]}
	}
	return details, nil
}

// needsByJob answers the names of what each job of a run needs.
func needsByJob(ctx context.Context, q *db.Queries, run int64, jobs []db.Job) (map[int64][]string, error) {
	needs := make(map[int64][]string)
	if len(jobs) < 2 {
		return needs, nil
	}
	edges, err := q.JobDependencyListByRun(ctx, run)
	if err != nil {
		return nil, err
	}
	names := make(map[int64]string, len(jobs))
	for _, job := range jobs {
		names[job.ID] = job.Name
	}
	for _, edge := range edges {
		needs[edge.JobID] = append(needs[edge.JobID], names[edge.NeedsID])
	}
	for _, list := range needs {
		slices.Sort(list)
	}
	return needs, nil
}

// Runs pages through all runs, newest first; before 0 begins with the newest.
func (r *Runner) Runs(ctx context.Context, before int64, limit int) ([]db.Run, error) {
	return db.Get(ctx, r.db, func(ctx context.Context, q *db.Queries) ([]db.Run, error) {
		return q.RunListBefore(ctx, db.RunListBeforeParams{Before: cmp.Or(before, math.MaxInt64), MaxRows: int64(limit)})
	})
}

// Job reads a job with what it needs and its attempts.
func (r *Runner) Job(ctx context.Context, id int64) (JobDetail, error) {
	return db.Get(ctx, r.db, func(ctx context.Context, q *db.Queries) (JobDetail, error) {
		job, err := q.JobGet(ctx, id)
		if err != nil {
			return JobDetail{}, notFound("job", id, err)
		}
		jobs, err := q.JobListByRun(ctx, db.JobListByRunParams{RunID: job.RunID, MaxRows: spec.MaxJobs})
		if err != nil {
			return JobDetail{}, err
		}
		needs, err := needsByJob(ctx, q, job.RunID, jobs)
		if err != nil {
			return JobDetail{}, err
		}
		attempts, err := q.AttemptListByJob(ctx, db.AttemptListByJobParams{JobID: id, MaxRows: maxAttemptsShown})
		slices.Reverse(attempts)
		return JobDetail{Job: job, Needs: needs[id], Attempts: attempts}, err
	})
}

// Jobs pages through all jobs, newest first; before 0 begins with the newest.
func (r *Runner) Jobs(ctx context.Context, before int64, limit int) ([]db.Job, error) {
	return db.Get(ctx, r.db, func(ctx context.Context, q *db.Queries) ([]db.Job, error) {
		return q.JobListBefore(ctx, db.JobListBeforeParams{Before: cmp.Or(before, math.MaxInt64), MaxRows: int64(limit)})
	})
}
