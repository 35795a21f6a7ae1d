package db

import (
	"context"
	"database/sql"
)

// Raw lets a test run a statement of its own inside a write, such as a PRAGMA
// that no query may need.
func Raw(tx *Tx) interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
} {
	return tx.conn
}
