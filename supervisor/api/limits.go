package api

import (
	"cmp"
	"fmt"
	"time"
)

// Limits bounds what clients may ask of a server. A field that is zero has the
// default it names.
type Limits struct {
	// RequestBytes bounds the body of one request; default 8 MiB, which is a graph
	// of 10,000 jobs with 800 bytes each.
	RequestBytes int64
	// LargeRequests bounds how many requests of more than 64 KiB are worked on at
	// once, and so the memory of all of them; default 16. The next one waits for its
	// turn, at most CallTimeout.
	LargeRequests int
	// AnswerBytes ends a batch: once its answers have grown beyond it, what is left
	// is refused and not done. Default 64 MiB.
	AnswerBytes int
	// Batch bounds the requests of one batch; default 100. They are done one after
	// another; many runs at once are for run.submit_many.
	Batch int
	// Connections bounds how many are open at once; default 1024. When it is
	// reached, the one that has been idle longest makes room for the next; while
	// none is idle the next one waits to be accepted.
	Connections int
	// Waits bounds the calls of run.wait and the streams of output that are open at
	// once; default 512. It must be below Connections, so that however many wait,
	// there is room for those who only ask.
	Waits int
	// HeaderTimeout is the time to send a request's header, and to send anything at
	// all on a new connection; default 10 s.
	HeaderTimeout time.Duration
	// BodyTimeout is the time to send a whole request; default 1 minute.
	BodyTimeout time.Duration
	// CallTimeout is the time one call may take that does not wait for a run to
	// end; default 30 s, far beyond what any of them needs.
	CallTimeout time.Duration
	// WriteTimeout is the time a client may leave an answer, or a piece of a
	// stream, unread; default 30 s.
	WriteTimeout time.Duration
	// IdleTimeout ends a connection on which nothing is asked; default 2 minutes.
	IdleTimeout time.Duration
}

// withDefaults fills in what is zero and refuses what cannot work.
func (l Limits) withDefaults() (Limits, error) {
	l.RequestBytes = cmp.Or(l.RequestBytes, 8<<20)
	l.LargeRequests = cmp.Or(l.LargeRequests, 16)
	l.AnswerBytes = cmp.Or(l.AnswerBytes, 64<<20)
	l.Batch = cmp.Or(l.Batch, 100)
	l.Connections = cmp.Or(l.Connections, 1024)
	l.Waits = cmp.Or(l.Waits, 512)
	l.HeaderTimeout = cmp.Or(l.HeaderTimeout, 10*time.Second)
	l.BodyTimeout = cmp.Or(l.BodyTimeout, time.Minute)
	l.CallTimeout = cmp.Or(l.CallTimeout, 30*time.Second)
	l.WriteTimeout = cmp.Or(l.WriteTimeout, 30*time.Second)
	l.IdleTimeout = cmp.Or(l.IdleTimeout, 2*time.Minute)
	switch {
	case min(l.RequestBytes, int64(l.LargeRequests), int64(l.AnswerBytes), int64(l.Batch), int64(l.Connections), int64(l.Waits)) < 0,
		min(l.HeaderTimeout, l.BodyTimeout, l.CallTimeout, l.WriteTimeout, l.IdleTimeout) < 0:
		return l, fmt.Errorf("a limit of the API is below zero: %+v", l)
	case l.Waits >= l.Connections:
		return l, fmt.Errorf("%d waits on %d connections would leave none for other calls", l.Waits, l.Connections)
	}
	return l, nil
}
