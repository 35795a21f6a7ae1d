package db

import (
	"database/sql"
	"errors"
	"fmt"

	"github.com/mattn/go-sqlite3"

	"github.com/heroproc/heroproc/db/readers"
	"github.com/heroproc/heroproc/db/writequeue"
)

// ErrBusy says that a bound was reached: the readers' queue is full, the write
// queue had no room while the caller waited, or another program holds the
// database's lock. Nothing was done; trying again a moment later may work.
var ErrBusy = errors.New("the database is busy")

// ErrClosed says that the database has been closed. A write that was answered
// so has not been committed.
var ErrClosed = errors.New("the database is closed")

// errRolledBack marks the failure of a whole batch.
var errRolledBack = errors.New("the transaction was rolled back")

// NewerSchemaError refuses a file that a newer heroproc has migrated: writing to
// a schema one does not know could only damage it.
type NewerSchemaError struct {
	Path string
	// Found is the file's schema version, Known the newest this program has.
	Found, Known int64
	// Backup is the newest backup this program could open, empty if there is
	// none.
	Backup string
}

// Error names both versions and the two ways out.
func (e *NewerSchemaError) Error() string {
	help := "no backup of an older schema was found"
	if e.Backup != "" {
		help = fmt.Sprintf("or go back to the backup %s, which has nothing of what happened since", e.Backup)
	}
	return fmt.Sprintf("cannot open %s: its schema is version %d and this heroproc knows versions up to %d; "+
		"start the newer heroproc, %s", e.Path, e.Found, e.Known, help)
}

// IsNotFound reports whether a query for one row found none.
func IsNotFound(err error) bool { return errors.Is(err, sql.ErrNoRows) }

// IsUnique reports whether a write was refused because such a row exists.
func IsUnique(err error) bool {
	var e sqlite3.Error
	return errors.As(err, &e) &&
		(e.ExtendedCode == sqlite3.ErrConstraintUnique || e.ExtendedCode == sqlite3.ErrConstraintPrimaryKey)
}

// IsStorage reports whether the cause lies below the data: the disk is full or
// fails, the file is damaged or must not be written, or SQLite gave a whole
// batch up.
func IsStorage(err error) bool {
	if errors.Is(err, errRolledBack) {
		return true
	}
	var e sqlite3.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code {
	case sqlite3.ErrFull, sqlite3.ErrIoErr, sqlite3.ErrCorrupt, sqlite3.ErrNotADB,
		sqlite3.ErrCantOpen, sqlite3.ErrReadonly, sqlite3.ErrNomem:
		return true
	}
	return false
}

// translate turns the sentinels of the parts below into this package's own.
func translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, readers.ErrBusy), errors.Is(err, writequeue.ErrFull):
		return fmt.Errorf("%w: %w", ErrBusy, err)
	case errors.Is(err, readers.ErrClosed), errors.Is(err, writequeue.ErrClosed):
		return fmt.Errorf("%w: %w", ErrClosed, err)
	}
	return err
}
