package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/mattn/go-sqlite3"
	"github.com/pressly/goose/v3"
)

// minSQLite is version 3.51.3, the first without a race that could damage the
// file when a write-ahead log is begun anew.
const minSQLite = 3_051_003

// checkVersion refuses a SQLite that is known to damage files.
func checkVersion() error {
	if version, number, _ := sqlite3.Version(); number < minSQLite {
		return fmt.Errorf("cannot use SQLite %s: versions before 3.51.3 may damage the database; "+
			"build without -tags libsqlite3", version)
	}
	return nil
}

// migrate creates the file or brings its schema up to date, with a backup first
// if that changes one that has data. It has the file for itself: the caller
// holds the home's lock, and the other connections are opened later.
func migrate(ctx context.Context, o Options, schema fs.FS) (err error) {
	if err := createPrivate(o.Path); err != nil {
		return fmt.Errorf("cannot create the database: %w", err)
	}
	info, err := os.Stat(o.Path)
	if err != nil {
		return fmt.Errorf("cannot open the database: %w", err)
	}
	pragmas := writerPragmas
	if info.Size() == 0 {
		pragmas = creatorPragmas()
	}
	handle := openHandle(o.Driver, o.Path, pragmas, 1)
	defer func() { err = errors.Join(err, handle.Close()) }()

	foreign, err := isForeign(ctx, handle)
	if err != nil {
		return fmt.Errorf("cannot open %s: %w", o.Path, err)
	}
	if foreign {
		return fmt.Errorf("cannot open %s: it is a SQLite database, but not one of heroproc's", o.Path)
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, handle, schema,
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return fmt.Errorf("cannot read the migrations: %w", err)
	}
	found, known, err := provider.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("cannot read the schema version of %s: %w", o.Path, err)
	}
	switch {
	case found == known:
		return nil
	case found > known:
		return &NewerSchemaError{Path: o.Path, Found: found, Known: known, Backup: newestBackup(o.Backups, known)}
	case found > 0:
		backup, err := backUp(ctx, handle, o, found)
		if err != nil {
			return fmt.Errorf("cannot migrate %s: cannot back it up: %w", o.Path, err)
		}
		o.Logger.Info("backed the database up before a migration", "backup", backup)
	}
	results, err := provider.Up(ctx)
	if err != nil {
		return fmt.Errorf("cannot migrate %s from version %d to %d: %w", o.Path, found, known, err)
	}
	o.Logger.Info("migrated the database", "from", found, "to", known, "migrations", len(results))
	return nil
}

// createPrivate makes an empty file that only its owner may read; SQLite gives
// the files it puts beside it the same mode. An existing file is narrowed and
// never opened: closing it would drop SQLite's locks in this process.
func createPrivate(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return os.Chmod(path, 0o600)
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// isForeign reports whether the file holds tables that heroproc did not make.
func isForeign(ctx context.Context, handle *sql.DB) (bool, error) {
	var tables, ours int
	err := handle.QueryRowContext(ctx, `SELECT count(*), count(*) FILTER (WHERE name = 'goose_db_version')
		FROM sqlite_schema WHERE type = 'table'`).Scan(&tables, &ours)
	return tables > 0 && ours == 0, err
}
