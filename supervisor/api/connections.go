package api

import (
	"container/list"
	"context"
	"net"
	"net/http"
	"sync"
)

// connections bounds how many are open. It stands between the socket and the
// HTTP server: it hands out what the one accepts, and hears from the other what
// becomes of it.
type connections struct {
	net.Listener
	most int

	mu sync.Mutex
	// changed is told when one has become idle or has gone.
	changed sync.Cond
	// open has every connection: its place in idle, or nil while a request is
	// being answered on it.
	open map[net.Conn]*list.Element
	// idle has those that nothing is asked on, the longest idle first.
	idle    list.List
	closing bool
	evicted uint64
}

func newConnections(listener net.Listener, most int) *connections {
	c := &connections{Listener: listener, most: most, open: make(map[net.Conn]*list.Element)}
	c.changed.L = &c.mu
	return c
}

// Accept waits for the next connection, and then until there is room for it.
func (c *connections) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c.admit(conn) {
			return conn, nil
		}
		conn.Close()
	}
}

// admit counts a connection in. At the limit, the one that has been idle longest
// makes room; it is gone a moment later, when the HTTP server has noticed. No
// admission goes on once the end has begun.
func (c *connections) admit(conn net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.open) >= c.most && !c.closing {
		if oldest := c.idle.Front(); oldest != nil {
			c.closeIdle(oldest)
			c.evicted++
		}
		c.changed.Wait()
	}
	if c.closing {
		return false
	}
	c.open[conn] = c.idle.PushBack(conn)
	return true
}

// closeIdle ends an idle connection; mu is held.
func (c *connections) closeIdle(place *list.Element) {
	conn := c.idle.Remove(place).(net.Conn)
	c.open[conn] = nil
	conn.Close()
}

// follow hears from the HTTP server what a connection does.
func (c *connections) follow(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	place, known := c.open[conn]
	if !known {
		return
	}
	switch state {
	case http.StateNew:
	case http.StateActive:
		if place != nil {
			c.idle.Remove(place)
			c.open[conn] = nil
		}
	case http.StateIdle:
		c.open[conn] = c.idle.PushBack(conn)
		c.changed.Broadcast()
	case http.StateClosed, http.StateHijacked:
		if place != nil {
			c.idle.Remove(place)
		}
		delete(c.open, conn)
		c.changed.Broadcast()
	}
}

// shut ends the idle connections and lets no new one in. The HTTP server would
// leave those on which nothing was asked yet open for some seconds.
func (c *connections) shut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closing = true
	for c.idle.Len() > 0 {
		c.closeIdle(c.idle.Front())
	}
	c.changed.Broadcast()
}

// drain waits until none is open, and so no handler at work, or until ctx ends.
// It answers how many are left.
func (c *connections) drain(ctx context.Context) int {
	stop := context.AfterFunc(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.changed.Broadcast()
	})
	defer stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.open) > 0 && ctx.Err() == nil {
		c.changed.Wait()
	}
	return len(c.open)
}

// count answers how many are open, and how many had to make room so far.
func (c *connections) count() (open int, evicted uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open), c.evicted
}
