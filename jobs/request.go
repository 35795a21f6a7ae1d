package jobs

import (
	"context"
	"errors"
	"fmt"

	"github.com/heroproc/heroproc/db"
	"github.com/heroproc/heroproc/jobs/document"
	"github.com/heroproc/heroproc/jobs/spec"
)

// Submit stores runs, all of them or none, and answers when they are on disk.
// Everything that is wrong with any of them is reported together, as
// document.Problems.
func (r *Runner) Submit(ctx context.Context, runs []spec.Run) ([]Submitted, error) {
	if r.refusing.Load() {
		return nil, ErrStopping
	}
	prepared, err := prepare(runs)
	if err != nil {
		return nil, err
	}
	var bytes int
	for _, s := range prepared {
		bytes += s.bytes
	}
	now := r.rec.now().UnixMilli()
	// Handed over by a channel: a caller whose context ended has left, while the
	// operation is still under way.
	answer := make(chan []Submitted, 1)
	err = r.db.WriteSized(ctx, bytes, func(ctx context.Context, tx *db.Tx) error {
		results := make([]Submitted, 0, len(prepared))
		for _, s := range prepared {
			submitted, err := r.rec.submit(ctx, tx, s, now)
			if err != nil {
				return err
			}
			results = append(results, submitted)
		}
		answer <- results
		return nil
	})
	if err != nil {
		return nil, err
	}
	return <-answer, nil
}

// prepare validates runs and works out everything a transaction does not need
// to be open for.
func prepare(runs []spec.Run) ([]*submission, error) {
	var problems document.Problems
	for i := range runs {
		runs[i].FillIn()
		var found document.Problems
		if err := runs[i].Validate(); err == nil {
			continue
		} else if !errors.As(err, &found) {
			return nil, err
		}
		if len(runs) > 1 {
			for j := range found {
				found[j].Path = document.Path("runs").Index(i).Join(found[j].Path)
			}
		}
		problems = append(problems, found...)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	prepared := make([]*submission, len(runs))
	for i := range runs {
		var err error
		if prepared[i], err = newSubmission(&runs[i]); err != nil {
			return nil, err
		}
	}
	return prepared, nil
}

// Wait answers when the run is final, or with how it stands when ctx ends. It
// holds no reader and asks nothing while it waits.
func (r *Runner) Wait(ctx context.Context, id int64) (Outcome, error) {
	watch := r.rec.watchers.add(id, true)
	defer r.rec.watchers.remove(id, watch)
	for last := false; ; {
		now, err := r.outcome(context.WithoutCancel(ctx), id)
		if err != nil || now.State.Final() || ctx.Err() != nil {
			return now, err
		}
		if last {
			return now, ErrStopping
		}
		select {
		case <-watch.bell:
		case <-ctx.Done():
		case <-r.stopped:
			// What ended with the daemon is on disk by now: one more look.
			last = true
		}
	}
}

func (r *Runner) outcome(ctx context.Context, id int64) (Outcome, error) {
	return db.Get(ctx, r.db, func(ctx context.Context, q *db.Queries) (Outcome, error) {
		run, err := q.RunGet(ctx, id)
		if err != nil {
			return Outcome{}, notFound("run", id, err)
		}
		return outcome(ctx, q, run)
	})
}

// Cancel ends a run: what has no process at once, what has one by its stop
// sequence. It answers when the wish is on disk; Wait tells when nothing is left.
func (r *Runner) Cancel(ctx context.Context, id int64) (Cancelled, error) {
	type answer struct {
		result Cancelled
		err    error
	}
	answers := make(chan answer, 1)
	r.dsp.inbox.post(func() {
		r.dsp.endRun(r.life, id, stopCancel, func(result Cancelled, err error) { answers <- answer{result, err} })
	})
	select {
	case a := <-answers:
		return a.result, a.err
	case <-ctx.Done():
		return Cancelled{}, ctx.Err()
	case <-r.stopped:
		return Cancelled{}, ErrStopping
	}
}

// notFound turns a missing row into ErrNotFound with a name.
func notFound(what string, id int64, err error) error {
	if db.IsNotFound(err) {
		return fmt.Errorf("%s %d: %w", what, id, ErrNotFound)
	}
	return err
}
