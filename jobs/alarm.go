package jobs

import (
	"context"
	"math"
	"time"

	"github.com/heroproc/heroproc/db"
)

// wakeDelayed queues the jobs whose back-off is over.
func (d *dispatcher) wakeDelayed(ctx context.Context) {
	if d.executor == nil || d.stopping {
		return
	}
	now := d.rec.now().UnixMilli()
	for {
		one, ok := d.rec.delays.pop(now)
		if !ok {
			break
		}
		d.enqueue(ctx, false, func(ctx context.Context, tx *db.Tx) error {
			return d.rec.queued(ctx, tx, one.jobID, one.number, Reason{ReasonBackoff, "its back-off is over"}, now)
		}, func(err error) {
			if err != nil {
				d.log.Error("cannot queue a job whose back-off is over; trying again", "job_id", one.jobID, "err", err)
				d.rec.delays.push(now+retryWrite.Milliseconds(), one.jobID, delayedBytes, one)
			}
		})
	}
	readOn(ctx, d, d.rec.delays, loadDelayed)
}

// endOverdue ends the runs whose timeout is over.
func (d *dispatcher) endOverdue(ctx context.Context) {
	if d.executor == nil || d.stopping {
		return
	}
	now := d.rec.now().UnixMilli()
	for {
		run, ok := d.rec.deadlines.pop(now)
		if !ok {
			break
		}
		d.endRun(ctx, run, stopRunTimeout, nil)
	}
	readOn(ctx, d, d.rec.deadlines, loadDeadlines)
}

// retryWrite is the pause before a write that the disk did not take is tried
// again; nobody waits for it.
const retryWrite = time.Second

// setAlarm sets the timer to the next moment at which something is due. Wall
// clocks jump, so no wait is longer than half a minute.
func (d *dispatcher) setAlarm(alarm *time.Timer) {
	next := int64(math.MaxInt64)
	if d.executor != nil && !d.stopping {
		for _, first := range []func() (int64, bool){d.rec.delays.first, d.rec.deadlines.first} {
			if at, ok := first(); ok {
				next = min(next, at)
			}
		}
	}
	if next == math.MaxInt64 {
		alarm.Stop()
		return
	}
	alarm.Reset(min(max(0, time.UnixMilli(next).Sub(d.rec.now())), 30*time.Second))
}
