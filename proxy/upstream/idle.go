package upstream

import (
	"slices"
	"time"
)

// getIdle returns the most recently used idle connection, or nil. It probes each one and
// closes those that are not usable any more.
func (e *endpoint) getIdle() *conn {
	for {
		e.mu.Lock()
		last := len(e.idle) - 1
		if last < 0 {
			e.mu.Unlock()
			return nil
		}
		c := e.idle[last]
		e.idle[last] = nil
		e.idle = e.idle[:last]
		e.mu.Unlock()
		e.pool.count.Idle.Add(-1)
		if !c.isIdle() {
			e.pool.count.Stale.Add(1)
			_ = c.Close()
			continue
		}
		c.reused = true
		e.pool.count.Reuses.Add(1)
		return c
	}
}

// putIdle keeps a connection, which is idle from now on, for the next request if there is
// room, and closes it otherwise.
func (e *endpoint) putIdle(c *conn, now time.Time) {
	c.since = now
	e.mu.Lock()
	room := len(e.idle) < e.pool.o.MaxIdle && !e.pool.closed.Load()
	if room {
		e.idle = append(e.idle, c)
		e.pool.count.Idle.Add(1)
		if e.expiry == nil {
			e.expiry = time.AfterFunc(e.pool.o.IdleTimeout, e.closeOld)
		}
	}
	e.mu.Unlock()
	if !room {
		_ = c.Close()
	}
}

// closeOld closes the connections that were idle for too long, which come first in the list.
func (e *endpoint) closeOld() {
	e.mu.Lock()
	defer e.mu.Unlock()
	limit := time.Now().Add(-e.pool.o.IdleTimeout)
	fresh := slices.IndexFunc(e.idle, func(c *conn) bool { return c.since.After(limit) })
	if fresh < 0 {
		fresh = len(e.idle)
	}
	e.closeFirst(fresh)
	if len(e.idle) > 0 {
		e.expiry.Reset(e.idle[0].since.Sub(limit))
	} else {
		e.expiry = nil
	}
}

func (e *endpoint) closeIdle() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.expiry != nil {
		e.expiry.Stop()
	}
	e.closeFirst(len(e.idle))
}

// closeFirst closes the first n idle connections; e.mu is held.
func (e *endpoint) closeFirst(n int) {
	for _, c := range e.idle[:n] {
		_ = c.Close()
	}
	e.idle = slices.Delete(e.idle, 0, n)
	e.pool.count.Idle.Add(int64(-n))
}
