package db

import (
	"context"
	"database/sql"

	"github.com/heroproc/heroproc/db/internal/dbsqlc"
)

// Raw lets a test run a statement of its own inside a write, such as a PRAGMA
// that no query may need.
func Raw(tx *Tx) interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
} {
	return tx.conn
}

// ReaderConn answers the queries of one of the readers' connections, for
// comparing the pool with a connection behind a mutex.
func ReaderConn(d *DB) *Queries {
	return dbsqlc.New(d.conns[len(d.conns)-1])
}
