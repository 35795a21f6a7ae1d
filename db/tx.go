package db

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
)

// Tx is a write operation's view of the transaction it is part of. It is good
// only until the operation returns.
type Tx struct {
	*Queries
	conn      *connection
	after     []func()
	positions []position
}

// position is how far an executor's journal has been applied.
type position struct{ epoch, number uint64 }

// AfterCommit has fn run once the operation is committed, and not at all if it
// is rolled back. Such functions run on the writer's worker, in order, before
// any caller of the batch is answered: they must not block and must not call
// the database.
func (t *Tx) AfterCommit(fn func()) { t.after = append(t.after, fn) }

// Applied says that this operation applies the executor's event (epoch,
// number). The position is stored by the same transaction, so that a replay
// after a crash knows what has been applied; over a batch only the last of each
// epoch is written. An operation that fails does not move it.
func (t *Tx) Applied(epoch, number uint64) {
	t.positions = append(t.positions, position{epoch, number})
}

// mark remembers what a Tx has promised so far, rollback forgets what came
// after.
type mark struct{ after, positions int }

func (t *Tx) mark() mark { return mark{len(t.after), len(t.positions)} }

func (t *Tx) rollback(m mark) {
	t.after = t.after[:m.after]
	t.positions = t.positions[:m.positions]
}

// storePositions writes the last applied number of each epoch.
func (t *Tx) storePositions(ctx context.Context) error {
	last := map[uint64]uint64{}
	for _, p := range t.positions {
		last[p.epoch] = max(last[p.epoch], p.number)
	}
	for epoch, number := range last {
		params := ExecutorPositionSetParams{Epoch: int64(epoch), Number: int64(number)}
		if err := t.ExecutorPositionSet(ctx, params); err != nil {
			return fmt.Errorf("cannot store the position of executor epoch %d: %w", epoch, err)
		}
	}
	return nil
}

// committed runs what waited for the commit.
func (t *Tx) committed(log *slog.Logger) {
	for _, fn := range t.after {
		func() {
			defer func() {
				if v := recover(); v != nil {
					log.Error("a function after a commit panicked", "err", v, "stack", string(debug.Stack()))
				}
			}()
			fn()
		}()
	}
}
