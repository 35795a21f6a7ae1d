package db

import (
	"errors"

	"github.com/heroproc/heroproc/db/internal/dbsqlc"
)

// reader is what a read works with: a connection for itself.
type reader struct {
	conn          *connection
	queries       *Queries
	begin, commit prepared
}

func newReader(conn *connection) (*reader, error) {
	r := &reader{conn: conn, queries: dbsqlc.New(conn)}
	var beginErr, commitErr error
	r.begin, beginErr = conn.prepare("BEGIN")
	r.commit, commitErr = conn.prepare("COMMIT")
	return r, errors.Join(beginErr, commitErr)
}

// snapshot runs fn inside a read transaction, so that all it reads is of one
// moment, and ends that even if fn panics.
func (r *reader) snapshot(fn func(*Queries) error) (err error) {
	if err := r.begin.do(); err != nil {
		return err
	}
	defer func() {
		// SQLite may have ended it already, after an I/O error.
		if !r.conn.autocommit() {
			err = errors.Join(err, r.commit.do())
		}
	}()
	return fn(r.queries)
}
