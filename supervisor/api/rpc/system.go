package rpc

// Process names a process of heroproc itself.
type Process struct {
	PID       int    `json:"pid"`
	Version   string `json:"version"`
	StartedAt Time   `json:"started_at"`
}

// Info says who answers.
type Info struct {
	Home     string   `json:"home"`
	Instance string   `json:"instance"`
	Daemon   Process  `json:"daemon"`
	Executor *Process `json:"executor,omitempty"`
}

// ShutdownParams ends the daemon.
type ShutdownParams struct {
	// LeaveRunning leaves the children to the executor; a later daemon adopts
	// them. Otherwise all that runs is stopped first.
	LeaveRunning bool `json:"leave_running,omitempty"`
}

// ShutdownResult says that the daemon has begun to stop.
type ShutdownResult struct {
	PID int `json:"pid"`
}

// What Health says.
const (
	HealthReady      = "ready"
	HealthRecovering = "recovering"
	HealthStopping   = "stopping"
)

// Health is the body of GET /health: 200 when ready, else 503.
type Health struct {
	Status string `json:"status"`
	// Detail says what the recovery is doing; empty when ready.
	Detail string `json:"detail,omitempty"`
}

// Stats counts what the daemon has done since it started.
type Stats struct {
	UptimeMs   int64       `json:"uptime_ms"`
	Jobs       JobStats    `json:"jobs"`
	WriteQueue QueueStats  `json:"write_queue"`
	Readers    ReaderStats `json:"readers"`
	WAL        WALStats    `json:"wal"`
	API        APIStats    `json:"api"`
	Goroutines int         `json:"goroutines"`
	HeapBytes  uint64      `json:"heap_bytes"`
}

// JobStats counts attempts.
type JobStats struct {
	Slots   int   `json:"slots"`
	Running int   `json:"running"`
	Queued  int   `json:"queued_in_memory"`
	Started int64 `json:"started_total"`
	Ended   int64 `json:"ended_total"`
}

// QueueStats describes the write queue.
type QueueStats struct {
	Depth        int     `json:"depth"`
	DepthBytes   int64   `json:"depth_bytes"`
	Operations   uint64  `json:"operations_total"`
	Failed       uint64  `json:"failed_total"`
	Batches      uint64  `json:"batches_total"`
	MeanBatch    float64 `json:"mean_batch"`
	MaxBatch     int     `json:"max_batch"`
	Dropped      uint64  `json:"dropped_total"`
	Busy         uint64  `json:"busy_total"`
	CommitMeanUs int64   `json:"commit_mean_us"`
	CommitMaxUs  int64   `json:"commit_max_us"`
	WaitMeanUs   int64   `json:"wait_mean_us"`
}

// ReaderStats describes the pool of readers.
type ReaderStats struct {
	Workers    int    `json:"workers"`
	Depth      int    `json:"depth"`
	Reads      uint64 `json:"reads_total"`
	Busy       uint64 `json:"busy_total"`
	WaitMeanUs int64  `json:"wait_mean_us"`
	WaitMaxUs  int64  `json:"wait_max_us"`
}

// APIStats describes the socket and who is connected to it.
type APIStats struct {
	Connections    int `json:"connections"`
	MaxConnections int `json:"max_connections"`
	// Evicted counts idle connections that were closed to make room.
	Evicted uint64 `json:"evicted_total"`
	// Waits are run.wait calls and streams of output that are open now.
	Waits    int `json:"waits"`
	MaxWaits int `json:"max_waits"`
	// Calls counts JSON-RPC requests; Failed those that were answered with an
	// error, Panics those that were a fault of heroproc's own.
	Calls  uint64 `json:"calls_total"`
	Failed uint64 `json:"failed_total"`
	Panics uint64 `json:"panics_total"`
}

// WALStats describes the database's write-ahead log, which is bounded by being
// copied into the database file (a checkpoint) beside the writer.
type WALStats struct {
	// Pages are in the log, Backfilled of them in the database file already.
	Pages           int64  `json:"pages"`
	Backfilled      int64  `json:"backfilled"`
	Checkpoints     uint64 `json:"checkpoints_total"`
	Failed          uint64 `json:"failed_total"`
	CheckpointMaxUs int64  `json:"checkpoint_max_us"`
}
