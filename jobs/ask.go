package jobs

import (
	"context"

	"github.com/heroproc/heroproc/db"
)

// read asks the database for one answer. The answer is handed over only when
// there is one: a caller whose context ended has left, while the read may still
// be under way.
func read[V any](ctx context.Context, from *db.DB, ask func(context.Context, *db.Queries) (V, error)) (V, error) {
	answer := make(chan V, 1)
	err := from.Read(ctx, func(ctx context.Context, q *db.Queries) error {
		v, err := ask(ctx, q)
		if err == nil {
			answer <- v
		}
		return err
	})
	return handedOver(answer, err)
}

// write is read for an awaited write operation.
func write[V any](ctx context.Context, to *db.DB, apply func(context.Context, *db.Tx) (V, error)) (V, error) {
	answer := make(chan V, 1)
	err := to.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		v, err := apply(ctx, tx)
		if err == nil {
			answer <- v
		}
		return err
	})
	return handedOver(answer, err)
}

func handedOver[V any](answer chan V, err error) (V, error) {
	if err != nil {
		var none V
		return none, err
	}
	return <-answer, nil
}
