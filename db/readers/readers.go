// Package readers lends a fixed set of read-only connections to many callers
// through a bounded pool of workers. It knows nothing of SQL: a connection is
// whatever its owner put in.
//
// A caller never waits without end: when the queue before the workers is full
// it hears so at once, and when its context ends it leaves, whatever the worker
// is doing. The worker then finishes alone and its answer is thrown away.
package readers

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/alitto/pond/v2"
)

// ErrBusy says that every worker is taken and the queue before them is full.
// Nothing was read; the caller may try again a moment later.
var ErrBusy = errors.New("all readers are busy")

// ErrClosed says that the pool has been stopped.
var ErrClosed = errors.New("readers are closed")

// errAbandoned answers a read whose function ended its goroutine instead of
// returning.
var errAbandoned = errors.New("internal error: a read ended its goroutine without an answer")

// PanicError is the answer to a read whose function panicked. The worker and
// its connection go on; the stack is kept for the log, not for the message.
type PanicError struct {
	Value any
	Stack []byte
}

// Error names what the function panicked with.
func (e *PanicError) Error() string {
	return fmt.Sprintf("internal error: a read panicked: %v", e.Value)
}

// Pool holds the connections and the workers that use them.
//
// The workers have no state of their own, so a task takes a connection from the
// free list. There are as many connections as workers: the list is never empty
// when a task asks.
type Pool[C any] struct {
	pool pond.Pool
	free chan C
	size int

	mu    sync.Mutex
	stats counters
}

// New makes a pool with one worker for each connection and room for queue tasks
// before them. Both must be at least one.
func New[C any](conns []C, queue int) (*Pool[C], error) {
	if len(conns) == 0 || queue < 1 {
		return nil, fmt.Errorf("cannot make a reader pool of %d connections and a queue of %d: both must be at least 1",
			len(conns), queue)
	}
	free := make(chan C, len(conns))
	for _, c := range conns {
		free <- c
	}
	return &Pool[C]{
		pool: pond.NewPool(len(conns), pond.WithQueueSize(queue), pond.WithNonBlocking(true)),
		free: free,
		size: len(conns),
	}, nil
}

// Do runs fn on a worker with a connection of its own and hands its value over.
// It answers ErrBusy when the queue is full, ErrClosed after Stop, and the
// context's error when that ends first: fn is then not started if it was still
// queued, and its value is dropped if it was running. It is a function and not
// a method because only functions may have a type of their own for the value.
func Do[C, R any](ctx context.Context, p *Pool[C], fn func(context.Context, C) (R, error)) (R, error) {
	type answer struct {
		value R
		err   error
	}
	var none R
	if err := ctx.Err(); err != nil {
		return none, err
	}
	// Room for one answer lets the worker finish when nobody listens any more.
	answers := make(chan answer, 1)
	submitted := time.Now()
	err := p.pool.Go(func() {
		if err := ctx.Err(); err != nil {
			answers <- answer{err: err}
			return
		}
		p.started(time.Since(submitted))
		conn := <-p.free
		a := answer{err: errAbandoned}
		defer func() {
			if v := recover(); v != nil {
				a = answer{err: &PanicError{Value: v, Stack: debug.Stack()}}
			}
			p.free <- conn
			answers <- a
		}()
		value, err := fn(ctx, conn)
		a = answer{value, err}
	})
	switch {
	case errors.Is(err, pond.ErrPoolStopped):
		return none, ErrClosed
	case err != nil:
		p.refused()
		return none, ErrBusy
	}
	select {
	case a := <-answers:
		return a.value, a.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// Stop refuses new reads and waits for those that were accepted, until ctx
// ends. It may be called more than once.
func (p *Pool[C]) Stop(ctx context.Context) error {
	stopped := p.pool.Stop()
	select {
	case <-stopped.Done():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%d of %d readers are still reading: %w", p.size-len(p.free), p.size, ctx.Err())
	}
}
