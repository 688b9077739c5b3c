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
	closed  bool          // none may come any more
	empty   chan struct{} // closed when none is left then
	ended   bool          // empty is closed
}

func newLanes() *lanes {
	return &lanes{running: make(map[*fast]struct{}), empty: make(chan struct{})}
}

// enter takes note of a connection; false if it comes too late.
func (ls *lanes) enter(c *fast) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.closed {
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

// shed ends up to so many silent connections, any of them, and returns how many. It
// does not look at all: where few are silent it should not cost more than it brings.
func (ls *lanes) shed(most int) (n int) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	looks := 10*most + 100
	for c := range ls.running { // begins anywhere
		if c.endSilence() {
			n++
		}
		if looks--; n == most || looks == 0 {
			break
		}
	}
	return n
}

// end tells drain that nothing is left; ls.mu is held.
func (ls *lanes) end() {
	if ls.closed && len(ls.running) == 0 && !ls.ended {
		ls.ended = true
		close(ls.empty)
	}
}

// begin ends the silent connections at once and the others after their request. Those
// that come yet, because they were accepted before, may ask once.
func (ls *lanes) begin() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.draining.Store(true)
	for c := range ls.running {
		c.endSilence()
	}
}

// drain waits for the connections that are left, and ends all when ctx ends.
func (ls *lanes) drain(ctx context.Context) error {
	ls.mu.Lock()
	ls.closed = true
	ls.end()
	ls.mu.Unlock()
	select {
	case <-ls.empty:
		return nil
	case <-ctx.Done():
	}
	ls.mu.Lock()
	var left sync.WaitGroup
	for c := range ls.running {
		// One that waits for etcd notices when etcd answers; nobody waits for that. One
		// whose client takes nothing is said goodbye to for some seconds, so at the same
		// time as all others.
		left.Go(func() {
			if c.wire.stuck() {
				_ = c.wire.Close() // a goodbye would wait behind it
				return
			}
			_ = c.conn.Close()
		})
		delete(ls.running, c)
	}
	ls.end()
	ls.mu.Unlock()
	left.Wait()
	return ctx.Err()
}
