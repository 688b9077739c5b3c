package exact

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// checkQueues makes sure that queues are in order, and that no entry was taken twice.
func (h *History) checkQueues(found *findings) {
	var posted []*Op
	taken := map[string]*Op{}
	for i := range h.Ops {
		o := &h.Ops[i]
		if o.Outcome != Answered || o.Code != 0 || o.Event == nil {
			continue
		}
		if o.InOrder {
			posted = append(posted, o)
		} else if o.removes() && o.Event.PrevNode != nil {
			// A node has its key and the index of its creation for itself.
			node := fmt.Sprintf("%s@%d", o.Key, o.Event.PrevNode.CreatedIndex)
			if other := taken[node]; other != nil {
				found.add("an entry was taken twice: %s; %s", other, o)
			}
			taken[node] = o
		}
	}
	slices.SortFunc(posted, func(a, b *Op) int { return cmp.Compare(a.Index, b.Index) })
	last := map[string]*Op{}
	for _, o := range posted {
		key := o.Event.Node.Key
		name := key[strings.LastIndexByte(key, '/')+1:]
		if n, err := strconv.ParseUint(name, 10, 64); err != nil || len(name) != 20 || n > o.Index {
			found.add("an entry has the name %q, want 20 digits of a number up to its index: %s", name, o)
		}
		if before := last[o.Key]; before != nil && before.Event.Node.Key >= key {
			found.add("names are not in the order of indexes: %s as %s; %s as %s", before, before.Event.Node.Key, o, key)
		}
		last[o.Key] = o
	}
}
