package db_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/heroproc/heroproc/db"
	"github.com/heroproc/heroproc/db/dbtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// insertRun answers an operation that stores a run with this name and notes its
// id.
func insertRun(name string, id *int64) func(context.Context, *db.Tx) error {
	return func(ctx context.Context, tx *db.Tx) (err error) {
		got, err := tx.RunInsert(ctx, runParams(name))
		if id != nil {
			*id = got
		}
		return err
	}
}

func runParams(name string) db.RunInsertParams {
	return db.RunInsertParams{
		UID: uuid.NewString(), Name: name, Context: "core", Tags: "[]", ReasonCode: "submitted", CreatedAt: 1,
	}
}

// runNames answers the names of the stored runs, oldest first.
func runNames(t *testing.T, d *db.DB) []string {
	t.Helper()
	names, err := db.Get(t.Context(), d, func(ctx context.Context, q *db.Queries) ([]string, error) {
		runs, err := q.RunListBefore(ctx, db.RunListBeforeParams{Before: 1 << 60, MaxRows: 1000})
		names := []string{}
		for _, run := range runs {
			names = append([]string{run.Name}, names...)
		}
		return names, err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// hold occupies the writer until the answered function is called, so that what
// is written meanwhile becomes one batch. The functions given run after the
// holding commit and before that batch.
func hold(t *testing.T, d *db.DB, after ...func()) (release func()) {
	t.Helper()
	began, mayEnd := make(chan struct{}), make(chan struct{})
	err := d.Enqueue(t.Context(), db.Op{Apply: func(_ context.Context, tx *db.Tx) error {
		for _, fn := range after {
			tx.AfterCommit(fn)
		}
		close(began)
		<-mayEnd
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	<-began
	return func() { close(mayEnd) }
}

// batch writes the operations as one batch and answers the error of each.
func batch(t *testing.T, d *db.DB, ops ...func(context.Context, *db.Tx) error) []error {
	t.Helper()
	return batchAfter(t, d, func() {}, ops...)
}

// batchAfter is batch with a function that runs just before it.
func batchAfter(t *testing.T, d *db.DB, before func(), ops ...func(context.Context, *db.Tx) error) []error {
	t.Helper()
	release := hold(t, d, before)
	errs := make([]error, len(ops))
	var wg sync.WaitGroup
	for i, op := range ops {
		wg.Add(1)
		err := d.Enqueue(t.Context(), db.Op{Apply: op, Done: func(err error) { errs[i] = err; wg.Done() }})
		if err != nil {
			t.Fatal(err)
		}
	}
	release()
	wg.Wait()
	return errs
}

func equal(t *testing.T, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestDB(t *testing.T) {
	t.Parallel()

	setup := func(t *testing.T) *db.DB {
		t.Helper()
		t.Parallel()
		return dbtest.New(t)
	}

	t.Run("ReadsWhatWasWritten", func(t *testing.T) {
		d := setup(t)
		var id int64
		if err := d.Write(t.Context(), insertRun("a", &id)); err != nil {
			t.Fatal(err)
		}
		run, err := db.Get(t.Context(), d, func(ctx context.Context, q *db.Queries) (db.Run, error) {
			return q.RunGet(ctx, id)
		})
		if err != nil || run.Name != "a" || run.State != "running" {
			t.Errorf("read %+v, %v", run, err)
		}
	})

	t.Run("IsOnDiskWhenAnswered", func(t *testing.T) {
		d := setup(t)
		if err := d.Write(t.Context(), insertRun("a", nil)); err != nil {
			t.Fatal(err)
		}
		var mode int64
		if err := d.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			return db.Raw(tx).QueryRowContext(ctx, "PRAGMA synchronous").Scan(&mode)
		}); err != nil || mode != 2 {
			t.Errorf("synchronous is %d, %v, want FULL", mode, err)
		}
	})

	t.Run("TellsANotFoundFromOtherErrors", func(t *testing.T) {
		d := setup(t)
		err := d.Read(t.Context(), func(ctx context.Context, q *db.Queries) error {
			_, err := q.RunGet(ctx, 7)
			return err
		})
		if !db.IsNotFound(err) || db.IsStorage(err) || db.IsUnique(err) {
			t.Errorf("a missing row = %v", err)
		}
		key := "k"
		twice := func(ctx context.Context, tx *db.Tx) error {
			params := runParams("a")
			params.Key = &key
			_, err := tx.RunInsert(ctx, params)
			return err
		}
		if err := d.Write(t.Context(), twice); err != nil {
			t.Fatal(err)
		}
		if err := d.Write(t.Context(), twice); !db.IsUnique(err) || db.IsStorage(err) {
			t.Errorf("a second row with the same key = %v", err)
		}
	})

	t.Run("CannotWriteThroughAReader", func(t *testing.T) {
		d := setup(t)
		err := d.Read(t.Context(), func(ctx context.Context, q *db.Queries) error {
			_, err := q.RunInsert(ctx, runParams("a"))
			return err
		})
		if err == nil {
			t.Error("a read wrote")
		}
		equal(t, runNames(t, d), []string{})
	})

	t.Run("ReadsOneSnapshot", func(t *testing.T) {
		d := setup(t)
		counts, err := db.Get(t.Context(), d, func(ctx context.Context, q *db.Queries) (counts [2]int, err error) {
			for i := range counts {
				runs, err := q.RunListBefore(ctx, db.RunListBeforeParams{Before: 100, MaxRows: 100})
				if err != nil {
					return counts, err
				}
				counts[i] = len(runs)
				if err := d.Write(ctx, insertRun("between", nil)); err != nil {
					return counts, err
				}
			}
			return counts, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		equal(t, counts, [2]int{0, 0})
		equal(t, runNames(t, d), []string{"between", "between"})
	})

	t.Run("FailsABadOperationAlone", func(t *testing.T) {
		d := setup(t)
		bad := errors.New("bad")
		errs := batch(t, d,
			insertRun("a", nil),
			func(ctx context.Context, tx *db.Tx) error {
				return errors.Join(insertRun("half", nil)(ctx, tx), bad)
			},
			func(ctx context.Context, tx *db.Tx) error {
				if err := insertRun("half", nil)(ctx, tx); err != nil {
					return err
				}
				panic("operation")
			},
			func(ctx context.Context, tx *db.Tx) error {
				params := runParams("b")
				params.Tags = "no JSON"
				_, err := tx.RunInsert(ctx, params)
				return err
			},
			insertRun("b", nil),
		)
		if errs[0] != nil || !errors.Is(errs[1], bad) || errs[2] == nil || errs[3] == nil || errs[4] != nil {
			t.Errorf("answered %v", errs)
		}
		if strings.Contains(errs[2].Error(), "goroutine") {
			t.Errorf("the panic's error shows a stack: %v", errs[2])
		}
		equal(t, runNames(t, d), []string{"a", "b"})
		if s := d.Stats().Writes; s.Failed != 3 || s.BatchMax != 5 {
			t.Errorf("stats %+v", s)
		}
	})

	t.Run("FailsTheBatchWhenAnOperationEndsTheWorker", func(t *testing.T) {
		d := setup(t)
		errs := batch(t, d, insertRun("a", nil), func(context.Context, *db.Tx) error {
			runtime.Goexit()
			return nil
		})
		for _, err := range errs {
			if !db.IsStorage(err) {
				t.Errorf("answered %v", err)
			}
		}
		if err := d.Write(t.Context(), insertRun("b", nil)); err != nil {
			t.Errorf("the next write = %v", err)
		}
		equal(t, runNames(t, d), []string{"b"})
	})

	t.Run("RunsWhatWaitsForTheCommitBeforeAnswering", func(t *testing.T) {
		d := setup(t)
		var order []string
		say := func(what string) func() { return func() { order = append(order, what) } }
		errs := batch(t, d,
			func(ctx context.Context, tx *db.Tx) error {
				tx.AfterCommit(say("first"))
				return insertRun("a", nil)(ctx, tx)
			},
			func(_ context.Context, tx *db.Tx) error {
				tx.AfterCommit(say("of the failed one"))
				return errors.New("bad")
			},
			func(_ context.Context, tx *db.Tx) error {
				tx.AfterCommit(func() { panic("after the commit") })
				tx.AfterCommit(func() { order = append(order, fmt.Sprint("sees ", runNames(t, d))) })
				return nil
			},
		)
		equal(t, []bool{errs[0] == nil, errs[1] == nil, errs[2] == nil}, []bool{true, false, true})
		equal(t, order, []string{"first", "sees [a]"})
	})

	t.Run("StoresTheLastPositionOfEachEpoch", func(t *testing.T) {
		d := setup(t)
		applied := func(epoch, number uint64, err error) func(context.Context, *db.Tx) error {
			return func(_ context.Context, tx *db.Tx) error {
				tx.Applied(epoch, number)
				return err
			}
		}
		batch(t, d, applied(1, 5, nil), applied(1, 6, nil), applied(2, 1, nil), applied(2, 9, errors.New("bad")))
		batch(t, d, applied(1, 4, nil))
		positions, err := db.Get(t.Context(), d, func(ctx context.Context, q *db.Queries) ([]db.ExecutorPosition, error) {
			return q.ExecutorPositionList(ctx)
		})
		if err != nil {
			t.Fatal(err)
		}
		equal(t, positions, []db.ExecutorPosition{{Epoch: 1, Number: 6}, {Epoch: 2, Number: 1}})
	})

	t.Run("LetsOthersInBetweenSlices", func(t *testing.T) {
		d := setup(t)
		var others sync.WaitGroup
		slices := 0
		err := d.WriteSliced(t.Context(), func(ctx context.Context, tx *db.Tx) (bool, error) {
			slices++
			others.Add(1)
			err := d.Enqueue(ctx, db.Op{
				Apply: insertRun(fmt.Sprint("other ", slices), nil), Done: func(error) { others.Done() },
			})
			return slices < 3, errors.Join(err, insertRun(fmt.Sprint("slice ", slices), nil)(ctx, tx))
		})
		if err != nil {
			t.Fatal(err)
		}
		others.Wait()
		equal(t, runNames(t, d), []string{"slice 1", "other 1", "slice 2", "other 2", "slice 3", "other 3"})
	})

	t.Run("StopsSlicingAtAnErrorAndKeepsWhatIsDone", func(t *testing.T) {
		d := setup(t)
		bad := errors.New("bad")
		slices := 0
		err := d.WriteSliced(t.Context(), func(ctx context.Context, tx *db.Tx) (bool, error) {
			if slices++; slices == 2 {
				return true, bad
			}
			return true, insertRun("slice", nil)(ctx, tx)
		})
		if !errors.Is(err, bad) {
			t.Errorf("WriteSliced = %v", err)
		}
		equal(t, runNames(t, d), []string{"slice"})
	})

	t.Run("KeepsOnlyTheLatestBestEffortWrite", func(t *testing.T) {
		d := setup(t)
		release := hold(t, d)
		for n := range 5 {
			d.WriteLatest("stats", insertRun(fmt.Sprint(n), nil))
		}
		release()
		if err := d.Write(t.Context(), insertRun("awaited", nil)); err != nil {
			t.Fatal(err)
		}
		for len(runNames(t, d)) < 2 {
			runtime.Gosched()
		}
		names := strings.Join(runNames(t, d), " ")
		if names != "4 awaited" && names != "awaited 4" {
			t.Errorf("stored %s", names)
		}
		equal(t, d.Stats().Writes.Dropped, uint64(4))
	})

	t.Run("KeepsItsFilesPrivate", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "odd name?#%41.db")
		d := dbtest.Open(t, db.Options{Path: path})
		if err := d.Write(t.Context(), insertRun("a", nil)); err != nil {
			t.Fatal(err)
		}
		for _, suffix := range []string{"", "-wal", "-shm"} {
			info, err := os.Stat(path + suffix)
			if err != nil {
				t.Error(err)
				continue
			}
			equal(t, info.Mode().Perm().String(), "-rw-------")
		}
	})

	t.Run("AnswersAsClosedAfterClose", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "heroproc.db")
		d, err := db.Open(t.Context(), db.Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := d.Close(t.Context()); err != nil {
				t.Errorf("Close = %v", err)
			}
		}
		if err := d.Write(t.Context(), insertRun("a", nil)); !errors.Is(err, db.ErrClosed) {
			t.Errorf("Write = %v", err)
		}
		err = d.Enqueue(t.Context(), db.Op{Apply: insertRun("a", nil)})
		if !errors.Is(err, db.ErrClosed) {
			t.Errorf("Enqueue = %v", err)
		}
		err = d.Read(t.Context(), func(context.Context, *db.Queries) error { return nil })
		if !errors.Is(err, db.ErrClosed) {
			t.Errorf("Read = %v", err)
		}
		d.WriteLatest("a", insertRun("a", nil))
		entries, err := os.ReadDir(filepath.Dir(path))
		if err != nil || len(entries) != 1 {
			t.Errorf("Close left %v, %v", entries, err)
		}
	})

	t.Run("MayBeClosedByManyWhileOthersUseIt", func(t *testing.T) {
		t.Parallel()
		d, err := db.Open(t.Context(), db.Options{Path: filepath.Join(t.TempDir(), "heroproc.db")})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for n := range 20 {
			wg.Go(func() {
				for err := error(nil); err == nil; {
					if err = d.Write(t.Context(), insertRun("a", nil)); err == nil && n%2 == 0 {
						err = d.Close(t.Context())
					}
				}
			})
		}
		wg.Wait()
		if err := d.Close(t.Context()); err != nil {
			t.Errorf("Close = %v", err)
		}
	})

	t.Run("GivesUpAndCountsAtTheEndOfClosesContext", func(t *testing.T) {
		t.Parallel()
		d, err := db.Open(t.Context(), db.Options{Path: filepath.Join(t.TempDir(), "heroproc.db")})
		if err != nil {
			t.Fatal(err)
		}
		release := hold(t, d)
		lost := make(chan error, 1)
		err = d.Enqueue(t.Context(), db.Op{Apply: insertRun("a", nil), Done: func(err error) { lost <- err }})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := d.Close(ctx); err == nil || !strings.Contains(err.Error(), "1 unawaited") {
			t.Errorf("Close = %v", err)
		}
		if err := <-lost; !errors.Is(err, db.ErrClosed) {
			t.Errorf("the lost write was answered %v", err)
		}
		release()
		if err := d.Close(t.Context()); err != nil {
			t.Errorf("the second Close = %v", err)
		}
	})

	t.Run("IsBusyWhenTheCallerCannotWaitForRoom", func(t *testing.T) {
		t.Parallel()
		d := dbtest.Open(t, db.Options{MaxQueued: 1, Readers: 1, ReadQueue: 1})
		release := hold(t, d)
		if err := d.Enqueue(t.Context(), db.Op{Apply: insertRun("a", nil)}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cause := make(chan error)
		go func() { cause <- d.Write(ctx, insertRun("b", nil)) }()
		for d.Stats().Writes.Waiting == 0 {
			runtime.Gosched()
		}
		cancel()
		if err := <-cause; !errors.Is(err, db.ErrBusy) || !errors.Is(err, context.Canceled) {
			t.Errorf("Write = %v", err)
		}
		release()
	})
}

// TestManyWritersOneTruth has many callers write at once and checks that each
// answered row is there once, in batches.
func TestManyWritersOneTruth(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	const writers, each = 50, 20
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for n := range each {
				if err := d.Write(t.Context(), insertRun(fmt.Sprint(w, "/", n), nil)); err != nil {
					t.Errorf("Write = %v", err)
				}
			}
		})
	}
	wg.Wait()
	seen := map[string]int{}
	for _, name := range runNames(t, d) {
		seen[name]++
	}
	equal(t, len(seen), writers*each)
	s := d.Stats()
	if s.Writes.Batches >= writers*each || s.Writes.Items != writers*each {
		t.Errorf("nothing was grouped: %+v", s.Writes)
	}
}

// TestNoCallOutsideThePools watches every statement after Open and holds the
// stack it was run on against the workers of the pools.
func TestNoCallOutsideThePools(t *testing.T) {
	t.Parallel()
	driver := &dbtest.Faults{}
	d := dbtest.Open(t, db.Options{Driver: driver, WALLimit: 1 << 20})
	var inside, outside atomic.Int64
	driver.Watch(func(query string) {
		if onWorker() {
			inside.Add(1)
			return
		}
		outside.Add(1)
		t.Errorf("%q ran outside the pools", query)
	})

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	for n := range 20 {
		wg.Go(func() {
			for range 20 {
				_ = d.Write(ctx, insertRun(fmt.Sprint(n), nil))
				_ = d.Enqueue(ctx, db.Op{Apply: insertRun(fmt.Sprint(n), nil), Linger: n%2 == 0})
				d.WriteLatest("a", insertRun("latest", nil))
				_ = d.Read(ctx, func(ctx context.Context, q *db.Queries) error {
					if n == 7 {
						cancel() // in the middle of reads and writes of others
					}
					_, err := q.RunListBefore(ctx, db.RunListBeforeParams{Before: 1 << 60, MaxRows: 10})
					return err
				})
			}
		})
	}
	wg.Wait()
	err := d.WriteSliced(t.Context(), func(ctx context.Context, tx *db.Tx) (bool, error) {
		return false, insertRun("slice", nil)(ctx, tx)
	})
	if err != nil {
		t.Error(err)
	}
	if err := d.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if inside.Load() < 100 {
		t.Errorf("only %d statements were seen", inside.Load())
	}
}

// onWorker reports whether the caller's goroutine is a pool's worker.
func onWorker() bool {
	callers := make([]uintptr, 100)
	frames := runtime.CallersFrames(callers[:runtime.Callers(1, callers)])
	for {
		frame, more := frames.Next()
		if strings.Contains(frame.Function, "alitto/pond/v2.(*pool).worker") {
			return true
		}
		if !more {
			return false
		}
	}
}
