package writequeue_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/heroproc/heroproc/db/writequeue"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errBad = errors.New("bad item")

// sink is a fake flush. It keeps the batches it was given, and each flush says
// that it has begun and waits until it may end.
type sink struct {
	mu      sync.Mutex
	batches [][]int
	began   chan int
	mayEnd  chan struct{}
}

func (s *sink) flush(batch []int, errs []error) {
	s.began <- len(batch)
	<-s.mayEnd
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches = append(s.batches, append([]int(nil), batch...))
	for i, v := range batch {
		errs[i] = nil
		if v < 0 {
			errs[i] = errBad
		}
	}
}

// step lets the flush that runs, or the next one, end.
func (s *sink) step() {
	<-s.began
	s.mayEnd <- struct{}{}
}

func (s *sink) flushed() [][]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([][]int(nil), s.batches...)
}

// open lets every flush through.
func (s *sink) open() {
	close(s.mayEnd)
	go func() {
		for range s.began {
		}
	}()
}

type bundle struct {
	*writequeue.Queue[int]
	sink *sink
}

// setup makes a queue of a bubble's own, which is stopped at the bubble's end.
func setup(o writequeue.Options[int]) *bundle {
	s := &sink{began: make(chan int), mayEnd: make(chan struct{})}
	o.Flush = s.flush
	return &bundle{writequeue.New(o), s}
}

func (b *bundle) stop(t *testing.T) {
	t.Helper()
	b.sink.open()
	if losses := b.Stop(t.Context()); losses.Any() {
		t.Errorf("stopping lost %+v", losses)
	}
	close(b.sink.began)
}

func value(v int) writequeue.Item[int] { return writequeue.Item[int]{Value: v} }

