package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"maps"
	"net/url"

	"github.com/heroproc/heroproc/db/internal/dbsqlc"
)

// Pragmas belong into the data source name: one that is run by Exec reaches only
// the connection it happens to get.
//
// The busy timeouts are for locks held by another program; inside this one the
// queue and the pools come first. Maintenance has none and tries again later:
// while it waited for a reader it would hold the writer's lock.
var (
	writerPragmas = url.Values{
		"_journal_mode": {"WAL"}, "_synchronous": {"FULL"}, "_foreign_keys": {"1"},
		"_txlock": {"immediate"}, "_busy_timeout": {"5000"}, "_stmt_cache_size": {"128"},
		"_cache_size": {"-16000"}, // KiB: the ends of all tables and indexes
	}
	readerPragmas = url.Values{
		"mode": {"ro"}, "_query_only": {"1"}, "_busy_timeout": {"5000"}, "_stmt_cache_size": {"128"},
	}
	maintenancePragmas = url.Values{
		"mode": {"rw"}, "_synchronous": {"FULL"}, "_busy_timeout": {"0"},
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

// connection is one connection, held for as long as the database is open.
//
// It runs queries without their context. A cancelled one would have database/sql
// close rows, and SQLite roll a transaction back, from a goroutine of their own;
// and merely carrying one costs a short query a quarter of its time. A caller
// that must not wait leaves the work to its worker instead.
type connection struct {
	conn *sql.Conn
	// statements are to be closed before the connection, or it stays open.
	statements []*sql.Stmt
}

var _ dbsqlc.DBTX = (*connection)(nil)

func (c *connection) ExecContext(_ context.Context, query string, args ...any) (sql.Result, error) {
	return c.conn.ExecContext(context.Background(), query, args...)
}

func (c *connection) PrepareContext(_ context.Context, query string) (*sql.Stmt, error) {
	return c.conn.PrepareContext(context.Background(), query)
}

func (c *connection) QueryContext(_ context.Context, query string, args ...any) (*sql.Rows, error) {
	return c.conn.QueryContext(context.Background(), query, args...)
}

func (c *connection) QueryRowContext(_ context.Context, query string, args ...any) *sql.Row {
	return c.conn.QueryRowContext(context.Background(), query, args...)
}

// do runs statements that take and answer nothing.
func (c *connection) do(statements string) error {
	_, err := c.conn.ExecContext(context.Background(), statements)
	return err
}

// prepared is a statement that takes and answers nothing and is run so often
// that preparing it each time was a quarter of a short read. It is closed with
// its connection.
type prepared struct{ stmt *sql.Stmt }

func (c *connection) prepare(statement string) (prepared, error) {
	stmt, err := c.conn.PrepareContext(context.Background(), statement)
	if err != nil {
		return prepared{}, err
	}
	c.statements = append(c.statements, stmt)
	return prepared{stmt}, nil
}

func (p prepared) do() error {
	_, err := p.stmt.ExecContext(context.Background())
	return err
}

// autocommit asks SQLite whether the connection is outside any transaction.
func (c *connection) autocommit() bool {
	outside := false
	err := c.conn.Raw(func(conn any) error {
		asked, ok := conn.(interface{ AutoCommit() bool })
		if !ok {
			return fmt.Errorf("%T does not say whether it is in a transaction", conn)
		}
		outside = asked.AutoCommit()
		return nil
	})
	// Who cannot say is no longer inside one.
	return outside || err != nil
}

// checkpoint is the answer of PRAGMA wal_checkpoint: how many pages the
// write-ahead log has and how many of them are in the database file already.
type checkpoint struct {
	busy       bool
	pages      int64
	backfilled int64
}

func (c *connection) checkpoint(mode string) (log checkpoint, err error) {
	err = c.conn.QueryRowContext(context.Background(), "PRAGMA wal_checkpoint("+mode+")").
		Scan(&log.busy, &log.pages, &log.backfilled)
	return log, err
}

// close gives the connection back to its handle, which closes it.
func (c *connection) close() error {
	var errs []error
	for _, stmt := range c.statements {
		errs = append(errs, stmt.Close())
	}
	return errors.Join(append(errs, c.conn.Close())...)
}
