package exact

import (
	"cmp"
	"slices"
)

// floors returns for each operation the highest index that was known to a client before it began.
func (h *History) floors() map[*Op]uint64 {
	begun, ended := make([]*Op, 0, len(h.Ops)), make([]*Op, 0, len(h.Ops))
	for i := range h.Ops {
		begun, ended = append(begun, &h.Ops[i]), append(ended, &h.Ops[i])
	}
	slices.SortFunc(begun, func(a, b *Op) int { return cmp.Compare(a.Start, b.Start) })
	slices.SortFunc(ended, func(a, b *Op) int { return cmp.Compare(a.End, b.End) })
	floors, highest := make(map[*Op]uint64, len(h.Ops)), uint64(0)
	for _, o := range begun {
		for len(ended) > 0 && ended[0].End < o.Start {
			highest, ended = max(highest, ended[0].Index), ended[1:]
		}
		floors[o] = highest
	}
	return floors
}

// checkOrder makes sure that indexes agree with time.
func (h *History) checkOrder(found *findings) {
	floors := h.floors()
	for i := range h.Ops {
		o := &h.Ops[i]
		floor := floors[o]
		switch {
		case o.Index == 0 || !o.write() && !o.Quorum:
		case o.executed() && o.Index <= floor:
			found.add("a write has an index that a client knew before it began, want one above %d: %s", floor, o)
		case o.Index < floor:
			found.add("an answer is stale, want an index from %d on: %s", floor, o)
		}
	}
	type place struct{ client, proxy int }
	last := map[place]*Op{}
	ops := slices.Clone(h.Ops)
	slices.SortStableFunc(ops, func(a, b Op) int { return cmp.Compare(a.Start, b.Start) })
	for i := range ops {
		o := &ops[i]
		at := place{o.Client, o.Proxy}
		if before := last[at]; before != nil && o.Index > 0 && o.Index < before.Index {
			found.add("the index went backwards for a client at one proxy: %s; %s", before, o)
		}
		if o.Index > 0 {
			last[at] = o
		}
	}
}
