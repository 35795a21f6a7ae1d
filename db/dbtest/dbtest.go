// Package dbtest gives tests a database of their own: a real, migrated SQLite
// file in a directory of the test, and a driver that fails where it is told to.
package dbtest

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/heroproc/heroproc/db"
)

// closeTimeout is how long a test's database may take to end; it is there to
// turn a hanging test into a failing one.
const closeTimeout = 30 * time.Second

// New opens a migrated database in the test's temporary directory and closes it
// at the test's end.
func New(t testing.TB) *db.DB {
	t.Helper()
	return Open(t, db.Options{})
}

// Open is New with options. A path that is not given is one in the test's
// temporary directory.
func Open(t testing.TB, o db.Options) *db.DB {
	t.Helper()
	if o.Path == "" {
		o.Path = filepath.Join(t.TempDir(), "heroproc.db")
	}
	d, err := db.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		if err := d.Close(ctx); err != nil {
			t.Errorf("cannot close the database: %v", err)
		}
	})
	return d
}
