package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/mattn/go-sqlite3"
)

// migrationsUpTo answers a schema of n versions, each with a table of its own.
func migrationsUpTo(n int) fs.FS {
	files := fstest.MapFS{}
	for v := 1; v <= n; v++ {
		files[fmt.Sprintf("%04d_table.sql", v)] = &fstest.MapFile{
			Data: fmt.Appendf(nil, "-- +goose Up\nCREATE TABLE t%d (id INTEGER PRIMARY KEY) STRICT;\n", v),
		}
	}
	return files
}

func TestMigrate(t *testing.T) {
	t.Parallel()

	setup := func(t *testing.T) Options {
		t.Helper()
		t.Parallel()
		o, err := Options{Path: filepath.Join(t.TempDir(), "heroproc.db")}.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	must := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	open := func(t *testing.T, path string) *sql.DB {
		t.Helper()
		handle := openHandle(&sqlite3.SQLiteDriver{}, path, writerPragmas, 1)
		t.Cleanup(func() { must(t, handle.Close()) })
		return handle
	}
	backups := func(t *testing.T, o Options) []string {
		t.Helper()
		found, err := filepath.Glob(filepath.Join(o.Backups, "*"))
		must(t, err)
		return found
	}

	t.Run("CreatesWithoutABackup", func(t *testing.T) {
		o := setup(t)
		must(t, migrate(t.Context(), o, migrationsUpTo(2)))
		must(t, migrate(t.Context(), o, migrationsUpTo(2)))
		if found := backups(t, o); len(found) != 0 {
			t.Errorf("made %v", found)
		}
		var vacuum int
		must(t, open(t, o.Path).QueryRow("PRAGMA auto_vacuum").Scan(&vacuum))
		if vacuum != 2 {
			t.Errorf("auto_vacuum is %d, want incremental", vacuum)
		}
	})

	t.Run("BacksUpDataBeforeAMigration", func(t *testing.T) {
		o := setup(t)
		must(t, migrate(t.Context(), o, migrationsUpTo(1)))
		_, err := open(t, o.Path).Exec("INSERT INTO t1 (id) VALUES (7)")
		must(t, err)
		must(t, migrate(t.Context(), o, migrationsUpTo(3)))

		found := backups(t, o)
		if len(found) != 1 || !strings.HasPrefix(filepath.Base(found[0]), "heroproc-v0001-") {
			t.Fatalf("made %v", found)
		}
		info, err := os.Stat(found[0])
		must(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("the backup's mode is %v", info.Mode())
		}
		var id, tables int
		backup := open(t, found[0])
		must(t, backup.QueryRow("SELECT id FROM t1").Scan(&id))
		must(t, backup.QueryRow("SELECT count(*) FROM sqlite_schema WHERE name LIKE 't_'").Scan(&tables))
		if id != 7 || tables != 1 {
			t.Errorf("the backup has id %d and %d tables", id, tables)
		}
	})

	t.Run("RefusesANewerSchemaAndNamesTheBackup", func(t *testing.T) {
		o := setup(t)
		for v := range 4 {
			must(t, migrate(t.Context(), o, migrationsUpTo(v+1)))
		}
		before, err := os.ReadFile(o.Path)
		must(t, err)

		err = migrate(t.Context(), o, migrationsUpTo(2))
		var newer *NewerSchemaError
		if !errors.As(err, &newer) {
			t.Fatalf("migrate = %v", err)
		}
		if newer.Found != 4 || newer.Known != 2 || !strings.Contains(newer.Backup, "heroproc-v0002-") {
			t.Errorf("%+v", newer)
		}
		for _, part := range []string{"version 4", "up to 2", newer.Backup, o.Path} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q does not name %q", err, part)
			}
		}
		after, err := os.ReadFile(o.Path)
		must(t, err)
		if string(before) != string(after) {
			t.Error("the file was changed")
		}

		must(t, os.RemoveAll(o.Backups))
		err = migrate(t.Context(), o, migrationsUpTo(2))
		if err == nil || !strings.Contains(err.Error(), "no backup") {
			t.Errorf("without a backup: %v", err)
		}
	})

	t.Run("LeavesTheOldSchemaWhenAMigrationFails", func(t *testing.T) {
		o := setup(t)
		must(t, migrate(t.Context(), o, migrationsUpTo(1)))
		broken := migrationsUpTo(3).(fstest.MapFS)
		broken["0002_table.sql"].Data = []byte("-- +goose Up\nCREATE TABLE half (id INTEGER);\nCREATE NONSENSE;\n")
		if err := migrate(t.Context(), o, broken); err == nil || !strings.Contains(err.Error(), "from version 1 to 3") {
			t.Errorf("migrate = %v", err)
		}
		var tables int
		must(t, open(t, o.Path).QueryRow("SELECT count(*) FROM sqlite_schema WHERE name = 'half'").Scan(&tables))
		if tables != 0 {
			t.Error("half of a migration is there")
		}
		must(t, migrate(t.Context(), o, migrationsUpTo(3)))
	})

	t.Run("DoesNotMigrateWithoutItsBackup", func(t *testing.T) {
		o := setup(t)
		must(t, migrate(t.Context(), o, migrationsUpTo(1)))
		must(t, os.WriteFile(o.Backups, nil, 0o600)) // a file where the directory should be
		if err := migrate(t.Context(), o, migrationsUpTo(2)); err == nil || !strings.Contains(err.Error(), "back it up") {
			t.Errorf("migrate = %v", err)
		}
		if err := migrate(t.Context(), o, migrationsUpTo(1)); err != nil {
			t.Errorf("the schema has changed: %v", err)
		}
	})

	t.Run("RefusesFilesThatAreNotOurs", func(t *testing.T) {
		o := setup(t)
		_, err := open(t, o.Path).Exec("CREATE TABLE theirs (id INTEGER)")
		must(t, err)
		if err := migrate(t.Context(), o, migrationsUpTo(1)); err == nil || !strings.Contains(err.Error(), "not one of heroproc's") {
			t.Errorf("another program's database: %v", err)
		}
		o.Path = filepath.Join(filepath.Dir(o.Path), "text")
		must(t, os.WriteFile(o.Path, []byte(strings.Repeat("this is no database\n", 100)), 0o600))
		if err := migrate(t.Context(), o, migrationsUpTo(1)); !IsStorage(err) || !strings.Contains(err.Error(), o.Path) {
			t.Errorf("a text file: %v", err)
		}
		o.Path = filepath.Dir(o.Path)
		if err := migrate(t.Context(), o, migrationsUpTo(1)); err == nil || !strings.Contains(err.Error(), o.Path) {
			t.Errorf("a directory: %v", err)
		}
		o.Path = filepath.Join(o.Path, "missing", "heroproc.db")
		if err := migrate(t.Context(), o, migrationsUpTo(1)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a missing directory: %v", err)
		}
	})

	t.Run("NarrowsTheModeOfAnOldFile", func(t *testing.T) {
		o := setup(t)
		must(t, os.WriteFile(o.Path, nil, 0o644))
		must(t, migrate(t.Context(), o, migrationsUpTo(1)))
		info, err := os.Stat(o.Path)
		must(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("the mode is %v", info.Mode())
		}
	})
}

func TestOpenLeavesNothingOpenWhenItFails(t *testing.T) {
	t.Parallel()
	// goleak notices a handle that is left open: each has a goroutine.
	for name, o := range map[string]Options{
		"NoPath":  {},
		"NoHome":  {Path: filepath.Join(t.TempDir(), "missing", "heroproc.db")},
		"Readers": {Path: filepath.Join(t.TempDir(), "heroproc.db"), Driver: failingReaders{&sqlite3.SQLiteDriver{}}},
	} {
		if d, err := Open(context.Background(), o); err == nil || d != nil {
			t.Errorf("%s: Open = %v, %v", name, d, err)
		}
	}
}

// failingReaders opens everything but readers.
type failingReaders struct{ driver.Driver }

func (f failingReaders) Open(dsn string) (driver.Conn, error) {
	if strings.Contains(dsn, "mode=ro") {
		return nil, errors.New("injected fault")
	}
	return f.Driver.Open(dsn)
}
