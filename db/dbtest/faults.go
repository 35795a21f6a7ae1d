package dbtest

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/mattn/go-sqlite3"
)

// Faults is SQLite's driver with faults: give it to db.Options.Driver and name
// the statements that shall fail. Everything else is the real thing.
type Faults struct {
	sqlite3.SQLiteDriver

	mu     sync.Mutex
	faults []*fault
	seen   func(query string)
}

// fault fails the n-th statement that contains a text.
type fault struct {
	contains string
	left     int
	err      error
}

// FailNth makes the n-th statement from now that contains the text fail with err
// before SQLite sees it: 1 is the next one. Opening a connection counts as a
// statement "open" with the data source name, and the steps through an answer as
// "next row", "close rows" and "close". Each call adds a fault; each fails once.
func (f *Faults) FailNth(n int, contains string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = append(f.faults, &fault{contains: contains, left: n, err: err})
}

// Watch has fn called for every statement and step, on the goroutine that runs
// it.
func (f *Faults) Watch(fn func(query string)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen = fn
}

// check answers the error that the statement shall fail with.
func (f *Faults) check(query string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.seen != nil {
		f.seen(query)
	}
	for _, fault := range f.faults {
		if fault.left == 0 || !strings.Contains(query, fault.contains) {
			continue
		}
		if fault.left--; fault.left == 0 {
			return fault.err
		}
	}
	return nil
}

// Open opens a connection whose statements are checked.
func (f *Faults) Open(dsn string) (driver.Conn, error) {
	if err := f.check("open " + dsn); err != nil {
		return nil, err
	}
	opened, err := f.SQLiteDriver.Open(dsn)
	if err != nil {
		return nil, err
	}
	conn, ok := opened.(*sqlite3.SQLiteConn)
	if !ok {
		return nil, fmt.Errorf("SQLite's driver opened a %T", opened)
	}
	return &faultyConn{SQLiteConn: conn, faults: f}, nil
}

// faultyConn is a connection that asks before each statement. A transaction that
// database/sql begins, as migrations do, is begun and ended unasked.
type faultyConn struct {
	*sqlite3.SQLiteConn
	faults *Faults
}

func (c *faultyConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if err := c.faults.check(query); err != nil {
		return nil, err
	}
	return c.SQLiteConn.ExecContext(ctx, query, args)
}

func (c *faultyConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if err := c.faults.check(query); err != nil {
		return nil, err
	}
	rows, err := c.SQLiteConn.QueryContext(ctx, query, args)
	return faultyRows{rows, c.faults}, err
}

func (c *faultyConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	prepared, err := c.SQLiteConn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	stmt, ok := prepared.(*sqlite3.SQLiteStmt)
	if !ok {
		return nil, fmt.Errorf("SQLite's driver prepared a %T", prepared)
	}
	return &faultyStmt{SQLiteStmt: stmt, faults: c.faults, query: query}, nil
}

func (c *faultyConn) Close() error {
	if err := c.faults.check("close"); err != nil {
		return err
	}
	return c.SQLiteConn.Close()
}

// faultyStmt is a prepared statement that asks before each use.
type faultyStmt struct {
	*sqlite3.SQLiteStmt
	faults *Faults
	query  string
}

func (s *faultyStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	if err := s.faults.check(s.query); err != nil {
		return nil, err
	}
	return s.SQLiteStmt.ExecContext(ctx, args)
}

func (s *faultyStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	if err := s.faults.check(s.query); err != nil {
		return nil, err
	}
	rows, err := s.SQLiteStmt.QueryContext(ctx, args)
	return faultyRows{rows, s.faults}, err
}

// faultyRows is an answer that asks before each row.
type faultyRows struct {
	driver.Rows
	faults *Faults
}

func (r faultyRows) Next(dest []driver.Value) error {
	if err := r.faults.check("next row"); err != nil {
		return err
	}
	return r.Rows.Next(dest)
}

func (r faultyRows) Close() error {
	return errors.Join(r.faults.check("close rows"), r.Rows.Close())
}
