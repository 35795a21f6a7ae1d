package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sync"

	"github.com/heroproc/heroproc/db/readers"
	"github.com/heroproc/heroproc/db/writequeue"
	"github.com/heroproc/heroproc/sql/migrations"
)

// pageBytes is SQLite's page size and the header that each page has in the
// write-ahead log.
const pageBytes = 4096 + 24

// DB is an open database. All its methods may be called from many goroutines.
type DB struct {
	options     Options
	handles     []*sql.DB
	conns       []*connection
	readers     *readers.Pool[*reader]
	writes      *writequeue.Queue[apply]
	maintenance *maintenance

	closing sync.Mutex
	closed  bool
}

// Open creates the database or brings its schema up to date, and answers it
// ready for use. A schema with data is backed up before it is changed; one that
// is newer than this program is refused with a *NewerSchemaError. The context
// bounds the migration. The caller holds the home's lock, so that nobody else
// migrates or writes the file.
func Open(ctx context.Context, o Options) (_ *DB, err error) {
	if o, err = o.withDefaults(); err != nil {
		return nil, err
	}
	if err := checkVersion(); err != nil {
		return nil, err
	}
	if err := migrate(ctx, o, migrations.FS); err != nil {
		return nil, err
	}

	d := &DB{options: o}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("cannot open %s: %w", o.Path, err), d.closeHandles())
		}
	}()
	// The writer comes first: a reader cannot begin the write-ahead log.
	pages := max(o.WALLimit/pageBytes, 4)
	writerConns, err := d.connect(1, writerPragmas, fmt.Sprintf(
		"PRAGMA wal_autocheckpoint=%d; PRAGMA journal_size_limit=%d", pages, o.WALLimit))
	if err != nil {
		return nil, err
	}
	maintenanceConns, err := d.connect(1, maintenancePragmas, "PRAGMA wal_autocheckpoint=0")
	if err != nil {
		return nil, err
	}
	readerConns, err := d.connect(o.Readers, readerPragmas, "SELECT count(*) FROM sqlite_schema")
	if err != nil {
		return nil, err
	}
	idle := make([]*reader, len(readerConns))
	for i, conn := range readerConns {
		if idle[i], err = newReader(conn); err != nil {
			return nil, err
		}
	}
	if d.readers, err = readers.New(idle, o.ReadQueue); err != nil {
		return nil, err
	}
	d.maintenance = newMaintenance(maintenanceConns[0], o.Logger, pages, o.Idle)
	w, err := newWriter(writerConns[0], o.Logger, d.maintenance.committed)
	if err != nil {
		return nil, err
	}
	d.writes = writequeue.New(writequeue.Options[apply]{
		Flush: w.flush, Logger: o.Logger,
		MaxBatch: o.MaxBatch, MaxBatchBytes: o.MaxBatchBytes,
		MaxQueued: o.MaxQueued, MaxQueuedBytes: o.MaxQueuedBytes, Linger: o.Linger,
	})
	d.maintenance.start()
	return d, nil
}

// connect opens a handle and takes all its connections out of it for good, each
// made ready by statements: what no data source name can say, or for a reader
// the first look at the file, which shows whether it can be read.
func (d *DB) connect(count int, pragmas url.Values, ready string) ([]*connection, error) {
	handle := openHandle(d.options.Driver, d.options.Path, pragmas, count)
	d.handles = append(d.handles, handle)
	for range count {
		conn, err := handle.Conn(context.Background())
		if err != nil {
			return nil, err
		}
		c := &connection{conn: conn}
		d.conns = append(d.conns, c)
		if err := c.do(ready); err != nil {
			return nil, err
		}
	}
	return d.conns[len(d.conns)-count:], nil
}

// closeHandles closes what connect has opened, the writer last: the last
// connection removes the write-ahead log, and a reader may not.
func (d *DB) closeHandles() error {
	var errs []error
	for _, conn := range d.conns {
		errs = append(errs, conn.close())
	}
	for _, handle := range slices.Backward(d.handles) {
		errs = append(errs, handle.Close())
	}
	return errors.Join(errs...)
}

// Close ends the database: it refuses reads and writes, flushes the writes that
// were accepted, lets the running reads end, empties the write-ahead log and
// closes the file. When ctx ends before that, it gives the rest up, logs how
// much of it there was, and answers an error; what was committed is safe all the
// same. What still runs then keeps the file open: a later Close ends it. A
// closed database is closed again without error.
func (d *DB) Close(ctx context.Context) error {
	d.closing.Lock()
	defer d.closing.Unlock()
	if d.closed {
		return nil
	}
	lost := d.writes.Stop(ctx)
	var lossErr error
	if lost.Any() {
		d.options.Logger.Error("gave up writes at the end", "awaited", lost.Awaited, "unawaited", lost.Unawaited,
			"best_effort", lost.BestEffort, "in_flight", lost.InFlight)
		lossErr = fmt.Errorf("gave up %d awaited, %d unawaited and %d best-effort writes, the outcome of %d is unknown",
			lost.Awaited, lost.Unawaited, lost.BestEffort, lost.InFlight)
	}
	readErr := d.readers.Stop(ctx)
	if lost.InFlight > 0 || readErr != nil {
		return errors.Join(lossErr, readErr)
	}
	d.closed = true
	return errors.Join(lossErr, d.maintenance.stop(ctx, func() error {
		d.maintenance.checkpoint("TRUNCATE")
		return d.closeHandles()
	}))
}

