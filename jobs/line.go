package jobs

import (
	"context"
	"time"

	"github.com/heroproc/heroproc/db"
)

// loader reads the items of a line from a place on; all says that none is left
// behind them.
type loader[V any] func(ctx context.Context, q *db.Queries, after place, limit int) (items []windowItem[V], all bool, err error)

// retryLoad is the pause after a failed read, so that a busy or broken database
// is not asked in a tight loop.
const retryLoad = 200 * time.Millisecond

// readOn reads on in a line, beside the dispatcher, when little of it is left in
// memory. Everything enqueued before is written first, so that the snapshot does
// not show what has left the line already.
func readOn[V any](ctx context.Context, d *dispatcher, w *window[V], load loader[V]) {
	after, begun := w.beginLoad()
	if !begun {
		return
	}
	d.loads.Go(func() {
		defer d.inbox.ring()
		type loaded struct {
			items []windowItem[V]
			all   bool
		}
		var got loaded
		err := d.db.Write(ctx, func(context.Context, *db.Tx) error { return nil })
		if err == nil {
			got, err = db.Get(ctx, d.db, func(ctx context.Context, q *db.Queries) (loaded, error) {
				items, all, err := load(ctx, q, after, w.max)
				return loaded{items, all}, err
			})
		}
		if err != nil && ctx.Err() == nil {
			d.log.Warn("cannot read what waits; trying again", "err", err)
			select {
			case <-time.After(retryLoad):
			case <-ctx.Done():
			}
		}
		w.endLoad(got.items, got.all, err != nil)
	})
}

// loadQueued reads the jobs that only admission holds. A job whose stored action
// cannot be read stays where it is, and is told; it must not hold up the others.
func (d *dispatcher) loadQueued(ctx context.Context, q *db.Queries, after place, limit int) ([]windowItem[*candidate], bool, error) {
	rows, err := q.JobQueuedAfter(ctx, db.JobQueuedAfterParams{After: after.id, MaxRows: int64(limit)})
	if err != nil {
		return nil, false, err
	}
	items := make([]windowItem[*candidate], 0, len(rows))
	for _, row := range rows {
		c, err := newCandidate(row.Job, row.AttemptID, row.Token, row.Context, row.TimeoutMs, row.DeadlineAt)
		if err != nil {
			d.log.Error("a queued job cannot be started", "job_id", row.Job.ID, "err", err)
			continue
		}
		items = append(items, windowItem[*candidate]{c.place(), c.bytes, c})
	}
	return items, len(rows) < limit, nil
}

func loadDelayed(ctx context.Context, q *db.Queries, after place, limit int) ([]windowItem[delayed], bool, error) {
	rows, err := q.JobDelayedFrom(ctx, db.JobDelayedFromParams{FromAt: after.order, MaxRows: int64(limit)})
	if err != nil {
		return nil, false, err
	}
	items := make([]windowItem[delayed], 0, len(rows))
	for _, row := range rows {
		items = append(items, windowItem[delayed]{
			place{row.NotBeforeAt, row.ID}, delayedBytes, delayed{row.RunID, row.ID, row.Attempt},
		})
	}
	return items, len(rows) < limit, nil
}

func loadDeadlines(ctx context.Context, q *db.Queries, after place, limit int) ([]windowItem[int64], bool, error) {
	rows, err := q.RunDeadlinesFrom(ctx, db.RunDeadlinesFromParams{FromAt: after.order, MaxRows: int64(limit)})
	if err != nil {
		return nil, false, err
	}
	items := make([]windowItem[int64], 0, len(rows))
	for _, row := range rows {
		items = append(items, windowItem[int64]{place{row.DeadlineAt, row.ID}, delayedBytes, row.ID})
	}
	return items, len(rows) < limit, nil
}