func TestQueue(t *testing.T) {
	t.Parallel()

	run := func(name string, o writequeue.Options[int], test func(*testing.T, *bundle)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { test(t, setup(o)) })
		})
	}
	enqueue := func(t *testing.T, b *bundle, items ...writequeue.Item[int]) {
		t.Helper()
		for _, item := range items {
			if err := b.Enqueue(t.Context(), item); err != nil {
				t.Fatalf("Enqueue(%d) = %v", item.Value, err)
			}
		}
	}
	equal := func(t *testing.T, got, want any) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}

	run("FlushesAtOnceWhenIdle", writequeue.Options[int]{Linger: time.Hour}, func(t *testing.T, b *bundle) {
		began := time.Now()
		go b.sink.step()
		if err := b.Do(t.Context(), value(1)); err != nil {
			t.Fatal(err)
		}
		equal(t, time.Since(began), time.Duration(0))
		b.stop(t)
	})

	run("BatchesWhatArrivedDuringAFlush", writequeue.Options[int]{}, func(t *testing.T, b *bundle) {
		enqueue(t, b, value(1))
		<-b.sink.began
		enqueue(t, b, value(2), value(3), value(4))
		b.sink.mayEnd <- struct{}{}
		b.sink.step()
		synctest.Wait()
		equal(t, b.sink.flushed(), [][]int{{1}, {2, 3, 4}})
		stats := b.Stats()
		equal(t, []any{stats.Items, stats.Batches, stats.BatchMean, stats.BatchMax}, []any{uint64(4), uint64(2), 2.0, 3})
		b.stop(t)
	})

	run("CutsByCountAndBytes", writequeue.Options[int]{MaxBatch: 3, MaxBatchBytes: 10}, func(t *testing.T, b *bundle) {
		sized := func(v, bytes int) writequeue.Item[int] { return writequeue.Item[int]{Value: v, Bytes: bytes} }
		enqueue(t, b, value(0))
		<-b.sink.began
		enqueue(t, b, sized(1, 1), sized(2, 1), sized(3, 1), sized(4, 6), sized(5, 6), sized(6, 99), sized(7, 1))
		b.sink.mayEnd <- struct{}{}
		for range 5 {
			b.sink.step()
		}
		synctest.Wait()
		equal(t, b.sink.flushed(), [][]int{{0}, {1, 2, 3}, {4}, {5}, {6}, {7}})
		b.stop(t)
	})

	run("GivesASliceABatchOfItsOwn", writequeue.Options[int]{}, func(t *testing.T, b *bundle) {
		enqueue(t, b, value(0))
		<-b.sink.began
		enqueue(t, b, value(1), writequeue.Item[int]{Value: 2, Alone: true}, value(3), value(4))
		b.Latest("stats", 9)
		b.sink.mayEnd <- struct{}{}
		for range 3 {
			b.sink.step()
		}
		synctest.Wait()
		equal(t, b.sink.flushed(), [][]int{{0}, {1, 9}, {2}, {3, 4}})
		b.stop(t)
	})

	run("AnswersEachWithItsOwnError", writequeue.Options[int]{}, func(t *testing.T, b *bundle) {
		b.sink.open()
		var wg sync.WaitGroup
		for v := range 20 {
			wg.Go(func() {
				want := error(nil)
				if v%3 == 1 {
					v, want = -v, errBad
				}
				if err := b.Do(t.Context(), value(v)); !errors.Is(err, want) {
					t.Errorf("Do(%d) = %v, want %v", v, err, want)
				}
			})
		}
		wg.Wait()
		synctest.Wait()
		equal(t, b.Stats().Failed, uint64(7))
		b.Stop(t.Context())
		close(b.sink.began)
	})

	run("LingersForCompany", writequeue.Options[int]{Linger: 5 * time.Millisecond}, func(t *testing.T, b *bundle) {
		lingering := func(v int) writequeue.Item[int] { return writequeue.Item[int]{Value: v, Linger: true} }
		began := time.Now()
		enqueue(t, b, lingering(1))
		time.Sleep(2 * time.Millisecond)
		enqueue(t, b, lingering(2))
		b.sink.step()
		equal(t, time.Since(began), 5*time.Millisecond)

		synctest.Wait()
		began = time.Now()
		enqueue(t, b, lingering(3))
		go b.sink.step()
		if err := b.Do(t.Context(), value(4)); err != nil {
			t.Fatal(err)
		}
		equal(t, time.Since(began), time.Duration(0))
		equal(t, b.sink.flushed(), [][]int{{1, 2}, {3, 4}})
		b.stop(t)
	})

	run("LingersNoLongerThanAFullBatch", writequeue.Options[int]{Linger: time.Hour, MaxBatch: 2}, func(t *testing.T, b *bundle) {
		began := time.Now()
		enqueue(t, b, writequeue.Item[int]{Value: 1, Linger: true}, writequeue.Item[int]{Value: 2, Linger: true})
		b.sink.step()
		equal(t, time.Since(began), time.Duration(0))
		b.stop(t)
	})

	run("KeepsOnlyTheLatestOfASubject", writequeue.Options[int]{Linger: time.Second, MaxSubjects: 2}, func(t *testing.T, b *bundle) {
		began := time.Now()
		b.Latest("a", 1)
		b.Latest("b", 2)
		b.Latest("a", 3)
		b.Latest("c", 4)
		b.sink.step()
		synctest.Wait()
		equal(t, b.sink.flushed(), [][]int{{3, 2}})
		equal(t, b.Stats().Dropped, uint64(2))
		equal(t, time.Since(began), time.Second)
		b.stop(t)
	})

	run("WaitsForRoomBetweenTheMarks", writequeue.Options[int]{MaxQueued: 4, MaxBatch: 1}, func(t *testing.T, b *bundle) {
		enqueue(t, b, value(0))
		<-b.sink.began
		enqueue(t, b, value(1), value(2), value(3), value(4))
		var accepted atomic.Int32
		var wg sync.WaitGroup
		for v := range 3 {
			wg.Go(func() {
				if err := b.Enqueue(t.Context(), value(5+v)); err != nil {
					t.Errorf("Enqueue = %v", err)
				}
				accepted.Add(1)
			})
			synctest.Wait()
		}
		for range 2 { // down to 3 and then to 2 items: only then is it the low mark
			equal(t, accepted.Load(), int32(0))
			b.sink.mayEnd <- struct{}{}
			<-b.sink.began
			synctest.Wait()
		}
		equal(t, accepted.Load(), int32(2))
		equal(t, b.Stats().Busy, uint64(3))
		b.sink.open()
		wg.Wait()
		b.Stop(t.Context())
		close(b.sink.began)
		equal(t, b.sink.flushed(), [][]int{{0}, {1}, {2}, {3}, {4}, {5}, {6}, {7}})
	})

	run("LeavesTheWaitForRoomWithItsCaller", writequeue.Options[int]{MaxQueued: 1}, func(t *testing.T, b *bundle) {
		enqueue(t, b, value(0))
		<-b.sink.began
		enqueue(t, b, value(1))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := b.Do(ctx, value(2))
		if !errors.Is(err, writequeue.ErrFull) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Do on a full queue = %v", err)
		}
		equal(t, b.Stats().Waiting, 0)
		b.sink.mayEnd <- struct{}{}
		b.stop(t)
		equal(t, b.sink.flushed(), [][]int{{0}, {1}})
	})

	run("FlushesEvenWhenTheCallerHasLeft", writequeue.Options[int]{}, func(t *testing.T, b *bundle) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := b.Do(ctx, value(1)); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, writequeue.ErrFull) {
			t.Errorf("Do = %v, want only the deadline", err)
		}
		b.stop(t)
		equal(t, b.sink.flushed(), [][]int{{1}})
	})

	run("RefusesAfterStop", writequeue.Options[int]{}, func(t *testing.T, b *bundle) {
		b.stop(t)
		b.Stop(t.Context())
		called := false
		err := b.Enqueue(t.Context(), writequeue.Item[int]{Done: func(error) { called = true }})
		if !errors.Is(err, writequeue.ErrClosed) || called {
			t.Errorf("Enqueue after Stop = %v, Done called: %v", err, called)
		}
		b.Latest("a", 1)
		equal(t, b.Stats().Dropped, uint64(1))
	})

	run("StopsSoftlyThenHard", writequeue.Options[int]{MaxBatch: 2, MaxQueued: 5, Linger: time.Hour}, func(t *testing.T, b *bundle) {
		answers := make(chan string, 20)
		say := func(name string) func(error) {
			return func(err error) { answers <- fmt.Sprintf("%s: %v", name, err) }
		}
		enqueue(t, b, writequeue.Item[int]{Value: 1, Done: say("flushed")})
		<-b.sink.began
		enqueue(t, b, writequeue.Item[int]{Value: 2, Done: say("in flight")})
		go func() { _ = b.Do(t.Context(), writequeue.Item[int]{Value: 3, Done: say("in flight")}) }()
		synctest.Wait()
		enqueue(t, b, writequeue.Item[int]{Value: 4, Linger: true, Done: say("lost")})
		go func() { _ = b.Do(t.Context(), writequeue.Item[int]{Value: 5, Done: say("lost")}) }()
		synctest.Wait()
		enqueue(t, b, writequeue.Item[int]{Value: 6, Done: say("lost")})
		refused := make(chan error)
		go func() { refused <- b.Enqueue(t.Context(), writequeue.Item[int]{Done: say("refused")}) }()
		synctest.Wait()
		b.Latest("a", 7)

		began := time.Now()
		losses := make(chan writequeue.Losses)
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			losses <- b.Stop(ctx)
		}()
		if err := <-refused; !errors.Is(err, writequeue.ErrClosed) {
			t.Errorf("waiting for room during Stop = %v", err)
		}
		b.sink.mayEnd <- struct{}{}
		<-b.sink.began // the second flush hangs until after the deadline
		equal(t, <-losses, writequeue.Losses{Awaited: 1, Unawaited: 2, BestEffort: 1, InFlight: 2})
		equal(t, time.Since(began), 3*time.Second)

		b.sink.mayEnd <- struct{}{}
		equal(t, b.Stop(t.Context()), writequeue.Losses{})
		close(answers)
		counts := map[string]int{}
		for a := range answers {
			counts[a]++
		}
		equal(t, counts, map[string]int{
			"flushed: <nil>": 1, "in flight: <nil>": 2, "lost: the write queue is closed": 3,
		})
	})
}

