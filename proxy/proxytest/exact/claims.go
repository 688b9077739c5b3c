package exact

import (
	"strings"

	"etcd-tlsproxy/proxy/v2store"
)

// claim returns the operation of each event, by index. An event without one was carried out although
// nobody asked for it, or twice.
func (h *History) claim(found *findings) map[uint64]*Op {
	events := map[uint64]*v2store.Event{}
	for _, e := range h.Events {
		events[e.index()] = e.Event
	}
	claims := map[uint64]*Op{}
	for i := range h.Ops {
		o := &h.Ops[i]
		if !o.executed() || h.forgotten(o.Index) {
			continue
		}
		e := events[o.Index]
		switch other := claims[o.Index]; {
		case e == nil:
			found.add("a write was acknowledged, and no watcher received its event: %s", o)
			continue
		case other != nil:
			found.add("two writes were acknowledged with one index: %s; %s", o, other)
		case !o.fits(e):
			found.add("a write was acknowledged at the index of another event, %s: %s", describe(e), o)
		case o.Event != nil:
			if text := differs(o.Event, e); text != "" {
				found.add("the answer to a write is not its event: %s: %s", o, text)
			}
		}
		claims[o.Index] = o
	}
	h.claimUnknown(claims, found)
	return claims
}

// claimUnknown finds the events of writes of unknown outcome. None has more than one.
func (h *History) claimUnknown(claims map[uint64]*Op, found *findings) {
	var unknown []*Op
	floors := h.floors()
	for i := range h.Ops {
		if o := &h.Ops[i]; o.write() && o.Outcome == Unknown {
			unknown = append(unknown, o)
		}
	}
	for _, e := range h.Events {
		if e.Action == v2store.Expire || claims[e.index()] != nil {
			continue
		}
		for i, o := range unknown {
			if o != nil && o.fits(e.Event) && e.index() > floors[o] {
				claims[e.index()], unknown[i] = o, nil
				break
			}
		}
		if claims[e.index()] == nil {
			found.add("an event is that of no write, or the second one of a write: %s", describe(e.Event))
			for i := range h.Ops {
				if o := &h.Ops[i]; o.fits(e.Event) {
					found.add("  which may be that of %s", o)
				}
			}
		}
	}
}

// fits reports whether an event may be that of a request.
func (r *Request) fits(e *v2store.Event) bool {
	key := e.Node.Key
	if r.InOrder {
		key = key[:strings.LastIndexByte(key, '/')]
	}
	if e.Action != r.Action || key != r.Key {
		return false
	}
	if r.removes() {
		return true
	}
	return newNode(e.Node).Value == r.Value && e.Node.Dir == r.Dir
}

// differs describes how an answer differs from the event, or returns "".
func differs(answer, event *v2store.Event) string {
	if text := nodes(answer.Node).difference(nodes(event.Node)); text != "" {
		return "its node: " + text
	}
	if text := nodes(answer.PrevNode).difference(nodes(event.PrevNode)); text != "" {
		return "its previous node: " + text
	}
	return ""
}

func nodes(n *v2store.Node) Tree {
	if n == nil {
		return nil
	}
	return Tree{n.Key: newNode(n)}
}
