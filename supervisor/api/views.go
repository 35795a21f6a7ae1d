package api

import (
	"encoding/json"
	"fmt"

	"github.com/heroproc/heroproc/db"
	"github.com/heroproc/heroproc/jobs"
	"github.com/heroproc/heroproc/jobs/logs"
	"github.com/heroproc/heroproc/supervisor/api/rpc"
)

// The functions of this file turn what the floors below answer into what goes
// over the wire. A list is never null, however empty.

// mapped converts a list.
func mapped[From, To any](from []From, convert func(From) To) []To {
	to := make([]To, len(from))
	for i, one := range from {
		to[i] = convert(one)
	}
	return to
}

// converted is mapped for what may be damaged in the database.
func converted[From, To any](from []From, convert func(From) (To, error)) ([]To, error) {
	to := make([]To, len(from))
	for i, one := range from {
		var err error
		if to[i], err = convert(one); err != nil {
			return nil, err
		}
	}
	return to, nil
}

func submitResult(s jobs.Submitted) rpc.SubmitResult {
	return rpc.SubmitResult{ID: s.ID, UID: s.UID, State: string(s.State), Existing: s.Existing}
}

func viewCancelled(c jobs.Cancelled) rpc.CancelResult {
	return rpc.CancelResult{ID: c.ID, State: string(c.State), Cancelled: c.Final, Stopping: c.Stopping}
}

func viewOutcome(o jobs.Outcome) rpc.WaitResult {
	return rpc.WaitResult{
		ID:       o.ID,
		State:    string(o.State),
		ExitCode: o.ExitCode,
		Reason:   rpc.Reason{Code: o.Reason.Code, Text: o.Reason.Text},
	}
}

func viewRun(row db.Run) (rpc.Run, error) {
	run := rpc.Run{
		ID:         row.ID,
		UID:        row.UID,
		Name:       row.Name,
		Context:    row.Context,
		Key:        value(row.Key),
		State:      row.State,
		Reason:     rpc.Reason{Code: row.ReasonCode, Text: row.ReasonText},
		TimeoutMs:  value(row.TimeoutMs),
		CreatedAt:  rpc.Millis(row.CreatedAt),
		StartedAt:  moment(row.StartedAt),
		DeadlineAt: moment(row.DeadlineAt),
		FinishedAt: moment(row.FinishedAt),
	}
	if err := json.Unmarshal([]byte(row.Tags), &run.Tags); err != nil {
		return run, fmt.Errorf("cannot read the tags of run %d: %w", row.ID, err)
	}
	if run.Tags == nil {
		run.Tags = []string{}
	}
	return run, nil
}

func viewRunDetail(detail jobs.RunDetail) (rpc.RunDetail, error) {
	run, err := viewRun(detail.Run)
	if err != nil {
		return rpc.RunDetail{}, err
	}
	below, err := converted(detail.Jobs, viewJobDetail)
	return rpc.RunDetail{Run: run, ExitCode: detail.ExitCode, Jobs: below}, err
}

func viewJob(row db.Job) (rpc.Job, error) {
	job := rpc.Job{
		ID:                row.ID,
		RunID:             row.RunID,
		Name:              row.Name,
		State:             row.State,
		Reason:            rpc.Reason{Code: row.ReasonCode, Text: row.ReasonText},
		Attempt:           row.Attempt,
		Failures:          row.Failures,
		CreatedAt:         rpc.Millis(row.CreatedAt),
		NotBeforeAt:       moment(row.NotBeforeAt),
		StartedAt:         moment(row.StartedAt),
		FinishedAt:        moment(row.FinishedAt),
		ExitCode:          row.ExitCode,
		Signal:            row.Signal,
		CancelRequestedAt: moment(row.CancelRequestedAt),
	}
	if err := json.Unmarshal([]byte(row.Action), &job.Action); err != nil {
		return job, fmt.Errorf("cannot read the action of job %d: %w", row.ID, err)
	}
	return job, nil
}

func viewJobDetail(detail jobs.JobDetail) (rpc.JobDetail, error) {
	job, err := viewJob(detail.Job)
	return rpc.JobDetail{Job: job, Needs: detail.Needs, Attempts: mapped(detail.Attempts, viewAttempt)}, err
}

func viewAttempt(row db.Attempt) rpc.Attempt {
	return rpc.Attempt{
		ID:           row.ID,
		Number:       row.Number,
		Reason:       rpc.Reason{Code: row.ReasonCode, Text: row.ReasonText},
		PID:          value(row.PID),
		StartTicks:   value(row.StartTicks),
		BootID:       value(row.BootID),
		CreatedAt:    rpc.Millis(row.CreatedAt),
		StartedAt:    moment(row.StartedAt),
		FinishedAt:   moment(row.FinishedAt),
		ExitCode:     row.ExitCode,
		Signal:       row.Signal,
		CPUUserMs:    value(row.CPUUserMs),
		CPUSystemMs:  value(row.CPUSystemMs),
		MaxRSSBytes:  value(row.MaxRSSBytes),
		LogBytes:     value(row.LogBytes),
		DroppedBytes: value(row.DroppedBytes),
		StderrTail:   string(row.StderrTail),
		Output:       string(row.Output),
	}
}

func viewLine(line logs.Line) rpc.LogLine {
	return rpc.LogLine{At: line.At, Stream: line.Stream.String(), Partial: line.Partial, Text: string(line.Text)}
}

// value is what a column has, or zero where it has nothing.
func value[T any](column *T) (v T) {
	if column != nil {
		v = *column
	}
	return v
}

// moment is the time in a column that may have none.
func moment(column *int64) *rpc.Time {
	if column == nil {
		return nil
	}
	at := rpc.Millis(*column)
	return &at
}

func viewStats(done jobs.Stats, base db.Stats) rpc.Stats {
	writes, reads := base.Writes, base.Readers
	return rpc.Stats{
		Jobs: rpc.JobStats{
			Slots:   done.Slots,
			Running: done.Running,
			Queued:  done.QueuedInMemory,
			Started: done.Started,
			Ended:   done.Ended,
		},
		WriteQueue: rpc.QueueStats{
			Depth:        writes.Depth,
			DepthBytes:   int64(writes.Bytes),
			Operations:   writes.Items,
			Failed:       writes.Failed,
			Batches:      writes.Batches,
			MeanBatch:    writes.BatchMean,
			MaxBatch:     writes.BatchMax,
			Dropped:      writes.Dropped,
			Busy:         writes.Busy,
			CommitMeanUs: writes.FlushMean.Microseconds(),
			CommitMaxUs:  writes.FlushMax.Microseconds(),
			WaitMeanUs:   writes.WaitMean.Microseconds(),
		},
		Readers: rpc.ReaderStats{
			Workers:    reads.Workers,
			Depth:      reads.Depth,
			Reads:      reads.Reads,
			Busy:       reads.Busy,
			WaitMeanUs: reads.WaitMean.Microseconds(),
			WaitMaxUs:  reads.WaitMax.Microseconds(),
		},
		WAL: rpc.WALStats{
			Pages:           base.WAL.Pages,
			Backfilled:      base.WAL.Backfilled,
			Checkpoints:     base.WAL.Checkpoints,
			Failed:          base.WAL.Failed,
			CheckpointMaxUs: base.WAL.CheckpointMax.Microseconds(),
		},
	}
}
