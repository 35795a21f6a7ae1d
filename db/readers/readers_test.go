package readers_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/heroproc/heroproc/db/readers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// conn notices when it is used by two at once.
type conn struct{ users atomic.Int32 }

func (c *conn) use(t *testing.T) func() {
	if c.users.Add(1) != 1 {
		t.Error("a connection is used by two reads at once")
	}
	return func() { c.users.Add(-1) }
}

func setup(t *testing.T, size, queue int) *readers.Pool[*conn] {
	t.Helper()
	conns := make([]*conn, size)
	for i := range conns {
		conns[i] = &conn{}
	}
	p, err := readers.New(conns, queue)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(context.Background()); err != nil {
			t.Errorf("Stop = %v", err)
		}
	})
	return p
}

// occupy takes every worker until the answered function is called.
func occupy(t *testing.T, p *readers.Pool[*conn], size int) (release func()) {
	t.Helper()
	began, mayEnd := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	for range size {
		wg.Go(func() {
			_, err := readers.Do(context.Background(), p, func(context.Context, *conn) (int, error) {
				began <- struct{}{}
				<-mayEnd
				return 0, nil
			})
			if err != nil {
				t.Errorf("Do = %v", err)
			}
		})
		<-began
	}
	return func() { close(mayEnd); wg.Wait() }
}

func TestPool(t *testing.T) {
	t.Parallel()

	t.Run("GivesEachReadAConnectionOfItsOwn", func(t *testing.T) {
		t.Parallel()
		p := setup(t, 3, 100)
		var wg sync.WaitGroup
		for n := range 100 {
			wg.Go(func() {
				got, err := readers.Do(t.Context(), p, func(_ context.Context, c *conn) (int, error) {
					defer c.use(t)()
					runtime.Gosched()
					return n, nil
				})
				if got != n || err != nil {
					t.Errorf("Do = %d, %v, want %d", got, err, n)
				}
			})
		}
		wg.Wait()
		if s := p.Stats(); s.Reads != 100 || s.Workers != 3 || s.Depth != 0 || s.WaitMax < s.WaitMean {
			t.Errorf("stats %+v", s)
		}
	})

	t.Run("IsBusyAtOnceWhenTheQueueIsFull", func(t *testing.T) {
		t.Parallel()
		p := setup(t, 2, 1)
		release := occupy(t, p, 2)
		queued := make(chan error)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			_, err := readers.Do(ctx, p, func(context.Context, *conn) (int, error) {
				t.Error("a read ran although its caller had left")
				return 0, nil
			})
			queued <- err
		}()
		for p.Stats().Depth == 0 {
			runtime.Gosched()
		}
		_, err := readers.Do(t.Context(), p, func(context.Context, *conn) (int, error) { return 0, nil })
		if !errors.Is(err, readers.ErrBusy) {
			t.Errorf("Do on a full pool = %v", err)
		}
		if busy := p.Stats().Busy; busy != 1 {
			t.Errorf("busy was counted %d times", busy)
		}
		cancel()
		if err := <-queued; !errors.Is(err, context.Canceled) {
			t.Errorf("a queued read whose caller leaves = %v", err)
		}
		release()
	})

	t.Run("LetsTheCallerLeaveARunningRead", func(t *testing.T) {
		t.Parallel()
		p := setup(t, 1, 1)
		ctx, cancel := context.WithCancel(t.Context())
		mayEnd := make(chan struct{})
		_, err := readers.Do(ctx, p, func(context.Context, *conn) (int, error) {
			cancel()
			<-mayEnd
			return 7, nil
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Do = %v", err)
		}
		close(mayEnd)
		got, err := readers.Do(t.Context(), p, func(context.Context, *conn) (int, error) { return 8, nil })
		if got != 8 || err != nil {
			t.Errorf("the next read = %d, %v", got, err)
		}
	})

	for name, end := range map[string]func(){
		"SurvivesAPanic":             func() { panic("read") },
		"SurvivesAGoroutineThatEnds": runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := setup(t, 1, 4)
			for range 3 {
				_, err := readers.Do(t.Context(), p, func(_ context.Context, c *conn) (int, error) {
					defer c.use(t)()
					end()
					return 0, nil
				})
				if err == nil {
					t.Error("the read has no error")
				}
			}
			got, err := readers.Do(t.Context(), p, func(context.Context, *conn) (int, error) { return 1, nil })
			if got != 1 || err != nil {
				t.Errorf("the next read = %d, %v", got, err)
			}
		})
	}

	t.Run("StopWaitsForWhatRunsAndRefusesTheRest", func(t *testing.T) {
		t.Parallel()
		p := setup(t, 2, 1)
		release := occupy(t, p, 1)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p.Stop(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("Stop while a read runs = %v", err)
		}
		release()
		if err := p.Stop(t.Context()); err != nil {
			t.Errorf("Stop = %v", err)
		}
		_, err := readers.Do(t.Context(), p, func(context.Context, *conn) (int, error) { return 0, nil })
		if !errors.Is(err, readers.ErrClosed) {
			t.Errorf("Do after Stop = %v", err)
		}
	})

	t.Run("RefusesSizesThatCannotWork", func(t *testing.T) {
		t.Parallel()
		if _, err := readers.New([]int{}, 1); err == nil {
			t.Error("a pool without connections was made")
		}
		if _, err := readers.New([]int{1}, 0); err == nil {
			t.Error("a pool without a queue was made")
		}
	})
}
