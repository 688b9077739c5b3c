package share

import (
	"context"
	"time"

	"etcd-tlsproxy/proxy/account"
)

// The watchers that have a large event hold its text until their clients have taken it. When there
// is no room for another event, the client that holds the most is broken off, if a client that
// waits for that event holds less.

// roomPatience is how long an event waits until others are broken off.
const roomPatience = 2 * time.Second

// isLarge reports whether an event needs so much memory that it matters who holds it.
func (e *Event) isLarge() bool { return e.text != nil && e.text.size > countedText }

// holdAll records that watchers hold the text of their event, unless the text is small. The lock
// of their hub is held, which each needs to close.
func (ts *texts) holdAll(e *Event, watchers ...*Watcher) {
	if !e.isLarge() {
		return
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for _, w := range watchers {
		if w.account != nil {
			ts.holders[w] = e.text
		}
	}
}

// unhold ends what holdAll has recorded.
func (ts *texts) unhold(w *Watcher, e *Event) {
	if !e.isLarge() {
		return
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	delete(ts.holders, w)
}

// room counts n more bytes. If there would be too many, it waits until others are broken off for
// the clients that the event is for.
func (r *receiver) room(ctx context.Context, n int64) bool {
	if r.reserve(n) {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, r.patience)
	defer cancel()
	for {
		freed, some := r.makeRoom(r.wants())
		switch {
		case r.reserve(n):
			return true
		case !some:
			return false
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return false
		}
	}
}

// breakOff breaks off the watchers of a client that does not take its events; the lock of the holders
// is held.
func breakOff[V any](holders map[*Watcher]V, of *account.Account) {
	for w := range holders {
		if w.account == of && !w.broken {
			w.broken = true
			w.notifier.BreakOff()
		}
	}
}

// makeRoom breaks off the watchers of the client that holds the most, if one of the clients that
// want room holds less. The channel is closed when a text is released. some reports whether
// watchers that were broken off still hold something.
func (ts *texts) makeRoom(want []*account.Account) (freed <-chan struct{}, some bool) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.freed == nil {
		ts.freed = make(chan struct{})
	}
	h := newHoldings()
	for w, t := range ts.holders {
		if !w.broken {
			h.add(w.account, t, t.size)
		}
	}
	if most := h.most(); most != nil && h.exceeds(most, want) {
		breakOff(ts.holders, most)
	}
	for w := range ts.holders {
		some = some || w.broken
	}
	return ts.freed, some
}

// wants returns the clients that wait for an event of the hub, and the one that pays for it.
func (h *hub) wants() []*account.Account {
	clients := make(map[*account.Account]struct{})
	if h.weight.payer != nil {
		clients[h.weight.payer] = struct{}{}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range h.waiting {
		if w.account != nil {
			clients[w.account] = struct{}{}
		}
	}
	all := make([]*account.Account, 0, len(clients))
	for a := range clients {
		all = append(all, a)
	}
	return all
}
