package share

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"etcd-tlsproxy/proxy/upstream"
)

// WatchOptions describes shared watches.
type WatchOptions struct {
	Pool *upstream.Pool
	// Linger is how long a hub that nobody uses stays: clients that were just
	// answered come back; 10 seconds.
	Linger time.Duration
	// Counters are counted on; those of several Watches may be the same.
	Counters *WatchCounters
}

// WatchCounters tell what watches do.
type WatchCounters struct {
	// Hubs are the watches at etcd at this moment, and Waiting those who wait in them.
	Hubs, Waiting atomic.Int64
	// Fanned are events handed to watchers; Misses are watchers that asked for an
	// index which no ring covered, so that etcd had to be asked.
	Delivered, Misses atomic.Uint64
	// Took is told how long each event took from etcd to its last watcher.
	ObserveDelivery func(time.Duration)
}

// Watches are the watches through one pool.
type Watches struct {
	pool   *upstream.Pool
	linger time.Duration
	count  *WatchCounters
	index  indexReads
	held   atomic.Int64 // bytes in all rings

	mu        sync.Mutex
	hubs      map[hubKey]*hub
	lingering int // hubs without users
	closed    bool
}

// NewWatches makes watches through a pool.
func NewWatches(o WatchOptions) *Watches {
	ws := &Watches{pool: o.Pool, linger: o.Linger, count: o.Counters, index: indexReads{pool: o.Pool}, hubs: make(map[hubKey]*hub)}
	if ws.linger <= 0 {
		ws.linger = 10 * time.Second
	}
	if ws.count == nil {
		ws.count = &WatchCounters{}
	}
	if ws.count.ObserveDelivery == nil {
		ws.count.ObserveDelivery = func(time.Duration) {}
	}
	return ws
}

// Close ends all watches.
func (ws *Watches) Close() {
	ws.mu.Lock()
	ws.closed = true
	hubs := make([]*hub, 0, len(ws.hubs))
	for _, h := range ws.hubs {
		hubs = append(hubs, h)
	}
	ws.mu.Unlock()
	for _, h := range hubs {
		h.stop(errUnused)
	}
}

// enter finds the hub of a place or makes it, and counts its caller in. It is in
// time if the hub's request to etcd comes after the caller's own.
func (ws *Watches) acquire(p hubKey, asked time.Time) (h *hub, inTime bool) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	h = ws.hubs[p]
	if h == nil {
		ctx, cancel := context.WithCancel(context.Background())
		h = &hub{hubKey: p, watches: ws, cancel: cancel, ready: make(chan struct{}), ring: ring{total: &ws.held}}
		ws.hubs[p] = h
		ws.count.Hubs.Add(1)
		go h.run(ctx)
		if ws.closed {
			cancel() // it fails, as it would at a pool that is gone
		}
	}
	h.users++
	h.visits++
	if h.expiry != nil {
		h.expiry.Stop()
		h.expiry = nil
		ws.lingering--
	}
	return h, h.requested.IsZero() || h.requested.After(asked)
}

// send takes note that a hub's request is on its way.
func (ws *Watches) recordRequest(h *hub) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	h.requested = time.Now()
}

// told takes note that a hub's watchers hear of an event.
func (ws *Watches) countDelivered(h *hub, watchers int) {
	ws.count.Delivered.Add(uint64(watchers))
	ws.mu.Lock()
	defer ws.mu.Unlock()
	h.delivered = true
}

// mostLingering bounds the hubs without users: who comes and goes must not use up
// what others need.
const maxLingering = 256

// leave counts out. A hub stays for a while without users if it has just told its
// own of an event: they come back.
func (ws *Watches) release(h *hub) {
	ws.mu.Lock()
	h.users--
	last := h.users == 0 && ws.hubs[h.hubKey] == h
	if last && h.delivered && h.since == 0 && ws.lingering < maxLingering {
		visit := h.visits
		h.expiry = time.AfterFunc(ws.linger, func() { ws.expire(h, visit) })
		ws.lingering++
		last = false
	}
	if last {
		ws.removeLocked(h)
	}
	ws.mu.Unlock()
	if last {
		h.stop(errUnused)
	}
}

// expire ends a hub that nobody came back to since a visit.
func (ws *Watches) expire(h *hub, visit uint64) {
	ws.mu.Lock()
	expired := h.expiry != nil && h.visits == visit
	if expired {
		ws.removeLocked(h)
	}
	ws.mu.Unlock()
	if expired {
		h.stop(errUnused)
	}
}

// remove lets nobody new enter a hub.
func (ws *Watches) remove(h *hub) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.removeLocked(h)
}

// forget is remove; ws.mu is held.
func (ws *Watches) removeLocked(h *hub) {
	if h.expiry != nil {
		h.expiry.Stop()
		h.expiry = nil
		ws.lingering--
	}
	if ws.hubs[h.hubKey] == h {
		delete(ws.hubs, h.hubKey)
		ws.count.Hubs.Add(-1)
	}
}
