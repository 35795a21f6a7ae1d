package jobs

import "sync"

// inbox is how others speak to the dispatcher's goroutine without ever waiting
// for it: the writer's worker, which must not block, posts to it too. It is
// bounded by what it carries: at most one batch of events per live attempt, one
// command per waiting caller.
type inbox struct {
	mu   sync.Mutex
	list []func()
	bell chan struct{}
}

func newInbox() *inbox { return &inbox{bell: make(chan struct{}, 1)} }

// post hands over something to be done by the dispatcher.
func (b *inbox) post(do func()) {
	b.mu.Lock()
	b.list = append(b.list, do)
	b.mu.Unlock()
	b.ring()
}

// ring wakes the dispatcher without handing over anything.
func (b *inbox) ring() {
	select {
	case b.bell <- struct{}{}:
	default:
	}
}

// take empties the inbox.
func (b *inbox) take() []func() {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := b.list
	b.list = nil
	return list
}
