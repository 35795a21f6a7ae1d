package api

import (
	"context"

	"github.com/heroproc/heroproc/jobs"
)

// waits are the calls that stay open until something happens: run.wait, and
// streams of output. They are bounded, and all of them end with the server.
type waits struct {
	slots    chan struct{}
	stopping context.Context
	stop     context.CancelFunc
}

func newWaits(most int) *waits {
	w := &waits{slots: make(chan struct{}, most)}
	w.stopping, w.stop = context.WithCancel(context.Background())
	return w
}

// begin takes a place, or says errManyWaits. The context it answers ends with
// the caller's, and with the server, then by jobs.ErrStopping as its cause. done
// gives the place back.
func (w *waits) begin(parent context.Context) (ctx context.Context, done func(), err error) {
	select {
	case w.slots <- struct{}{}:
	default:
		return nil, nil, errManyWaits
	}
	ctx, cancel := context.WithCancelCause(parent)
	release := context.AfterFunc(w.stopping, func() { cancel(jobs.ErrStopping) })
	return ctx, func() {
		release()
		cancel(nil)
		<-w.slots
	}, nil
}

// end ends every wait that is open, and every later one at once.
func (w *waits) end() { w.stop() }