// Get reads a value on a reader's connection. Everything fn reads is one
// snapshot of the database. Get answers ErrBusy at once when too many reads
// wait, and leaves when ctx ends; fn, if it was running, then ends alone and its
// value is dropped. So fn must page through long lists and may look at its
// context between pages.
func Get[R any](ctx context.Context, d *DB, fn func(ctx context.Context, q *Queries) (R, error)) (R, error) {
	value, err := readers.Do(ctx, d.readers, func(ctx context.Context, r *reader) (value R, err error) {
		err = r.snapshot(func(q *Queries) error {
			value, err = fn(ctx, q)
			return err
		})
		return value, err
	})
	var panicked *readers.PanicError
	if errors.As(err, &panicked) {
		d.options.Logger.Error("a read panicked", "err", panicked.Value, "stack", string(panicked.Stack))
	}
	return value, translate(err)
}

// Read is Get for a function that keeps its results itself. When Read answers an
// error fn may still be running: what it writes must not be looked at then.
func (d *DB) Read(ctx context.Context, fn func(ctx context.Context, q *Queries) error) error {
	_, err := Get(ctx, d, func(ctx context.Context, q *Queries) (struct{}, error) {
		return struct{}{}, fn(ctx, q)
	})
	return err
}

// Op is a write that nobody waits for.
type Op struct {
	// Apply does the work inside the transaction. Its context never ends.
	Apply func(ctx context.Context, tx *Tx) error
	// Done, if set, hears once whether the operation was committed, after its
	// commit or when the database is closed without it. It runs on the writer's
	// worker: it must not block and must not call the database.
	Done func(error)
	// Linger lets the operation wait a few milliseconds for company, or until
	// the next write that somebody waits for.
	Linger bool
	// Bytes estimates the memory the operation holds while it waits; 0 stands
	// for a small one.
	Bytes int
}

// smallOp is what an operation without an estimate is counted as.
const smallOp = 512

// Write applies fn in order with all other writes and waits for its commit. An
// error of fn rolls back what fn did, and nothing else. The context bounds only
// the wait for room (then the error is ErrBusy and fn never runs) and the wait
// for the answer (then fn may still be committed); fn's own context never ends.
func (d *DB) Write(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	return d.WriteSized(ctx, smallOp, fn)
}

// WriteSized is Write for an operation that holds much memory while it waits:
// about so many bytes, which count against the queue's limits.
func (d *DB) WriteSized(ctx context.Context, bytes int, fn func(ctx context.Context, tx *Tx) error) error {
	return translate(d.writes.Do(ctx, writequeue.Item[apply]{Value: fn, Bytes: max(bytes, smallOp)}))
}

// Enqueue accepts an operation, in order with all other writes, and does not
// wait for its commit. It waits for room, until ctx ends: the error is ErrBusy
// then, and op.Done is not called.
func (d *DB) Enqueue(ctx context.Context, op Op) error {
	item := writequeue.Item[apply]{Value: op.Apply, Linger: op.Linger, Bytes: max(op.Bytes, smallOp)}
	if op.Done != nil {
		item.Done = func(err error) { op.Done(translate(err)) }
	}
	return translate(d.writes.Enqueue(ctx, item))
}

// WriteLatest writes when there is room, and only the newest fn of a subject:
// for figures of which the next replaces the last. What is replaced, or left at
// the end, is dropped and counted.
func (d *DB) WriteLatest(subject string, fn func(ctx context.Context, tx *Tx) error) {
	d.writes.Latest(subject, fn)
}

// WriteSliced does a long write in slices, each with a commit of its own and
// each behind whatever waits by then, so that nobody waits for more than one
// slice. It calls fn until that answers no more, fails, or ctx ends; the slices
// done before are committed.
func (d *DB) WriteSliced(ctx context.Context, fn func(ctx context.Context, tx *Tx) (more bool, err error)) error {
	for {
		more := false
		// The answer carries more over from the writer's worker; it is not read
		// when the wait ends without one.
		err := d.writes.Do(ctx, writequeue.Item[apply]{
			Alone: true, Bytes: smallOp,
			Value: func(ctx context.Context, tx *Tx) (err error) {
				more, err = fn(ctx, tx)
				return err
			},
		})
		if err != nil || !more {
			return translate(err)
		}
	}
}

// Stats are the counters of the two ways in and of the write-ahead log.
type Stats struct {
	Readers readers.Stats
	Writes  writequeue.Stats
	WAL     WALStats
}

// Stats answers the counters as they are now.
func (d *DB) Stats() Stats {
	return Stats{Readers: d.readers.Stats(), Writes: d.writes.Stats(), WAL: d.maintenance.walStats()}
}
