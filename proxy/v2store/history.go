package v2store

import (
	"fmt"
	"sort"
	"strings"
)

const (
	// maxHistory is the number of events that etcd remembers. Clients that fall behind further
	// have to read everything again.
	maxHistory = 1000
	// maxHistoryBytes bounds the keys and values of these events. Etcd has no such bound. All who
	// have applied the same events remember the same ones.
	maxHistoryBytes = 64 << 20
)

// History remembers the last events.
type History struct {
	ring  []*Event // of maxHistory events once it is full
	front int      // the oldest event
	n     int
	bytes int
	start uint64
}

// NewHistory returns a history that knows all events from the index start on, of which there
// are none yet.
func NewHistory(start uint64) *History { return &History{start: start} }

// Add adds an event. Its index must be larger than those before it.
func (h *History) Add(e *Event) {
	if h.n == maxHistory {
		h.drop()
	}
	if len(h.ring) < maxHistory {
		h.ring = append(h.ring, e)
	} else {
		h.ring[(h.front+h.n)%maxHistory] = e
	}
	h.n++
	h.bytes += size(e.Node) + size(e.PrevNode)
	for h.bytes > maxHistoryBytes && h.n > 1 {
		h.drop()
	}
}

// drop forgets the oldest event.
func (h *History) drop() {
	oldest := h.at(0)
	h.bytes -= size(oldest.Node) + size(oldest.PrevNode)
	h.start = oldest.Index + 1
	h.ring[h.front] = nil
	h.front = (h.front + 1) % maxHistory
	h.n--
}

// size returns about how much memory a node in an event needs.
func size(n *Node) int {
	switch {
	case n == nil:
		return 0
	case n.Value == nil:
		return len(n.Key) + nodeBytes
	}
	return len(n.Key) + len(*n.Value) + nodeBytes
}

// Bytes returns about how much memory the history needs. It shares some of that with the tree.
func (h *History) Bytes() int { return h.bytes }

func (h *History) at(i int) *Event { return h.ring[(h.front+i)%maxHistory] }

// Scan returns the first event for a watch at or after an index, or nil if there is none yet.
// It returns an error if events at or after that index may have been forgotten. The index in
// the error is current, which is the index of the tree.
func (h *History) Scan(o *Operation, since, current uint64) (*Event, *Error) {
	if since < h.start {
		cause := fmt.Sprintf("the requested history has been cleared [%d/%d]", h.start, since)
		return nil, newError(CodeEventIndexCleared, cause, current)
	}
	first := sort.Search(h.n, func(i int) bool { return h.at(i).Index >= since })
	for i := first; i < h.n; i++ {
		if e := h.at(i); !e.Refresh && late(o, e) {
			return e, nil
		}
	}
	return nil, nil
}

// late reports whether a watch receives an event from the history. Hidden nodes are not
// special here, and the removal of a directory matches keys by the beginning of their string,
// like in etcd.
func late(o *Operation, e *Event) bool {
	key := e.Node.Key
	return key == o.Key ||
		o.Recursive && strings.HasPrefix(key, o.Key) && key[len(o.Key)] == '/' ||
		e.removesDir() && strings.HasPrefix(o.Key, key)
}
