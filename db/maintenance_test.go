package db_test

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/heroproc/heroproc/db"
	"github.com/heroproc/heroproc/db/dbtest"
)

// fill writes about n bytes into the write-ahead log, in many transactions.
func fill(t *testing.T, d *db.DB, n int) {
	t.Helper()
	const each = 32 << 10
	for i := range n / each {
		// SQLite does not write pages whose content stays.
		value := strings.Repeat(string(rune('a'+i%26)), each)
		err := d.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			return tx.MetaSet(ctx, db.MetaSetParams{Key: "fill", Value: value})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func walSize(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func TestWriteAheadLog(t *testing.T) {
	t.Parallel()

	t.Run("StaysWithinItsLimit", func(t *testing.T) {
		t.Parallel()
		const limit = 1 << 20
		path := filepath.Join(t.TempDir(), "heroproc.db")
		d := dbtest.Open(t, db.Options{Path: path, WALLimit: limit})
		fill(t, d, 10*limit)
		// The writer finds the log taken while the worker copies it.
		if size := walSize(t, path); size > 2*limit {
			t.Errorf("the log has %d bytes, the limit is %d", size, limit)
		}
		if s := d.Stats().WAL; s.Checkpoints == 0 || s.Failed != 0 {
			t.Errorf("the maintenance worker did nothing: %+v", s)
		}
	})

	t.Run("GrowsPastItsLimitRatherThanWaitForAReader", func(t *testing.T) {
		t.Parallel()
		const limit = 256 << 10
		path := filepath.Join(t.TempDir(), "heroproc.db")
		d := dbtest.Open(t, db.Options{Path: path, WALLimit: limit})
		began, mayEnd := make(chan struct{}), make(chan struct{})
		ended := make(chan error)
		go func() {
			ended <- d.Read(context.Background(), func(ctx context.Context, q *db.Queries) error {
				_, err := q.ExecutorPositionList(ctx) // the snapshot begins here
				close(began)
				<-mayEnd
				return err
			})
		}()
		<-began
		fill(t, d, 4*limit)
		if size := walSize(t, path); size < 4*limit {
			t.Errorf("the log has %d bytes although a reader needs all of it", size)
		}
		close(mayEnd)
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		for walSize(t, path) > 2*limit {
			fill(t, d, limit)
		}
	})

	t.Run("IsCutWhenNobodyWrites", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "heroproc.db")
		d := dbtest.Open(t, db.Options{Path: path, Idle: time.Millisecond})
		fill(t, d, 256<<10)
		for walSize(t, path) > 0 {
			runtime.Gosched()
		}
	})

	t.Run("IsCutOnceNoReaderNeedsIt", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "heroproc.db")
		d := dbtest.Open(t, db.Options{Path: path, Idle: time.Millisecond})
		err := d.Read(t.Context(), func(ctx context.Context, q *db.Queries) error {
			_, err := q.ExecutorPositionList(ctx) // the snapshot begins here
			if err != nil {
				return err
			}
			// Cuts are tried all the while. Each is turned away by this read, and
			// none keeps the writer waiting for it.
			fill(t, d, 256<<10)
			for tried := d.Stats().WAL.Checkpoints; d.Stats().WAL.Checkpoints < tried+2; {
				runtime.Gosched()
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for walSize(t, path) > 0 {
			runtime.Gosched()
		}
	})
}