func TestFlushThatFailsBadly(t *testing.T) {
	t.Parallel()

	for name, flush := range map[string]func([]int, []error){
		"Panics":            func([]int, []error) { panic("flush") },
		"EndsItsGoroutine":  func([]int, []error) { runtime.Goexit() },
		"SaysNothing":       func([]int, []error) {},
		"PanicsAtTheAnswer": func(_ []int, errs []error) { errs[0] = nil; panic("late") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := writequeue.New(writequeue.Options[int]{Flush: flush})
			for range 3 {
				if err := q.Do(t.Context(), value(1)); err == nil {
					t.Error("Do answered that the item was flushed")
				}
			}
			if losses := q.Stop(t.Context()); losses.Any() {
				t.Errorf("Stop lost %+v", losses)
			}
		})
	}

	t.Run("ADoneThatPanicsHarmsNobodyElse", func(t *testing.T) {
		t.Parallel()
		q := writequeue.New(writequeue.Options[int]{Flush: func(_ []int, errs []error) { clear(errs) }})
		if err := q.Enqueue(t.Context(), writequeue.Item[int]{Done: func(error) { panic("done") }}); err != nil {
			t.Fatal(err)
		}
		if err := q.Do(t.Context(), value(1)); err != nil {
			t.Errorf("Do = %v", err)
		}
		q.Stop(t.Context())
	})
}

