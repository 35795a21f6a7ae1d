package db_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/mattn/go-sqlite3"

	"github.com/heroproc/heroproc/db"
	"github.com/heroproc/heroproc/db/dbtest"
)

var errFault = errors.New("injected fault")

// bigRun stores a run that needs more pages than a nearly full disk has.
func bigRun(ctx context.Context, tx *db.Tx) error {
	params := runParams("big")
	params.Tags = `["` + strings.Repeat("x", 1<<20) + `"]`
	_, err := tx.RunInsert(ctx, params)
	return err
}

// limitPages leaves the database room for a few more pages, or takes the limit
// away again.
func limitPages(t *testing.T, d *db.DB, limited bool) {
	t.Helper()
	err := d.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
		limit := "PRAGMA max_page_count=4294967294"
		if limited {
			limit = "PRAGMA max_page_count=1" // SQLite makes it the present size
		}
		var now int64
		return db.Raw(tx).QueryRowContext(ctx, limit).Scan(&now)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestDiskFullInTheMiddleOfABatch(t *testing.T) {
	t.Parallel()

	for name, big := range map[string]func(context.Context, *db.Tx) error{
		"Told":      bigRun,
		"KeptQuiet": func(ctx context.Context, tx *db.Tx) error { _ = bigRun(ctx, tx); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := dbtest.New(t)
			if err := d.Write(t.Context(), insertRun("before", nil)); err != nil {
				t.Fatal(err)
			}
			limitPages(t, d, true)
			committed, applied := false, false
			errs := batch(t, d,
				func(ctx context.Context, tx *db.Tx) error {
					tx.AfterCommit(func() { committed = true })
					tx.Applied(1, 1)
					return insertRun("in the batch", nil)(ctx, tx)
				},
				big,
				func(ctx context.Context, tx *db.Tx) error {
					applied = true
					return insertRun("in the batch", nil)(ctx, tx)
				},
			)
			for i, err := range errs {
				if !db.IsStorage(err) {
					t.Errorf("operation %d was answered %v, want a storage error", i, err)
				}
			}
			if committed || applied {
				t.Errorf("after the rollback: committed %v, applied %v", committed, applied)
			}
			equal(t, runNames(t, d), []string{"before"})

			limitPages(t, d, false)
			if err := d.Write(t.Context(), bigRun); err != nil {
				t.Errorf("with space again: %v", err)
			}
			equal(t, runNames(t, d), []string{"before", "big"})
			positions, err := db.Get(t.Context(), d, func(ctx context.Context, q *db.Queries) ([]db.ExecutorPosition, error) {
				return q.ExecutorPositionList(ctx)
			})
			if err != nil || len(positions) != 0 {
				t.Errorf("positions %v, %v", positions, err)
			}
		})
	}
}

// TestFaults fails one statement of a batch of three and says what must be left
// of it. The middle operation fails by itself where that is needed to reach the
// statement.
func TestFaults(t *testing.T) {
	t.Parallel()

	tests := []struct {
		name      string
		statement string
		nth       int
		err       error
		middle    error
		stored    []string
		storage   bool // a storage error for all
	}{
		{name: "Begin", statement: "BEGIN IMMEDIATE", nth: 1, err: errFault, storage: true},
		{name: "BeginBusy", statement: "BEGIN IMMEDIATE", nth: 1, err: sqlite3.Error{Code: sqlite3.ErrBusy}},
		{name: "Savepoint", statement: "SAVEPOINT", nth: 2, err: errFault, stored: []string{"a", "c"}},
		{name: "Insert", statement: "RunInsert", nth: 2, err: errFault, stored: []string{"a", "c"}},
		{name: "Release", statement: "RELEASE", nth: 2, err: errFault, stored: []string{"a", "c"}},
		{name: "Undo", statement: "ROLLBACK TO", nth: 1, err: errFault, middle: errFault, storage: true},
		{name: "Positions", statement: "ExecutorPositionSet", nth: 1, err: errFault, storage: true},
		{name: "Commit", statement: "COMMIT", nth: 1, err: errFault, storage: true},
		{name: "CheckpointAfterwards", statement: "NOOP", nth: 2, err: errFault, stored: []string{"a", "b", "c"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			driver := &dbtest.Faults{}
			d := dbtest.Open(t, db.Options{Driver: driver})
			ops := make([]func(context.Context, *db.Tx) error, 3)
			for i, name := range []string{"a", "b", "c"} {
				ops[i] = func(ctx context.Context, tx *db.Tx) error {
					tx.Applied(1, uint64(i+1))
					err := insertRun(name, nil)(ctx, tx)
					if i == 1 {
						err = errors.Join(err, test.middle)
					}
					return err
				}
			}
			errs := batchAfter(t, d, func() { driver.FailNth(test.nth, test.statement, test.err) }, ops...)

			stored := test.stored
			if stored == nil {
				stored = []string{}
			}
			equal(t, runNames(t, d), stored)
			for i, name := range []string{"a", "b", "c"} {
				answered := errs[i] == nil
				equal(t, answered, strings.Contains(strings.Join(stored, ""), name))
				if test.storage != db.IsStorage(errs[i]) {
					t.Errorf("operation %s was answered %v", name, errs[i])
				}
			}
			if err := d.Write(t.Context(), insertRun("later", nil)); err != nil {
				t.Errorf("the next write = %v", err)
			}
		})
	}
}
