package share

import (
	"cmp"
	"slices"
)

// HubState is what a hub is at one moment.
type HubState struct {
	// Key is what is watched, all below it included if Recursive.
	Key       string
	Recursive bool
	// Watchers are those who wait, Index is the newest that is known, and Events is how
	// many the hub remembers.
	Watchers int
	Index    uint64
	Events   int
}

// Largest are the hubs with the most watchers, so many at most. Those that only look
// for one old event are left out: they are one watcher's.
func (ws *Watches) TopHubs(most int) []HubState {
	ws.mu.Lock()
	hubs := make([]*hub, 0, len(ws.hubs))
	for _, h := range ws.hubs {
		if h.since == 0 {
			hubs = append(hubs, h)
		}
	}
	ws.mu.Unlock()
	states := make([]HubState, 0, len(hubs))
	for _, h := range hubs { // not under the lock: a hub's own is held while it wakes many
		states = append(states, h.state())
	}
	slices.SortFunc(states, func(a, b HubState) int {
		return cmp.Or(cmp.Compare(b.Watchers, a.Watchers), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Index, b.Index))
	})
	return states[:min(most, len(states))]
}

func (h *hub) state() HubState {
	h.mu.Lock()
	defer h.mu.Unlock()
	return HubState{Key: h.key, Recursive: h.recursive, Watchers: len(h.waiting), Index: h.ring.last, Events: len(h.ring.events)}
}
