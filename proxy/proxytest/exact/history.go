package exact

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"etcd-tlsproxy/proxy/v2store"
)

// Seen is an event that a watcher has received.
type Seen struct {
	*v2store.Event
	// At is the time of the system's clock, and Proxy where the watcher was.
	At    time.Time
	Proxy int
}

// index returns the index of the event.
func (s Seen) index() uint64 { return s.Node.ModifiedIndex }

// Jump is where a watcher had to read again, because the events were forgotten.
type Jump struct {
	// After is the index up to which the watcher had received all events.
	After uint64
	// To is the index of the read, and Tree its answer.
	To   uint64
	Tree Tree
}

// Watcher is what one watcher has received.
type Watcher struct {
	Name string
	// After is the index from which on it should have received all events, up to the index To.
	After, To uint64
	// Key is the only key that it watches, or "" for all.
	Key    string
	Events []Seen
	Jumps  []Jump
}

// History is what clients did below one directory, and what they were told.
type History struct {
	Ops []Op
	// After is the index at which Tree was all that there was below the directory.
	After uint64
	Tree  Tree
	// Events are all events since then, up to the index To, except where there were jumps. Later ones are
	// left out.
	Events []Seen
	To     uint64
	Jumps  []Jump
	// Watchers are the other ones.
	Watchers []Watcher
	// Registers and Directories are keys whose histories have to be linearizable.
	Registers, Directories []string
	// Early is how much too early a node may expire.
	Early time.Duration
}

// maxFindings bounds a report. What follows the first findings is often their consequence.
const maxFindings = 20

// findings are violations.
type findings []string

func (f *findings) add(format string, args ...any) {
	if len(*f) < maxFindings {
		*f = append(*f, fmt.Sprintf(format, args...))
	}
}

// Check returns what is wrong with the history.
func (h *History) Check() []string {
	var found findings
	h.Events = slices.DeleteFunc(h.Events, func(e Seen) bool { return e.index() > h.To })
	slices.SortStableFunc(h.Jumps, func(a, b Jump) int { return cmp.Compare(a.To, b.To) })
	h.checkEventOrder(&found)
	if len(found) > 0 {
		return found // the rest relies on the order
	}
	claims := h.claim(&found)
	h.replay(claims, &found)
	h.checkOrder(&found)
	h.checkQueues(&found)
	h.checkWatchers(&found)
	h.checkLinear(&found)
	return found
}

// checkEventOrder makes sure that no event was received twice, or after a later one.
func (h *History) checkEventOrder(found *findings) {
	last := h.After
	for _, e := range h.Events {
		if e.index() <= last {
			found.add("the watcher received the event %s of the index %d after one of the index %d", describe(e.Event), e.index(), last)
		}
		last = e.index()
	}
}

// forgotten reports whether the event of an index may be one of those that the first watcher did not receive.
func (h *History) forgotten(index uint64) bool {
	return index <= h.After || index > h.To || jumped(h.Jumps, index)
}

// jumped reports whether an index lies in a jump.
func jumped(jumps []Jump, index uint64) bool {
	return slices.ContainsFunc(jumps, func(j Jump) bool { return index > j.After && index <= j.To })
}

// describe describes an event in messages.
func describe(e *v2store.Event) string {
	text := fmt.Sprintf("%s %s", e.Action, e.Node.Key)
	if e.Node.Value != nil {
		text += "=" + *e.Node.Value
	}
	return fmt.Sprintf("%s@%d", text, e.Node.ModifiedIndex)
}
