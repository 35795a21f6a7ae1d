// Package writequeue collects writes into batches and flushes one batch at a
// time on a single worker: group commit. It knows nothing of SQL; what a flush
// does is its owner's business.
//
// A batch is what arrived while the last one was being flushed, up to a count
// and a size. No timer delays an item somebody waits for: on an idle queue it
// is flushed at once. An item that nobody waits for may linger for company.
//
// Ordered items are kept in order, never merged and never dropped. Best-effort
// items are kept by subject, only the newest of each; what is replaced is
// counted as dropped. The queue is bounded: when it is full, callers wait for
// room in the order they came, for as long as their context lets them.
package writequeue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/alitto/pond/v2"
)

// ErrFull says that the queue had no room before the caller's context ended.
// The item was not accepted: it may be offered again.
var ErrFull = errors.New("the write queue is full")

// ErrClosed says that the queue has been stopped. The item was not flushed.
var ErrClosed = errors.New("the write queue is closed")

// errUnanswered is the answer to an item that a flush has said nothing about.
var errUnanswered = errors.New("internal error: the flush ended without an answer")

// Options are a queue's work and its limits. Every limit that is zero takes its
// default.
type Options[T any] struct {
	// Flush applies one batch, in order, and sets errs[i] to the answer for
	// batch[i]; the two have the same length and belong to the queue again when
	// Flush returns. If Flush panics, every item of the batch is answered with
	// the panic.
	Flush func(batch []T, errs []error)
	// Logger hears of a Done that panicked. The default discards.
	Logger *slog.Logger

	// MaxBatch is the number of items in a batch, 256 by default: at that size
	// the cost of a commit is spread so thin that a larger batch gains little
	// and makes everybody behind it wait longer.
	MaxBatch int
	// MaxBatchBytes is the estimated size of a batch, 4 MiB by default. A
	// single item may be larger; it then is a batch of its own.
	MaxBatchBytes int
	// MaxQueued and MaxQueuedBytes are the high-water marks: when one of them
	// is reached, callers wait until the queue is down to half of both. 8192
	// items and 64 MiB by default, about a second's work and the memory it may
	// cost.
	MaxQueued, MaxQueuedBytes int
	// MaxSubjects bounds the best-effort items, 4096 by default. A new subject
	// beyond it is dropped, and counted.
	MaxSubjects int
	// Linger is how long an item that nobody waits for may wait for company,
	// 5 ms by default: measured to be worth a fifth of the throughput of short
	// jobs, and too short to be seen.
	Linger time.Duration
}

