package db

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/mattn/go-sqlite3"

	"github.com/heroproc/heroproc/db/internal/dbsqlc"
)

// apply is one write operation.
type apply = func(ctx context.Context, tx *Tx) error

// errEnded answers the operations of a batch of which one ended the writer's
// goroutine, as t.FailNow does.
var errEnded = errors.New("internal error: an operation ended the writer's goroutine")

// writer flushes batches on the one connection that may write. Only the write
// queue's worker calls it.
type writer struct {
	conn    *connection
	queries *Queries
	log     *slog.Logger
	// committed hears the size of the write-ahead log after each commit.
	committed func(checkpoint)

	begin, commit, savepoint, release prepared

	// failed counts the batches that failed since one was stored, so that a full
	// disk is logged when it begins and when it ends.
	failed int
}

func newWriter(conn *connection, log *slog.Logger, committed func(checkpoint)) (*writer, error) {
	w := &writer{conn: conn, queries: dbsqlc.New(conn), log: log, committed: committed}
	// Each savepoint keeps the pages it changes. Otherwise SQLite does that in
	// pieces of 64 KiB, which malloc gives back to the kernel after every
	// operation: the page faults were measured to be more than half of what the
	// daemon asked of the kernel.
	if err := conn.do("PRAGMA temp_store = MEMORY"); err != nil {
		return nil, err
	}
	var errs [4]error
	w.begin, errs[0] = conn.prepare("BEGIN IMMEDIATE")
	w.commit, errs[1] = conn.prepare("COMMIT")
	w.savepoint, errs[2] = conn.prepare("SAVEPOINT op")
	w.release, errs[3] = conn.prepare("RELEASE op")
	return w, errors.Join(errs[:]...)
}

// flush applies a batch in one transaction: all of it that succeeds is
// committed, or nothing is.
func (w *writer) flush(batch []apply, errs []error) {
	all := func(err error) {
		if w.failed++; w.failed == 1 {
			w.log.Error("cannot store a batch of writes", "writes", len(batch), "err", err)
		}
		for i := range errs {
			errs[i] = err
		}
	}
	ended := true
	defer func() {
		if ended {
			w.abandon()
			all(fmt.Errorf("%w: %w", errRolledBack, errEnded))
		}
	}()

	tx, err := w.transact(batch, errs)
	ended = false
	if err != nil {
		all(err)
		return
	}
	if w.failed > 0 {
		w.log.Info("writes are stored again", "failed_batches", w.failed)
		w.failed = 0
	}
	tx.committed(w.log)
	if c, err := w.conn.checkpoint("NOOP"); err == nil {
		w.committed(c)
	}
}

// transact does what flush says. An error of its own means that nothing of the
// batch is stored.
func (w *writer) transact(batch []apply, errs []error) (*Tx, error) {
	if err := w.begin.do(); err != nil {
		return nil, beginError(err)
	}
	tx := &Tx{Queries: w.queries, conn: w.conn}
	for i, op := range batch {
		if errs[i] = w.applyOne(tx, op); errs[i] == nil {
			continue
		}
		if w.conn.autocommit() {
			return nil, fmt.Errorf("%w by SQLite: %w", errRolledBack, errs[i])
		}
	}
	err := tx.storePositions(context.Background())
	if err == nil {
		err = w.commit.do()
	}
	if err != nil {
		w.abandon()
		return nil, fmt.Errorf("%w: %w", errRolledBack, err)
	}
	return tx, nil
}

// applyOne applies an operation in a savepoint and rolls that back if it fails.
// What it leaves of the transaction, if that failed too, its caller asks.
func (w *writer) applyOne(tx *Tx, op apply) error {
	if err := w.savepoint.do(); err != nil {
		return err
	}
	before := tx.mark()
	err := w.call(tx, op)
	if err == nil {
		// This also fails when the operation kept quiet about an error that
		// ended the transaction.
		if err = w.release.do(); err == nil {
			return nil
		}
	}
	tx.rollback(before)
	if w.conn.autocommit() {
		return err
	}
	if undo := w.conn.do("ROLLBACK TO op; RELEASE op"); undo != nil {
		// What the operation did can no longer be told from the rest.
		w.abandon()
		err = errors.Join(err, fmt.Errorf("cannot undo a failed operation: %w", undo))
	}
	return err
}

// call runs the operation; its panic is its error.
func (w *writer) call(tx *Tx, op apply) (err error) {
	defer func() {
		if v := recover(); v != nil {
			w.log.Error("a write panicked", "err", v, "stack", string(debug.Stack()))
			err = fmt.Errorf("internal error: a write panicked: %v", v)
		}
	}()
	return op(context.Background(), tx)
}

// abandon ends the transaction if it still stands.
func (w *writer) abandon() {
	if w.conn.autocommit() {
		return
	}
	if err := w.conn.do("ROLLBACK"); err != nil {
		w.log.Error("cannot roll a transaction back", "err", err)
	}
}

// beginError explains a transaction that could not begin. A lock that another
// program holds goes away by itself; everything else is the storage's fault.
func beginError(err error) error {
	var e sqlite3.Error
	if errors.As(err, &e) && e.Code == sqlite3.ErrBusy {
		return fmt.Errorf("%w: another program holds its lock: %w", ErrBusy, err)
	}
	return fmt.Errorf("%w: cannot begin a transaction: %w", errRolledBack, err)
}
