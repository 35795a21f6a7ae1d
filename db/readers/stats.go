package readers

import "time"

// Stats is what a pool has done since it was made and how full it is now.
type Stats struct {
	// Workers is the number of connections, and so of reads at once.
	Workers int
	// Depth is the number of reads that wait for a worker now.
	Depth int
	// Reads counts the reads that were started.
	Reads uint64
	// Busy counts the reads that were refused because the queue was full.
	Busy uint64
	// WaitMean and WaitMax say how long a started read had waited for its
	// worker.
	WaitMean, WaitMax time.Duration
}

// counters is the part of Stats that has to be counted.
type counters struct {
	reads, busy   uint64
	wait, waitMax time.Duration
}

func (p *Pool[C]) started(wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.reads++
	p.stats.wait += wait
	p.stats.waitMax = max(p.stats.waitMax, wait)
}

func (p *Pool[C]) refused() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.busy++
}

// Stats answers the counters as they are now.
func (p *Pool[C]) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Stats{
		Workers: p.size,
		Depth:   int(p.pool.WaitingTasks()),
		Reads:   p.stats.reads,
		Busy:    p.stats.busy,
		WaitMax: p.stats.waitMax,
	}
	if s.Reads > 0 {
		s.WaitMean = p.stats.wait / time.Duration(s.Reads)
	}
	return s
}