// TestProducersAgainstStop lets 200 producers run into Stop and holds every
// single answer against what was really flushed.
func TestProducersAgainstStop(t *testing.T) {
	t.Parallel()

	for _, hard := range []bool{false, true} {
		t.Run(fmt.Sprintf("Hard=%v", hard), func(t *testing.T) {
			t.Parallel()
			const producers = 200
			var mu sync.Mutex
			flushed := map[int]int{}
			last := map[int]int{} // of each producer, to see that its order was kept
			running := make(chan struct{})
			var once sync.Once
			q := writequeue.New(writequeue.Options[int]{
				MaxQueued: 64, MaxBatch: 16, Linger: time.Microsecond,
				Flush: func(batch []int, errs []error) {
					mu.Lock()
					defer mu.Unlock()
					for i, v := range batch {
						flushed[v]++
						if before, ok := last[v%producers]; ok && before >= v {
							t.Errorf("item %d was flushed after %d", v, before)
						}
						last[v%producers] = v
						errs[i] = nil
					}
					if len(flushed) > 2000 {
						once.Do(func() { close(running) })
					}
				},
			})
			answered := make([]map[int]error, producers)
			var twice atomic.Int32
			var wg sync.WaitGroup
			for p := range producers {
				answered[p] = map[int]error{}
				wg.Go(func() {
					var mine sync.Mutex
					var open sync.WaitGroup
					for n := 0; ; n++ {
						v := n*producers + p
						open.Add(1)
						done := func(err error) {
							mine.Lock()
							defer mine.Unlock()
							if _, ok := answered[p][v]; ok {
								twice.Add(1)
							}
							answered[p][v] = err
							open.Done()
						}
						item := writequeue.Item[int]{Value: v, Linger: n%3 == 0, Done: done}
						put := q.Enqueue
						if n%2 == 0 {
							put = q.Do
						}
						err := put(t.Context(), item)
						mine.Lock()
						_, told := answered[p][v]
						mine.Unlock()
						if errors.Is(err, writequeue.ErrClosed) && !told && n%2 == 0 {
							open.Done() // refused: Done is never called
							break
						}
						if errors.Is(err, writequeue.ErrClosed) && n%2 == 1 {
							open.Done()
							break
						}
						if errors.Is(err, writequeue.ErrClosed) {
							break // accepted and given up
						}
					}
					open.Wait()
				})
			}
			<-running
			ctx, cancel := context.WithCancel(t.Context())
			if hard {
				cancel()
			}
			losses := q.Stop(ctx)
			wg.Wait()
			cancel()
			if !hard && losses.Any() {
				t.Errorf("a soft stop lost %+v", losses)
			}
			q.Stop(t.Context())

			lost := 0
			for _, answers := range answered {
				for v, err := range answers {
					if committed := flushed[v] == 1; committed != (err == nil) {
						t.Fatalf("item %d was flushed %d times and answered %v", v, flushed[v], err)
					}
					if err != nil {
						lost++
					}
				}
			}
			if twice.Load() > 0 {
				t.Errorf("%d items were answered twice", twice.Load())
			}
			if counted := losses.Awaited + losses.Unawaited; counted != lost {
				t.Errorf("%d accepted items were lost and %d were counted", lost, counted)
			}
		})
	}
}
