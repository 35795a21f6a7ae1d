package api

import (
	"context"
	"net/http"
	"os"
	"runtime"
	"runtime/metrics"
	"time"

	"github.com/heroproc/heroproc/supervisor/api/rpc"
)

// systemMethods are the methods of the daemon itself.
func systemMethods() []Method {
	return []Method{
		define("system.info", "Names the home, the daemon and the executor.", (*Server).systemInfo),
		define("system.stats", "Counts what the daemon has done since it started.", (*Server).systemStats),
		define("system.shutdown", "Begins to end the daemon; what runs is stopped first, or left to the executor.", (*Server).systemShutdown),
	}
}

func (s *Server) systemInfo(context.Context, rpc.NoParams) (rpc.Info, error) {
	return s.config.Info(), nil
}

func (s *Server) systemStats(context.Context, rpc.NoParams) (rpc.Stats, error) {
	stats := viewStats(s.runs.Stats(), s.config.DB.Stats())
	stats.UptimeMs = time.Since(s.started).Milliseconds()
	stats.API = s.stats()
	stats.Goroutines = runtime.NumGoroutine()
	stats.HeapBytes = heapBytes()
	return stats, nil
}

// stats describes the server itself.
func (s *Server) stats() rpc.APIStats {
	open, evicted := s.connections.count()
	return rpc.APIStats{
		Connections:    open,
		MaxConnections: s.limits.Connections,
		Evicted:        evicted,
		Waits:          len(s.waits.slots),
		MaxWaits:       s.limits.Waits,
		Calls:          s.counters.calls.Load(),
		Failed:         s.counters.failed.Load(),
		Panics:         s.counters.panics.Load(),
	}
}

// heapBytes is what live objects and garbage take; unlike runtime.ReadMemStats
// it stops nobody.
func heapBytes() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

func (s *Server) systemShutdown(_ context.Context, p rpc.ShutdownParams) (rpc.ShutdownResult, error) {
	s.logger.Info("shutdown was asked for", "leave_running", p.LeaveRunning)
	s.config.Shutdown(p.LeaveRunning)
	return rpc.ShutdownResult{PID: os.Getpid()}, nil
}

// serveHealth answers GET /health: 200 only when the recovery is complete.
func (s *Server) serveHealth(w http.ResponseWriter, _ *http.Request) {
	health, status := rpc.Health{Status: rpc.HealthReady}, http.StatusOK
	ready, detail := s.runs.Ready()
	switch {
	case s.stopping.Load():
		health, status = rpc.Health{Status: rpc.HealthStopping}, http.StatusServiceUnavailable
	case !ready:
		health, status = rpc.Health{Status: rpc.HealthRecovering, Detail: detail}, http.StatusServiceUnavailable
	}
	out := newPage()
	defer out.release()
	_ = out.encode(health)
	s.reply(w, status, out.Bytes())
}
