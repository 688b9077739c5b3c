package account

import "container/heap"

// place is the place of a network or an account among its like in the queue of a pool.
type place struct {
	held  int64         // units of the pool; see [queue.moved]
	turn  uint64        // its next one
	since uint64        // lower is earlier
	waits [numKinds]int // the number of waiters of each kind
	at    [numOrders]int
}

// order is an order in which the queue asks for networks and accounts.
type order int

// The orders.
const (
	everybody order = iota // those that wait, in the order of their turns
	writers                // those of them with a waiting write
	greedy                 // those that wait, first those with the most waiters
	numOrders
)

// self gives access to the place of a network or an account.
func (p *place) self() *place { return p }

func (p *place) len() int { return p.waits[Ordinary] + p.waits[Write] }

// in reports whether the owner of the place belongs to an order.
func (p *place) in(o order) bool {
	if o == writers {
		return p.waits[Write] > 0
	}
	return p.len() > 0
}

// before reports whether the turn of the owner of p comes before that of another.
func (p *place) before(other *place) bool {
	switch {
	case p.held != other.held:
		return p.held < other.held
	case p.turn != other.turn:
		return p.turn < other.turn
	}
	return p.since < other.since
}

// greedier reports whether the owner of p loses a waiter before another does.
func (p *place) greedier(other *place) bool {
	if p.len() != other.len() {
		return p.len() > other.len()
	}
	return p.since > other.since
}

// lines holds networks, or the accounts of one network, in each order. A client decides how many
// wait, so nothing but a survey looks at all of them: a change costs as many steps as their
// number has bits.
type lines[T interface{ self() *place }] [numOrders]line[T]

// first returns who comes first in an order.
func (l *lines[T]) first(o order) (first T, found bool) {
	if members := l[o].members; len(members) > 0 {
		return members[0], true
	}
	return first, false
}

// update adds, moves or removes one whose place has changed.
func (l *lines[T]) update(t T) {
	p := t.self()
	for o := range numOrders {
		line := &l[o]
		line.order = o
		switch at := p.at[o] - 1; {
		case at < 0 && p.in(o):
			heap.Push(line, t)
		case at >= 0 && p.in(o):
			heap.Fix(line, at)
		case at >= 0:
			heap.Remove(line, at)
		}
	}
}

// sort puts everybody in order again, after many places have changed.
func (l *lines[T]) sort() {
	for o := range l {
		heap.Init(&l[o])
	}
}

// line is one of the lines, as a [heap.Interface]. Each member knows its index in it, plus one.
type line[T interface{ self() *place }] struct {
	order   order
	members []T
}

func (l *line[T]) Len() int { return len(l.members) }

func (l *line[T]) Less(i, j int) bool {
	a, b := l.members[i].self(), l.members[j].self()
	if l.order == greedy {
		return a.greedier(b)
	}
	return a.before(b)
}

func (l *line[T]) Swap(i, j int) {
	m := l.members
	m[i], m[j] = m[j], m[i]
	m[i].self().at[l.order], m[j].self().at[l.order] = i+1, j+1
}

// Push implements [heap.Interface].
func (l *line[T]) Push(x any) {
	t := x.(T)
	l.members = append(l.members, t)
	t.self().at[l.order] = len(l.members)
}

// Pop implements [heap.Interface].
func (l *line[T]) Pop() any {
	end := len(l.members) - 1
	last := l.members[end]
	clear(l.members[end:])
	l.members = l.members[:end]
	last.self().at[l.order] = 0
	return last
}
