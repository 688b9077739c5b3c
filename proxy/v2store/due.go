package v2store

import (
	"cmp"
	"container/heap"
	"slices"
	"time"
)

// due is a heap of the nodes that expire. Equal times are ordered by key, so that the order does
// not depend on how a tree was built.
type due []*node

func (d due) Len() int { return len(d) }

func (d due) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(d[i].expires, d[j].expires), cmp.Compare(d[i].key, d[j].key)) < 0
}

func (d due) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].place, d[j].place = i, j
}

// Push implements [heap.Interface].
func (d *due) Push(x any) {
	n := x.(*node)
	n.place = len(*d)
	*d = append(*d, n)
}

// Pop implements [heap.Interface].
func (d *due) Pop() any {
	last := len(*d) - 1
	n := (*d)[last]
	(*d)[last] = nil // lets the node be collected
	*d = (*d)[:last]
	return n
}

// setExpiry changes when a node expires.
func (t *Tree) setExpiry(n *node, expires int64) {
	before := n.expires
	if before == 0 && expires == 0 {
		return
	}
	if before != 0 {
		heap.Remove(&t.due, n.place)
	}
	n.expires = expires
	if expires != 0 {
		heap.Push(&t.due, n)
	}
}

// PlanExpire returns the expiration of the first node that is due at the given time, or nil if
// none is due. Nodes whose expiration is refused are left out, unless the function is nil.
func PlanExpire(t *Tree, now time.Time, refused func(*Change) bool) *Change {
	if len(t.due) == 0 || t.due[0].expires > now.UnixNano() {
		return nil
	}
	if c := t.due[0].expire(now); refused == nil || !refused(c) {
		return c
	}
	sorted := slices.Clone(t.due) // the places of the nodes belong to the heap
	slices.SortFunc(sorted, func(a, b *node) int { return cmp.Or(cmp.Compare(a.expires, b.expires), cmp.Compare(a.key, b.key)) })
	for _, n := range sorted {
		if n.expires > now.UnixNano() {
			break
		}
		if c := n.expire(now); !refused(c) {
			return c
		}
	}
	return nil
}

// expire plans the expiration of a node.
func (n *node) expire(now time.Time) *Change {
	c := &Change{Action: Expire, Key: n.key, Time: now.UnixNano(), Below: n.dir()}
	c.rest(Fact{Kind: Recorded, Key: n.key, Dir: n.dir(), Index: n.recorded})
	return c
}

// NextExpiry returns when the next node expires, in nanoseconds since 1970, or 0 if none does.
func (t *Tree) NextExpiry() int64 {
	if len(t.due) == 0 {
		return 0
	}
	return t.due[0].expires
}
