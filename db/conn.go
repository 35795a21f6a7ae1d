package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"maps"
	"net/url"

	"github.com/heroproc/heroproc/db/internal/dbsqlc"
)

// Pragmas belong into the data source name: one that is run by Exec reaches only
// the connection it happens to get.
//
// The busy timeouts are for locks held by another program; inside this one the
// queue and the pools come first. Maintenance gives up soon, because while it
// waits for readers it may hold the writer's lock.
var (
	writerPragmas = url.Values{
		"_journal_mode": {"WAL"}, "_synchronous": {"FULL"}, "_foreign_keys": {"1"},
		"_txlock": {"immediate"}, "_busy_timeout": {"5000"}, "_stmt_cache_size": {"128"},
	}
	readerPragmas = url.Values{
		"mode": {"ro"}, "_query_only": {"1"}, "_busy_timeout": {"5000"}, "_stmt_cache_size": {"128"},
	}
	maintenancePragmas = url.Values{
		"mode": {"rw"}, "_synchronous": {"FULL"}, "_busy_timeout": {"50"},
	}
)

// creatorPragmas are those of the writer of a new file. Its vacuum mode is said
// before anything else is in it; said again later, it would write the header.
func creatorPragmas() url.Values {
	pragmas := maps.Clone(writerPragmas)
	pragmas.Set("_auto_vacuum", "incremental")
	return pragmas
}

// connector opens connections of one kind to one file.
type connector struct {
	driver driver.Driver
	dsn    string
}

func (c connector) Connect(context.Context) (driver.Conn, error) { return c.driver.Open(c.dsn) }
func (c connector) Driver() driver.Driver                        { return c.driver }

// openHandle answers a handle that holds at most conns connections and never
// closes one by itself.
func openHandle(d driver.Driver, path string, pragmas url.Values, conns int) *sql.DB {
	dsn := url.URL{Scheme: "file", Path: path, RawQuery: pragmas.Encode()}
	handle := sql.OpenDB(connector{driver: d, dsn: dsn.String()})
	handle.SetMaxOpenConns(conns)
	handle.SetMaxIdleConns(conns)
	return handle
}

// detached runs queries without a context. A cancelled one would have
// database/sql close rows, and SQLite roll a transaction back, from a goroutine
// of their own; and merely carrying one costs a short query a quarter of its
// time. A caller that must not wait leaves the work to its worker instead.
type detached struct{ conn *sql.Conn }

var _ dbsqlc.DBTX = detached{}

func (d detached) ExecContext(_ context.Context, query string, args ...any) (sql.Result, error) {
	return d.conn.ExecContext(context.Background(), query, args...)
}

func (d detached) PrepareContext(_ context.Context, query string) (*sql.Stmt, error) {
	return d.conn.PrepareContext(context.Background(), query)
}

func (d detached) QueryContext(_ context.Context, query string, args ...any) (*sql.Rows, error) {
	return d.conn.QueryContext(context.Background(), query, args...)
}

func (d detached) QueryRowContext(_ context.Context, query string, args ...any) *sql.Row {
	return d.conn.QueryRowContext(context.Background(), query, args...)
}

// do runs a statement that takes and answers nothing.
func (d detached) do(statement string) error {
	_, err := d.conn.ExecContext(context.Background(), statement)
	return err
}

// autocommit asks SQLite whether the connection is outside any transaction.
func (d detached) autocommit() bool {
	outside := false
	err := d.conn.Raw(func(conn any) error {
		c, ok := conn.(interface{ AutoCommit() bool })
		if !ok {
			return fmt.Errorf("%T does not say whether it is in a transaction", conn)
		}
		outside = c.AutoCommit()
		return nil
	})
	// Who cannot say is no longer inside one.
	return outside || err != nil
}

// end ends the transaction with COMMIT or ROLLBACK, unless SQLite has ended it
// already.
func (d detached) end(statement string) error {
	if d.autocommit() {
		return nil
	}
	return d.do(statement)
}

// checkpoint is the answer of PRAGMA wal_checkpoint: how many pages the
// write-ahead log has and how many of them are in the database file already.
type checkpoint struct {
	busy       bool
	pages      int64
	backfilled int64
}

func (d detached) checkpoint(mode string) (c checkpoint, err error) {
	err = d.conn.QueryRowContext(context.Background(), "PRAGMA wal_checkpoint("+mode+")").
		Scan(&c.busy, &c.pages, &c.backfilled)
	return c, err
}
