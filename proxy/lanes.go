package proxy

import (
	"context"
	"sync"
	"sync/atomic"
)

// lanes knows the connections of the fast lane, to end them when the server
// drains; those of the standard lane net/http knows.
type lanes struct {
	draining atomic.Bool

	mu      sync.Mutex
	running map[*fast]struct{}
	empty   chan struct{} // closed when draining and none is left
	ended   bool          // empty is closed
}

func newLanes() *lanes {
	return &lanes{running: make(map[*fast]struct{}), empty: make(chan struct{})}
}

// enter takes note of a connection; false if the server drains.
func (ls *lanes) enter(c *fast) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.draining.Load() {
		return false
	}
	ls.running[c] = struct{}{}
	return true
}

func (ls *lanes) leave(c *fast) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	delete(ls.running, c)
	ls.end()
}

// end tells drain that nothing is left; ls.mu is held.
func (ls *lanes) end() {
	if ls.draining.Load() && len(ls.running) == 0 && !ls.ended {
		ls.ended = true
		close(ls.empty)
	}
}

// drain ends the silent connections at once, the others after their request, and
// all of them when ctx ends.
func (ls *lanes) drain(ctx context.Context) error {
	ls.mu.Lock()
	ls.draining.Store(true)
	ls.end()
	for c := range ls.running {
		c.endSilence()
	}
	ls.mu.Unlock()
	select {
	case <-ls.empty:
		return nil
	case <-ctx.Done():
	}
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for c := range ls.running {
		// One that waits for etcd notices when etcd answers; nobody waits for that.
		_ = c.conn.Close()
		delete(ls.running, c)
	}
	ls.end()
	return ctx.Err()
}
