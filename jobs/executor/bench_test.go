package executor

import (
	"context"
	"log/slog"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkTrue starts /bin/true through an executor, with the given number at
// once, and compares that to a bare start-and-wait loop of package os/exec. The
// two take turns (A B A B), so that whatever else the machine does falls on
// both; "bare/ours" above 1 means that the executor is the faster one.
func BenchmarkTrue(b *testing.B) {
	for _, slots := range []int{2, 8} {
		b.Run("slots="+strconv.Itoa(slots), func(b *testing.B) {
			s := newBenchStage(b)
			var ours, bare time.Duration
			const turns = 4
			for b.Loop() {
				for range turns {
					ours += s.jobs(slots, 500)
					bare += bareJobs(b, slots, 500)
				}
			}
			b.ReportMetric(bare.Seconds()/ours.Seconds(), "bare/ours")
			b.ReportMetric(float64(turns*500*b.N)/ours.Seconds(), "jobs/s")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// bareJobs runs n processes with Go's own means.
func bareJobs(b *testing.B, slots, n int) time.Duration {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(runtime.NumCPU()))
	begin := time.Now()
	var left atomic.Int64
	left.Store(int64(n))
	var all sync.WaitGroup
	for range slots {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				if err := exec.Command("/bin/true").Run(); err != nil {
					b.Error(err)
				}
			}
		})
	}
	all.Wait()
	return time.Since(begin)
}

// benchStage is an executor and a daemon that orders the next job when one has
// ended.
type benchStage struct {
	client *Client
	next   atomic.Int64
	left   atomic.Int64
	ended  chan struct{}
}

func newBenchStage(b *testing.B, args ...string) *benchStage {
	s := &benchStage{ended: make(chan struct{}, 1)}
	client, _, err := Attach(b.Context(), ClientOptions{
		Home:    b.TempDir(),
		Command: append([]string{"/proc/self/exe", asExecutor}, args...),
		Logger:  slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	s.client = client
	served := make(chan error, 1)
	go func() { served <- client.Serve(context.Background(), s.take) }()
	b.Cleanup(func() {
		if err := client.Shutdown(); err != nil {
			b.Error(err)
		}
		<-served
		client.Close()
	})
	return s
}

func (s *benchStage) take(events []Event) {
	for _, e := range events {
		if e.Kind != EventExited {
			continue
		}
		// Errors of a lost executor end the benchmark by its time limit.
		_ = s.client.Ack(e.Epoch, e.Number)
		switch left := s.left.Add(-1); {
		case left == 0:
			s.ended <- struct{}{}
		default:
			s.order()
		}
	}
}

// order orders one more, unless enough were.
func (s *benchStage) order() {
	id := s.next.Add(-1)
	if id < 0 {
		return
	}
	_ = s.client.Start(Order{
		Attempt: id + 1,
		Token:   benchToken(),
		Command: []string{"/bin/true"},
		Dir:     "/",
	})
}

var benchTokens atomic.Int64

func benchToken() string { return "bench-" + strconv.FormatInt(benchTokens.Add(1), 10) }

func (s *benchStage) jobs(slots, n int) time.Duration {
	begin := time.Now()
	s.left.Store(int64(n))
	s.next.Store(int64(n))
	for range slots {
		s.order()
	}
	<-s.ended
	return time.Since(begin)
}
