package v2store

import (
	"cmp"
	"container/heap"
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
	if list := PlanExpires(t, now, 1, refused); len(list) > 0 {
		return list[0]
	}
	return nil
}

// PlanExpires returns the expirations of the first nodes that are due at the given time, in the order of their
// times, and at most so many. Nodes whose expiration is refused are left out, unless the function is nil.
func PlanExpires(t *Tree, now time.Time, most int, refused func(*Change) bool) (list []*Change) {
	if len(t.due) == 0 {
		return nil
	}
	for f := (frontier{due: t.due, at: []int{0}}); f.Len() > 0 && len(list) < most; {
		at := f.at[0]
		if t.due[at].expires > now.UnixNano() {
			break
		}
		heap.Pop(&f)
		for below := 2*at + 1; below <= 2*at+2 && below < len(t.due); below++ {
			heap.Push(&f, below)
		}
		if c := t.due[at].expire(now); refused == nil || !refused(c) {
			list = append(list, c)
		}
	}
	return list
}

// frontier has the places of the nodes in a heap that may be the next in order, as a heap as well. So the
// first nodes are found without changing or sorting the whole.
type frontier struct {
	due due
	at  []int
}

func (f *frontier) Len() int           { return len(f.at) }
func (f *frontier) Less(i, j int) bool { return f.due.Less(f.at[i], f.at[j]) }
func (f *frontier) Swap(i, j int)      { f.at[i], f.at[j] = f.at[j], f.at[i] }

// Push implements [heap.Interface].
func (f *frontier) Push(x any) { f.at = append(f.at, x.(int)) }

// Pop implements [heap.Interface].
func (f *frontier) Pop() any {
	last := len(f.at) - 1
	at := f.at[last]
	f.at = f.at[:last]
	return at
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
