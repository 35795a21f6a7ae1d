package jobs

import (
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/heroproc/heroproc/jobs/spec"
)

// BenchmarkEndToEnd runs short jobs through everything (submission at full
// durability, admission, executor, output, final state on disk) and, turn by
// turn in the same run, through a bare start-and-wait loop of os/exec with as
// many at once and GOMAXPROCS = cores. The ratio is the figure; absolute rates
// depend on the hour. Run it with -benchtime=7x for seven turns each.
func BenchmarkEndToEnd(b *testing.B) {
	const perTurn = 1500
	for name, command := range map[string][]string{"true": {"/bin/true"}, "echo": {"/bin/echo", "hi"}} {
		for _, slots := range []int{2, 8} {
			b.Run(fmt.Sprintf("%s/slots=%d", name, slots), func(b *testing.B) {
				h := newHouse(b, slots)
				turn(b, h, command, perTurn) // warms caches up, and the kernel's
				var ratios, rates []float64
				for b.Loop() {
					bare := bareLoop(b, command, slots, perTurn)
					ours := turn(b, h, command, perTurn)
					ratios = append(ratios, bare.Seconds()/ours.Seconds())
					rates = append(rates, perTurn/ours.Seconds())
				}
				b.ReportMetric(median(ratios), "x-bare")
				b.ReportMetric(slices.Min(ratios), "x-bare-min")
				b.ReportMetric(median(rates), "jobs/s")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// turn submits n runs, a hundred at a time, and returns how long it took until the last was final.
func turn(b *testing.B, h *house, command []string, n int) time.Duration {
	b.Helper()
	runs := make([]spec.Run, n)
	for i := range runs {
		runs[i] = single(spec.Action{Command: command})
	}
	began := time.Now()
	var results []Submitted
	for some := range slices.Chunk(runs, 100) {
		submitted, err := h.Submit(context.Background(), some)
		if err != nil {
			b.Fatal(err)
		}
		results = append(results, submitted...)
	}
	for _, result := range slices.Backward(results) {
		outcome, err := h.Wait(context.Background(), result.ID)
		if err != nil {
			b.Fatal(err)
		}
		if outcome.State != RunSucceeded {
			b.Fatalf("run %d is %s: %s", outcome.ID, outcome.State, outcome.Reason.Text)
		}
		if time.Since(began) > time.Minute {
			b.Fatal("the machine is too slow for this")
		}
	}
	return time.Since(began)
}

// bareLoop is the limit: what os/exec needs to start and wait for n processes.
func bareLoop(b *testing.B, command []string, atOnce, n int) time.Duration {
	b.Helper()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(runtime.NumCPU()))
	left := make(chan struct{}, n)
	for range n {
		left <- struct{}{}
	}
	close(left)
	var lanes sync.WaitGroup
	began := time.Now()
	for range atOnce {
		lanes.Go(func() {
			for range left {
				if err := exec.Command(command[0], command[1:]...).Run(); err != nil {
					b.Error(err)
				}
			}
		})
	}
	lanes.Wait()
	return time.Since(began)
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// BenchmarkSubmit is the submission path alone, acknowledged at full durability:
// one caller, and 200 at once.
func BenchmarkSubmit(b *testing.B) {
	for _, callers := range []int{1, 64, 200} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			h := newHouse(b, 1)
			// One slot that is taken: what is measured is not what is started.
			hold := h.submitOne(b, single(spec.Action{Command: []string{"sleep", "1000"}}))
			defer h.Cancel(context.Background(), hold)
			b.SetParallelism(max(1, callers/runtime.GOMAXPROCS(0)))
			run := single(spec.Action{Command: []string{"true"}})
			b.ResetTimer()
			if callers == 1 {
				for b.Loop() {
					h.submitOne(b, run)
				}
			} else {
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if _, err := h.Submit(context.Background(), []spec.Run{run}); err != nil {
							b.Error(err)
						}
					}
				})
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "runs/s")
		})
	}
}
