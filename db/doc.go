// Package db keeps everything heroproc remembers in one SQLite file. It is the
// only package that opens that file, and there are two ways in:
//
//   - Reads ([Get], [DB.Read]) run on a bounded pool of workers, each with a
//     read-only connection. A read sees one snapshot, never waits for a write,
//     and hears ErrBusy at once when the pool's queue is full.
//   - Writes ([DB.Write], [DB.Enqueue], [DB.WriteLatest], [DB.WriteSliced]) go
//     through one queue to one writer. It takes what is queued, applies each
//     operation in order inside a savepoint of its own, commits once and then
//     answers every caller.
//
// Maintenance, which is checkpoints, has a worker and a connection of its own,
// so that neither readers nor the writer wait for it. After Open no call into
// SQLite is made on any other goroutine.
//
// # What a crash may lose
//
// Nothing that was answered: commits are synchronous=FULL, and an answer comes
// after the commit. A kill or a power cut loses what was accepted but not yet
// committed: the operations of [DB.Enqueue] whose Done was not called, and the
// best-effort values of [DB.WriteLatest]. A batch is all there or not at all.
//
// # When an operation fails
//
// Its savepoint is rolled back and it alone hears of it, also when it panics.
// But SQLite ends the whole transaction by itself when the disk is full or
// fails; it would then commit each further statement alone. So after every
// error the connection is asked whether the transaction still stands, and if
// not, the batch ends there and every operation of it fails with an error for
// which [IsStorage] holds.
package db
