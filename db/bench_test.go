package db_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/heroproc/heroproc/db"
	"github.com/heroproc/heroproc/db/dbtest"
)

// submitRun stores what a run of one job is made of.
func submitRun(ctx context.Context, tx *db.Tx) error {
	_, _, err := submit(ctx, tx)
	return err
}

func submit(ctx context.Context, tx *db.Tx) (job, attempt int64, err error) {
	run, err := tx.RunInsert(ctx, runParams("bench"))
	if err != nil {
		return 0, 0, err
	}
	job, err = tx.JobInsert(ctx, db.JobInsertParams{
		RunID: run, Position: 0, Name: "main", State: "queued", ReasonCode: "submitted", Action: "{}", CreatedAt: 1,
	})
	if err != nil {
		return 0, 0, err
	}
	attempt, err = tx.AttemptInsert(ctx, db.AttemptInsertParams{JobID: job, Number: 1, Token: "token", CreatedAt: 1})
	if err != nil {
		return 0, 0, err
	}
	return job, attempt, tx.EventInsert(ctx, db.EventInsertParams{At: 1, Kind: "run", RunID: run, ToState: "running"})
}

// produce has producers call write until b is over.
func produce(b *testing.B, producers int, write func() error) {
	b.Helper()
	var wg sync.WaitGroup
	todo := make(chan struct{}, 2*producers)
	for range producers {
		wg.Go(func() {
			for range todo {
				if err := write(); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for b.Loop() {
		todo <- struct{}{}
	}
	close(todo)
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}

// BenchmarkWrite compares group commit with one transaction for each write, at
// the same durability. Their ratio within one run is what counts:
//
//	go test -bench Write -count 6 ./db | benchstat -col /commit -
func BenchmarkWrite(b *testing.B) {
	works := map[string]func(context.Context, *db.Tx) error{
		"row": func(ctx context.Context, tx *db.Tx) error {
			// SQLite does not write a page whose content stays.
			return tx.MetaSet(ctx, db.MetaSetParams{Key: "bench", Value: uuid.NewString()})
		},
		"run": submitRun,
	}
	for _, work := range []string{"row", "run"} {
		for _, producers := range []int{1, 8, 200} {
			for commit, maxBatch := range map[string]int{"each": 1, "group": 0} {
				name := fmt.Sprintf("work=%s/producers=%d/commit=%s", work, producers, commit)
				b.Run(name, func(b *testing.B) {
					d := dbtest.Open(b, db.Options{Path: filepath.Join(b.TempDir(), "heroproc.db"), MaxBatch: maxBatch})
					produce(b, producers, func() error { return d.Write(context.Background(), works[work]) })
				})
			}
		}
	}
}

// BenchmarkTransition is the way of one job from queued to its end, nobody
// waiting but for the last: three operations that linger for company.
func BenchmarkTransition(b *testing.B) {
	d := dbtest.New(b)
	produce(b, 8, func() error {
		ctx := context.Background()
		var job, attempt int64
		err := d.Write(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
			job, attempt, err = submit(ctx, tx)
			return err
		})
		if err != nil {
			return err
		}
		steps := []func(ctx context.Context, tx *db.Tx) error{
			func(ctx context.Context, tx *db.Tx) error {
				_, err := tx.JobSetStarting(ctx, db.JobSetStartingParams{ID: job, Attempt: 1, ReasonCode: "admitted"})
				return err
			},
			func(ctx context.Context, tx *db.Tx) error {
				tx.Applied(1, uint64(2*job))
				_, err := tx.JobSetRunning(ctx, db.JobSetRunningParams{ID: job, Attempt: 1, ReasonCode: "started"})
				return err
			},
			func(ctx context.Context, tx *db.Tx) error {
				tx.Applied(1, uint64(2*job+1))
				if _, err := tx.AttemptSetEnded(ctx, db.AttemptSetEndedParams{ID: attempt, FinishedAt: new(int64(2)), ReasonCode: "exit"}); err != nil {
					return err
				}
				_, err := tx.JobSetFinal(ctx, db.JobSetFinalParams{
					ID: job, Attempt: 1, FromState: "running", State: "succeeded", ReasonCode: "exit", FinishedAt: new(int64(2)),
				})
				return err
			},
		}
		ended := make(chan error, 1)
		for i, step := range steps {
			op := db.Op{Apply: step, Linger: true}
			if i == len(steps)-1 {
				op.Done = func(err error) { ended <- err }
			}
			if err := d.Enqueue(ctx, op); err != nil {
				return err
			}
		}
		return <-ended
	})
}

// BenchmarkRead compares the pool with one connection behind a mutex.
func BenchmarkRead(b *testing.B) {
	read := func(ctx context.Context, q *db.Queries) (db.Run, error) { return q.RunGet(ctx, 500) }
	for _, callers := range []int{1, 8} {
		for way, readers := range map[string]int{"mutex": 1, "pool": 0} {
			b.Run(fmt.Sprintf("callers=%d/way=%s", callers, way), func(b *testing.B) {
				d := dbtest.Open(b, db.Options{Path: filepath.Join(b.TempDir(), "heroproc.db"), Readers: readers})
				for range 1000 {
					if err := d.Enqueue(b.Context(), db.Op{Apply: submitRun}); err != nil {
						b.Fatal(err)
					}
				}
				if err := d.Write(b.Context(), submitRun); err != nil {
					b.Fatal(err)
				}
				var mu sync.Mutex
				direct := db.ReaderConn(d)
				produce(b, callers, func() error {
					if way == "mutex" {
						mu.Lock()
						defer mu.Unlock()
						_, err := read(context.Background(), direct)
						return err
					}
					_, err := db.Get(context.Background(), d, read)
					return err
				})
			})
		}
	}
}
