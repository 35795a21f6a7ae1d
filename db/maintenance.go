package db

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alitto/pond/v2"
)

// maintenance keeps the write-ahead log short beside the writer, which tells it
// the log's size after each commit.
//
// A passive checkpoint copies pages while others read and write, but under
// steady writing it never finds the log all copied, and only such a log is
// begun anew. So the writer itself finishes a checkpoint when the log reaches
// its limit (PRAGMA wal_autocheckpoint); by then little is left to copy.
type maintenance struct {
	// pool has one worker, which alone uses the connection.
	pool pond.Pool
	conn *connection
	log  *slog.Logger
	// soon is the number of pages not yet copied that starts a checkpoint. At
	// limit pages the writer tries at each commit, and two at once would only
	// turn each other away.
	soon, limit int64
	idle        time.Duration
	// quiet fires when nothing has been written for the idle time.
	quiet *time.Timer
	// copying is set while a passive checkpoint is ordered or runs.
	copying atomic.Bool

	mu    sync.Mutex
	stats WALStats
}

// WALStats say how the write-ahead log is doing.
type WALStats struct {
	// Pages is the log's length after the last commit, Backfilled how many of
	// these pages are in the database file already.
	Pages, Backfilled int64
	// Checkpoints counts the checkpoints of the maintenance worker, Failed those
	// that could not be made, CheckpointMax the longest.
	Checkpoints, Failed uint64
	CheckpointMax       time.Duration
}

func newMaintenance(conn *connection, log *slog.Logger, limit int64, idle time.Duration) *maintenance {
	m := &maintenance{
		// Room for a checkpoint and a cut; what comes beyond it is not needed.
		pool: pond.NewPool(1, pond.WithQueueSize(2)),
		conn: conn, log: log, soon: limit / 4, limit: limit, idle: idle,
	}
	m.quiet = time.AfterFunc(time.Hour, m.cut)
	m.quiet.Stop()
	return m
}

// start begins to wait for quiet. It comes before the first commit; a log that
// the last process left is cut even if nobody ever writes.
func (m *maintenance) start() { m.quiet.Reset(m.idle) }

// committed notes the size of the log and orders what follows from it. The
// writer's worker calls it: it does not block.
func (m *maintenance) committed(c checkpoint) {
	m.mu.Lock()
	m.stats.Pages, m.stats.Backfilled = c.pages, c.backfilled
	m.mu.Unlock()
	m.quiet.Reset(m.idle)
	if c.pages-c.backfilled < m.soon || c.pages >= m.limit || !m.copying.CompareAndSwap(false, true) {
		return
	}
	_, ordered := m.pool.TrySubmit(func() {
		defer m.copying.Store(false)
		m.checkpoint("PASSIVE")
	})
	if !ordered {
		m.copying.Store(false)
	}
}

// cut empties the log file once nobody writes. A reader that still needs the log
// puts that off by another idle time. When the worker's queue is full or its end
// has come, it has better things to do.
func (m *maintenance) cut() {
	m.pool.TrySubmit(func() {
		if m.checkpoint("TRUNCATE") {
			m.quiet.Reset(m.idle)
		}
	})
}

// checkpoint runs on the worker and says whether it was turned away because
// somebody uses the log. Its failure harms nobody now: the log grows until the
// next one.
func (m *maintenance) checkpoint(mode string) (busy bool) {
	began := time.Now()
	c, err := m.conn.checkpoint(mode)
	took := time.Since(began)
	if err != nil {
		m.log.Warn("cannot checkpoint the write-ahead log", "mode", mode, "err", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stats.Checkpoints++
	m.stats.CheckpointMax = max(m.stats.CheckpointMax, took)
	if err != nil {
		m.stats.Failed++
		return false
	}
	m.stats.Pages, m.stats.Backfilled = max(c.pages, 0), max(c.backfilled, 0)
	return c.busy
}

// stop lets the last task run on the worker, after those that were ordered, and
// waits for it until ctx ends.
func (m *maintenance) stop(ctx context.Context, last func() error) error {
	m.quiet.Stop()
	task := m.pool.SubmitErr(last)
	stopped := m.pool.Stop()
	select {
	case <-stopped.Done():
		return task.Wait()
	case <-ctx.Done():
		return fmt.Errorf("the maintenance worker is still at work: %w", ctx.Err())
	}
}

func (m *maintenance) walStats() WALStats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stats
}
