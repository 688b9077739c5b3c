package check

import (
	"math"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/transport"
)

// Watcher is the position of a client that watches a folder. The lock of the history
// guards it.
type Watcher struct {
	who        string
	from, last uint64 // it has received every event in this range
	received   map[uint64]struct{}
}

// nowhere is the position of a watcher that has not read the folder yet.
const nowhere = math.MaxUint64

// NewWatcher adds a watcher without a position. Read gives it one.
func (h *History) NewWatcher(who string) *Watcher {
	h.mu.Lock()
	defer h.mu.Unlock()
	w := &Watcher{who: who, from: nowhere, last: nowhere, received: make(map[uint64]struct{})}
	h.watchers = append(h.watchers, w)
	return w
}

// Next returns the index that the watcher waits for. Only its own client calls it.
func (w *Watcher) Next() uint64 { return w.last + 1 }

// Restart moves a watcher: it may miss events before from, but none after it.
func (h *History) Restart(w *Watcher, from uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w.restart(from)
}

func (w *Watcher) restart(from uint64) {
	w.from, w.last = from, from-1
	w.received = make(map[uint64]struct{})
}

// absence is a key that a reader did not find although an event had set it. The client
// that deleted it may report that later than the reader.
type absence struct {
	who, key string
	set, at  uint64 // the event that set it, and the index of the answer
	since    time.Time
}

// Read compares a read of the whole folder with the events up to its index, and lets the
// watcher continue from there.
func (h *History) Read(w *Watcher, index uint64, nodes []*transport.Node) {
	h.mu.Lock()
	defer h.mu.Unlock()
	newest := make(map[string]uint64)
	for i, known := range h.entries {
		if i <= index {
			newest[known.key] = max(newest[known.key], i)
		}
	}
	found := make(map[string]uint64)
	for _, n := range nodes {
		found[n.Key] = n.ModifiedIndex
		if n.ModifiedIndex > index {
			h.findings.Mismatch(w.who, "%s has index %d in an answer of index %d", n.Key, n.ModifiedIndex, index)
		}
		h.compare(w.who, n.ModifiedIndex, n.Key, SetText(n.Key, n.Value))
	}
	for key, i := range newest {
		n, exists := found[key]
		switch deleted := h.entries[i].text == DeleteText(key); {
		case exists && n < i:
			h.findings.Mismatch(w.who, "%s as of index %d shows event %d of %s, and %q is event %d", h.Folder, index, n, key, h.entries[i].text, i)
		case !exists && !deleted:
			h.absences = append(h.absences, absence{w.who, key, i, index, time.Now()})
		}
	}
	h.checkAbsences(time.Now().Add(-2 * transport.Timeout))
	w.restart(index + 1)
}

// checkAbsences looks for the deletions behind absences that were recorded before a
// time. All deletions must be known by then; h.mu is held.
func (h *History) checkAbsences(before time.Time) {
	for len(h.absences) > 0 && h.absences[0].since.Before(before) {
		a := h.absences[0]
		h.absences = h.absences[1:]
		deleted := h.open[DeleteText(a.key)] > 0 || a.set < h.oldest
		for i, known := range h.entries {
			deleted = deleted || a.set < i && i <= a.at && known.text == DeleteText(a.key)
		}
		if !deleted {
			h.findings.Mismatch(a.who, "%s as of index %d lacks %s, which event %d set", h.Folder, a.at, a.key, a.set)
		}
	}
}
