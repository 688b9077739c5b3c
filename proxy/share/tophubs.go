package share

import (
	"cmp"
	"slices"
)

// HubState is a snapshot of a hub.
type HubState struct {
	// Key is the watched key, with all keys below it if Recursive is set.
	Key       string
	Recursive bool
	// Watchers is the number of waiting watchers, Index the newest known index, and Events
	// the number of events in the ring.
	Watchers int
	Index    uint64
	Events   int
}

// TopHubs returns up to limit hubs, those with the most watchers first. Hubs that wait
// for one event from etcd's history are left out.
func (ws *Watches) TopHubs(limit int) []HubState {
	ws.mu.Lock()
	hubs := make([]*hub, 0, len(ws.hubs))
	for _, h := range ws.hubs {
		if h.since == 0 {
			hubs = append(hubs, h)
		}
	}
	ws.mu.Unlock()
	states := make([]HubState, 0, len(hubs))
	for _, h := range hubs { // without ws.mu: a hub's lock may be held while it collects many watchers
		states = append(states, h.state())
	}
	slices.SortFunc(states, func(a, b HubState) int {
		return cmp.Or(cmp.Compare(b.Watchers, a.Watchers), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Index, b.Index))
	})
	return states[:min(limit, len(states))]
}

func (h *hub) state() HubState {
	h.mu.Lock()
	defer h.mu.Unlock()
	return HubState{Key: h.key, Recursive: h.recursive, Watchers: len(h.waiting), Index: h.ring.last, Events: len(h.ring.events)}
}
