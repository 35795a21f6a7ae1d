package db

import (
	"cmp"
	"database/sql/driver"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"time"

	"github.com/mattn/go-sqlite3"
)

// Options say where the database is and how far it may go. Every bound that is
// zero takes its default.
type Options struct {
	// Path is the database file. It is created with mode 0600 if it is not
	// there; its directory must exist.
	Path string
	// Backups is the directory for the backup made before a migration, created
	// when it is needed. The default is "backups" beside the file.
	Backups string
	// Logger hears of migrations, failed batches and losses. The default
	// discards.
	Logger *slog.Logger

	// Readers is the number of reads at once, two for each core by default: more
	// gave rare stalls of 40-125 ms, because SQLite then holds more threads than
	// there are cores.
	Readers int
	// ReadQueue is how many reads may wait for a reader, 1024 by default: some
	// 20 ms of work for two cores. Beyond it callers hear ErrBusy.
	ReadQueue int

	// MaxBatch and MaxBatchBytes bound a transaction, MaxQueued and
	// MaxQueuedBytes what waits for one, Linger how long an operation that
	// nobody waits for may wait for company. The defaults are the write
	// queue's: 256 operations, 4 MiB, 8192 operations, 64 MiB and 5 ms.
	MaxBatch, MaxBatchBytes, MaxQueued, MaxQueuedBytes int
	Linger                                             time.Duration

	// WALLimit is the size in bytes at which the writer itself empties the
	// write-ahead log, 64 MiB by default. A quarter of it makes the maintenance
	// worker do so beside the writer; the limit is met only when that cannot
	// keep up, and passed only while a reader still needs the log or the worker
	// is at it.
	WALLimit int64
	// Idle is how long nothing must have been written before the write-ahead
	// log is cut to nothing, 10 s by default.
	Idle time.Duration

	// Driver opens the connections, SQLite's own by default. Tests give one that
	// embeds it and watches, or fails.
	Driver driver.Driver
}

func (o Options) withDefaults() (Options, error) {
	if o.Path == "" {
		return o, fmt.Errorf("cannot open a database without a path")
	}
	path, err := filepath.Abs(o.Path)
	if err != nil {
		return o, fmt.Errorf("cannot open the database: %w", err)
	}
	o.Path = path
	o.Backups = cmp.Or(o.Backups, filepath.Join(filepath.Dir(path), "backups"))
	o.Readers = cmp.Or(max(o.Readers, 0), 2*runtime.NumCPU())
	o.ReadQueue = cmp.Or(max(o.ReadQueue, 0), 1024)
	o.WALLimit = cmp.Or(max(o.WALLimit, 0), 64<<20)
	o.Idle = cmp.Or(max(o.Idle, 0), 10*time.Second)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Driver == nil {
		o.Driver = &sqlite3.SQLiteDriver{}
	}
	return o, nil
}