func (o Options[T]) withDefaults() Options[T] {
	set := func(field *int, value int) {
		if *field <= 0 {
			*field = value
		}
	}
	set(&o.MaxBatch, 256)
	set(&o.MaxBatchBytes, 4<<20)
	set(&o.MaxQueued, 8192)
	set(&o.MaxQueuedBytes, 64<<20)
	set(&o.MaxSubjects, 4096)
	if o.Linger <= 0 {
		o.Linger = 5 * time.Millisecond
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Item is one write.
type Item[T any] struct {
	// Value is what Flush receives.
	Value T
	// Bytes is an estimate of the memory the item holds; it counts against the
	// size limits.
	Bytes int
	// Linger lets the item wait for company. Do ignores it.
	Linger bool
	// Alone gives the item a batch of its own, so that what came before it does
	// not wait for it: for a slice of a long operation.
	Alone bool
	// Done, if set, hears the answer: nil when the batch was flushed, the
	// item's error, or ErrClosed. It is called exactly once for an accepted
	// item and never for one that was refused, on the queue's worker (by Stop, if
	// that gave the item up): it must not block and must not call the queue.
	Done func(error)
}

// kind says who waits for an item.
type kind int

const (
	awaited    kind = iota // a caller waits for the answer
	unawaited              // accepted, and nobody waits
	bestEffort             // may be replaced by a newer one
)

// entry is an accepted item.
type entry[T any] struct {
	Item[T]
	kind     kind
	accepted time.Time
}

// Queue is the write queue. Make one with New, end it with Stop.
type Queue[T any] struct {
	options Options[T]
	// pool has one worker; a task flushes one batch.
	pool pond.Pool
	// linger wakes the queue when the oldest lingering item has waited enough.
	// A late wake-up only makes a flush early.
	linger *time.Timer
	// drained is closed when the queue is stopped and nothing is left in it.
	drained chan struct{}

	mu    sync.Mutex
	state state[T]
	stats counters

	// The buffers of the flush that runs; only its task touches them.
	batch  []entry[T]
	values []T
	errs   []error
}

// New makes a queue that is ready to accept items.
func New[T any](o Options[T]) *Queue[T] {
	q := &Queue[T]{
		options: o.withDefaults(),
		// One flush is asked for at a time, the next one at the earliest by the
		// task of the last: room for one task is enough.
		pool:    pond.NewPool(1, pond.WithQueueSize(1)),
		drained: make(chan struct{}),
		state:   state[T]{latest: map[string]entry[T]{}},
	}
	q.linger = time.AfterFunc(time.Hour, q.ripe)
	q.linger.Stop()
	return q
}

// Do puts an item at the end of the queue and waits for its answer. The context
// bounds the wait for room (then the error wraps ErrFull, and the item was not
// accepted) and the wait for the answer (then the item is still flushed, and
// only nobody hears of it).
func (q *Queue[T]) Do(ctx context.Context, item Item[T]) error {
	answer := make(chan error, 1)
	done := item.Done
	item.Linger = false
	item.Done = func(err error) {
		if done != nil {
			done(err)
		}
		answer <- err
	}
	if err := q.accept(ctx, item, awaited); err != nil {
		return err
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return fmt.Errorf("gave up waiting for the commit, which may still happen: %w", ctx.Err())
	}
}

// Enqueue puts an item at the end of the queue and returns once it is accepted.
// The context bounds the wait for room.
func (q *Queue[T]) Enqueue(ctx context.Context, item Item[T]) error {
	return q.accept(ctx, item, unawaited)
}

// Latest keeps the value as the newest of its subject until a batch has room for
// it. It never waits: an older value of the same subject is replaced, and with
// too many subjects, or after Stop, the value is dropped; both are counted.
func (q *Queue[T]) Latest(subject string, value T) {
	e := entry[T]{Item: Item[T]{Value: value, Linger: true}, kind: bestEffort, accepted: time.Now()}

	q.mu.Lock()
	defer q.mu.Unlock()
	if q.state.closed {
		q.stats.dropped++
		return
	}
	kept, dropped := q.state.keepLatest(subject, e, q.options.MaxSubjects)
	if dropped {
		q.stats.dropped++
	}
	if kept {
		q.wake()
	}
}

// accept appends the item, waiting for room if there is none.
func (q *Queue[T]) accept(ctx context.Context, item Item[T], k kind) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	e := entry[T]{Item: item, kind: k, accepted: time.Now()}

	q.mu.Lock()
	if q.state.closed {
		q.mu.Unlock()
		return ErrClosed
	}
	if !q.state.full && len(q.state.waiters) == 0 {
		q.push(e)
		q.wake()
		q.mu.Unlock()
		return nil
	}
	w := &waiter[T]{entry: e, told: make(chan error, 1)}
	q.state.waiters = append(q.state.waiters, w)
	q.stats.busy++
	q.wake()
	q.mu.Unlock()

	select {
	case err := <-w.told:
		return err
	case <-ctx.Done():
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.state.leave(w) {
		return fmt.Errorf("%w: %w", ErrFull, ctx.Err())
	}
	// It was let in, or refused by Stop, before it could leave.
	return <-w.told
}

// push appends an entry that there is room for and notes when that was the last
// room.
func (q *Queue[T]) push(e entry[T]) {
	q.state.push(e)
	q.state.full = len(q.state.ordered) >= q.options.MaxQueued || q.state.bytes >= q.options.MaxQueuedBytes
}
