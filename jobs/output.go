package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"

	"github.com/heroproc/heroproc/db"
	"github.com/heroproc/heroproc/jobs/document"
	"github.com/heroproc/heroproc/jobs/logs"
)

// Output reads what the attempts of a run or a job printed, job by job in graph
// order. With Follow it goes on as lines come, until everything asked for is
// final; the lines of one job stay in order, those of several come as they are
// written.
func (r *Runner) Output(ctx context.Context, q OutputQuery) iter.Seq2[OutputLine, error] {
	return func(yield func(OutputLine, error) bool) {
		run := q.Run
		if run == 0 {
			job, err := db.Get(ctx, r.db, func(ctx context.Context, queries *db.Queries) (db.Job, error) {
				job, err := queries.JobGet(ctx, q.Job)
				return job, notFound("job", q.Job, err)
			})
			if err != nil {
				yield(OutputLine{}, err)
				return
			}
			run = job.RunID
		}
		o := &output{runner: r, query: q, run: run, yield: yield}
		if err := o.read(ctx); err != nil {
			yield(OutputLine{}, err)
		}
	}
}

// output is one reading of a run's output.
type output struct {
	runner *Runner
	query  OutputQuery
	run    int64
	yield  func(OutputLine, error) bool
	// left: the caller wants no more.
	left bool
}

// source is one attempt whose output is asked for.
type source struct {
	job     db.Job
	attempt db.Attempt
	place   logs.Place
}

func (s *source) ended() bool { return s.attempt.FinishedAt != nil }

func (o *output) read(ctx context.Context) error {
	if o.query.Follow {
		return o.follow(ctx)
	}
	sources, _, err := o.sources(ctx)
	if err != nil {
		return err
	}
	return o.readAll(ctx, sources)
}

func (o *output) readAll(ctx context.Context, sources []source) error {
	for i := range sources {
		s := &sources[i]
		for line, err := range o.runner.logs.Read(ctx, o.logQuery(s)) {
			if err != nil {
				return err
			}
			if o.left = !o.yield(s.line(line), nil); o.left {
				return nil
			}
		}
	}
	return nil
}

func (o *output) logQuery(s *source) logs.Query {
	return logs.Query{Attempt: s.attempt.ID, Place: s.place, Tail: o.query.Tail, Live: !s.ended()}
}

func (s *source) line(line logs.Line) OutputLine {
	return OutputLine{JobID: s.job.ID, Job: s.job.Name, Attempt: s.attempt.Number, Line: line}
}

// sources are the attempts asked for that have begun to write, in the order in
// which they are shown. final says that none is to come and none writes any more.
func (o *output) sources(ctx context.Context) (list []source, final bool, err error) {
	details, err := db.Get(ctx, o.runner.db, func(ctx context.Context, q *db.Queries) ([]JobDetail, error) {
		if _, err := q.RunGet(ctx, o.run); err != nil {
			return nil, notFound("run", o.run, err)
		}
		return jobDetails(ctx, q, o.run)
	})
	if err != nil {
		return nil, false, err
	}
	final = true
	found := o.query.Attempt == 0
	for _, detail := range details {
		if o.query.Job != 0 && detail.Job.ID != o.query.Job {
			continue
		}
		jobFinal := JobState(detail.Job.State).Final()
		for _, attempt := range detail.Attempts {
			if o.query.Attempt != 0 && attempt.Number != o.query.Attempt {
				continue
			}
			found = true
			if o.query.Attempt != 0 {
				final = final && (attempt.FinishedAt != nil || jobFinal)
			}
			place, begun, err := placeOf(attempt)
			if err != nil {
				return nil, false, err
			}
			if begun {
				list = append(list, source{detail.Job, attempt, place})
			}
		}
		if o.query.Attempt == 0 {
			final = final && jobFinal
		}
	}
	if !found {
		return nil, false, fmt.Errorf("attempt %d of job %d: %w", o.query.Attempt, o.query.Job, ErrNotFound)
	}
	return list, final, nil
}

// placeOf is where an attempt's output lies; begun is false while nothing of it
// is known.
func placeOf(attempt db.Attempt) (place logs.Place, begun bool, err error) {
	if attempt.LogPlace == nil {
		return place, false, nil
	}
	if err := json.Unmarshal([]byte(*attempt.LogPlace), &place); err != nil {
		return place, false, fmt.Errorf("cannot read where the output of attempt %d lies: %w", attempt.ID, err)
	}
	return place, true, nil
}

// Log reads a page of one attempt's lines; attempt 0 is the latest. next is
// where the next page begins: empty at the end of an attempt that is over, and
// the place to ask again from while it still writes.
func (r *Runner) Log(ctx context.Context, job, attempt int64, tail, limit int, after string) (lines []logs.Line, next string, err error) {
	row, err := db.Get(ctx, r.db, func(ctx context.Context, q *db.Queries) (db.Attempt, error) {
		number := attempt
		if number == 0 {
			found, err := q.JobGet(ctx, job)
			if err != nil {
				return db.Attempt{}, notFound("job", job, err)
			}
			number = found.Attempt
		}
		row, err := q.AttemptGetByNumber(ctx, db.AttemptGetByNumberParams{JobID: job, Number: number})
		return row, notFound(fmt.Sprintf("job %d, attempt", job), number, err)
	})
	if err != nil {
		return nil, "", err
	}
	place, begun, err := placeOf(row)
	if err != nil || !begun {
		return nil, "", err
	}
	q := logs.Query{Attempt: row.ID, Place: place, Tail: tail, Live: row.FinishedAt == nil}
	if after != "" {
		if q.After, err = logs.ParseCursor(after); err != nil {
			return nil, "", document.Problems{{Path: "after", Text: err.Error()}}
		}
	}
	size := 0
	next = after
	for line, err := range r.logs.Read(ctx, q) {
		if err != nil {
			return nil, "", err
		}
		if len(lines) == limit || size > maxPageBytes {
			return lines, next, nil
		}
		line.Text = append([]byte(nil), line.Text...)
		lines, next, size = append(lines, line), line.Next.String(), size+len(line.Text)
	}
	if row.FinishedAt != nil {
		next = ""
	}
	return lines, next, nil
}

// maxPageBytes bounds one page of lines, whatever their number.
const maxPageBytes = 1 << 20
