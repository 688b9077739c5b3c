package share

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"etcd-tlsproxy/proxy/bulk"
	"etcd-tlsproxy/proxy/upstream"
)

// WatchOptions describes shared watches.
type WatchOptions struct {
	Pool *upstream.Pool
	// Linger is how long a hub without users is kept. Clients that were just answered
	// usually watch again. The default is 10 seconds.
	Linger time.Duration
	// Memory bounds the bytes of all events that are held; 64 MiB. Beyond half of it hubs
	// keep no old events. Beyond all of it watches whose event does not fit are broken off.
	Memory int64
	// Counters are updated. Several Watches may share them.
	Counters *WatchCounters
}

// WatchCounters counts the work of shared watches.
type WatchCounters struct {
	// Hubs is the current number of watches at etcd, Waiting that of waiting watchers.
	Hubs, Waiting atomic.Int64
	// Delivered counts the events handed to watchers. Misses counts the watchers that asked
	// for an index which no ring covered, so that a request to etcd was needed.
	Delivered, Misses atomic.Uint64
	// ObserveDelivery is called with the time from each event's arrival to its delivery to
	// the last watcher.
	ObserveDelivery func(time.Duration)
	// OtherCluster is called when etcd answers as another cluster than before, with both ids and
	// the number of watchers that were ended therefore; nil means that nobody wants to know.
	OtherCluster func(before, now string, ended int)
	// Clusters counts these changes.
	Clusters atomic.Uint64

	cluster atomic.Pointer[string] // the id that was seen last
}

// Watches holds the shared watches through one pool.
type Watches struct {
	pool   *upstream.Pool
	linger time.Duration
	count  *WatchCounters
	index  indexReads
	texts  *texts

	pastPatience, longPatience, weightPatience time.Duration

	mu        sync.Mutex
	hubs      map[hubKey]*hub
	lingering int            // hubs without users
	past      map[hubKey]int // the hubs with an index that wait for an event, of each key
	chains    chains         // of the hubs whose goroutines run
	free      freeHubs       // those of them that cost nothing
	closed    bool
}

// NewWatches returns watches through a pool.
func NewWatches(o WatchOptions) *Watches {
	ws := &Watches{pool: o.Pool, linger: o.Linger, count: o.Counters, index: indexReads{pool: o.Pool}, hubs: make(map[hubKey]*hub), past: make(map[hubKey]int), free: make(freeHubs)}
	if ws.linger <= 0 {
		ws.linger = 10 * time.Second
	}
	if o.Memory <= 0 {
		o.Memory = 64 << 20
	}
	ws.texts, ws.pastPatience, ws.longPatience, ws.weightPatience = newTexts(o.Memory), PastPatience, LongPatience, weightPatience
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

// acquire returns the hub of a key, which it creates with a claim if necessary, and adds a
// user to it.
// inTime reports whether the hub's request to etcd is sent after the time asked.
func (ws *Watches) acquire(p hubKey, asked time.Time, claim *bulk.Claim) (h *hub, inTime bool) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	h = ws.hubs[p]
	if h == nil {
		ctx, cancel := context.WithCancel(context.Background())
		h = &hub{hubKey: p, watches: ws, cancel: cancel, ready: make(chan struct{}), ring: ring{texts: ws.texts}}
		h.weight.charge(claim)
		ws.countWatch(h)
		ws.hubs[p] = h
		ws.count.Hubs.Add(1)
		go h.serve(ctx)
		if ws.closed {
			cancel() // the request fails, like one through a closed pool
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

// recordRequest records when a hub's first request is sent.
func (ws *Watches) recordRequest(h *hub) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	h.requested = time.Now()
}

// maxPastHubs is how many hubs with an index may wait for the next event of a key until each
// further one is charged for it.
const maxPastHubs = 4

// maxChain is how many watches one write can concern until each further one is charged for it.
// Nobody knows how large that write will be.
const maxChain = 8

// waitForNext counts a hub with an index whose event does not exist yet.
func (ws *Watches) waitForNext(h *hub) {
	key := h.hubKey
	key.since = 0
	ws.mu.Lock()
	defer ws.mu.Unlock()
	h.counted = true
	if ws.past[key]++; ws.past[key] > maxPastHubs {
		ws.free.remove(h)
		h.weight.claim.Surplus()
	}
}

// waited ends the counts of a hub whose goroutine ends.
func (ws *Watches) waited(h *hub) {
	key := h.hubKey
	key.since = 0
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.uncountWatch(h)
	if !h.counted {
		return
	}
	if ws.past[key]--; ws.past[key] == 0 {
		delete(ws.past, key)
	}
}

// countDelivered counts the watchers that receive an event.
func (ws *Watches) countDelivered(h *hub, watchers int) {
	ws.count.Delivered.Add(uint64(watchers))
	ws.mu.Lock()
	defer ws.mu.Unlock()
	h.delivered = true
}

// maxLingering bounds the hubs without users, so that clients which come and go do not
// use up the watches that others need.
const maxLingering = 256

// release removes a user. A hub without users is kept for a while if it has delivered an
// event, because its watchers usually come back.
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
	unused := h.users == 0 && ws.hubs[h.hubKey] != h // so it gets no new users
	ws.mu.Unlock()
	if last {
		h.stop(errUnused)
	}
	if unused {
		h.forget()
	}
}

// expire ends a hub if no user has joined since the given visit.
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

// remove removes a hub from the map, so that it gets no new users.
func (ws *Watches) remove(h *hub) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.removeLocked(h)
}

// removeLocked is remove with ws.mu held.
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
