package share

import (
	"cmp"
	"slices"
	"strings"
)

// chains counts the watches at etcd by key, to know how many of them one write can concern: those
// of its own key, and the recursive ones of all folders above it. etcd makes a copy of the
// event for each, and one client can watch a hundred folders, each inside the one before, from
// many indexes. Watches.mu guards it.
type chains struct{ root chain }

// chain is a key and everything below it. Most keys have one key directly below or none, and each
// client can watch a key of a hundred segments, so that a chain must be small.
type chain struct {
	recursive int32 // watches of the key and everything below
	only      int32 // watches of the key alone
	deepest   int32 // the most watches of this key and the keys below that one write can concern
	segment   string
	next      *chain    // the key directly below, if there is only one
	branches  *branches // the keys directly below, if there were several
}

// branches are several keys directly below a key.
type branches struct {
	below   map[string]*chain
	deepest map[int32]int // how many of them have this greatest number of watches
}

// add counts a watch. It returns how many watches, with this one, one write can concern at most
// that concerns this watch.
func (cs *chains) add(p *hubKey) int {
	return int(cs.root.change(segments(p.key), p.recursive, 1))
}

// remove ends the count of a watch.
func (cs *chains) remove(p *hubKey) { cs.root.change(segments(p.key), p.recursive, -1) }

// change adds n watches of the key that the segments lead to. It returns the most watches of this
// key and those below that one write to the changed key, or below it, can concern.
func (c *chain) change(segments []string, recursive bool, n int32) (most int32) {
	switch {
	case len(segments) > 0:
		below := c.find(segments[0])
		before := below.deepest
		most = c.recursive + below.change(segments[1:], recursive, n)
		c.put(segments[0], below, before)
		c.update()
	case recursive:
		c.recursive += n
		c.update()
		most = c.deepest
	default:
		c.only += n
		c.update()
		most = c.recursive + c.only
	}
	return most
}

// update sets deepest.
func (c *chain) update() {
	most := c.only
	switch {
	case c.next != nil:
		most = max(most, c.next.deepest)
	case c.branches != nil:
		for deepest := range c.branches.deepest {
			most = max(most, deepest)
		}
	}
	c.deepest = c.recursive + most
}

// find returns the key directly below with a name, or a new one, which put adds.
func (c *chain) find(segment string) *chain {
	switch {
	case c.next != nil && c.segment == segment:
		return c.next
	case c.branches != nil && c.branches.below[segment] != nil:
		return c.branches.below[segment]
	}
	return &chain{}
}

// put keeps a key directly below that has changed, unless it has no watches any more. before is
// what its deepest was.
func (c *chain) put(segment string, below *chain, before int32) {
	switch {
	case c.branches != nil:
		c.branches.put(segment, below, before)
		if len(c.branches.below) == 0 {
			c.branches = nil
		}
	case c.next != nil && c.segment != segment:
		c.branches = &branches{make(map[string]*chain), make(map[int32]int)}
		c.branches.put(c.segment, c.next, 0)
		c.branches.put(segment, below, before)
		c.segment, c.next = "", nil
	case below.deepest == 0:
		c.segment, c.next = "", nil
	default:
		c.segment, c.next = segment, below
	}
}

func (b *branches) put(segment string, below *chain, before int32) {
	if b.deepest[before]--; b.deepest[before] <= 0 {
		delete(b.deepest, before)
	}
	if below.deepest == 0 {
		delete(b.below, segment)
		return
	}
	b.below[segment] = below
	b.deepest[below.deepest]++
}

func segments(key string) []string {
	return strings.FieldsFunc(key, func(r rune) bool { return r == '/' })
}

// freeHubs has the hubs whose watches are counted in chains and cost nothing so far, by their keys.
// That are a few for each key. Watches.mu guards it.
type freeHubs map[place][]*hub

// place is where watches receive the same events, from whatever index on.
type place struct {
	key       string // without a slash at its end
	recursive bool
}

func placeOf(h *hub) place { return place{strings.TrimSuffix(h.key, "/"), h.recursive} }

func (f freeHubs) add(h *hub) {
	if h.weight.payer != nil {
		f[placeOf(h)] = append(f[placeOf(h)], h)
	}
}

func (f freeHubs) remove(h *hub) {
	at := placeOf(h)
	if i := slices.Index(f[at], h); i >= 0 {
		f[at] = slices.Delete(f[at], i, i+1)
	}
	if len(f[at]) == 0 {
		delete(f, at)
	}
}

// tooMany returns a watch that costs nothing so far and must end, so that a new one can cost
// nothing: one of the network that has the most such watches of the key and the folders above it,
// if that is more than the network of the new one has then. Otherwise a few watches of folders,
// from several indexes, would make each watch of others in these cost as much as a large event.
func (f freeHubs) tooMany(h *hub) *hub {
	if h.weight.payer == nil {
		return nil
	}
	of := make(map[string][]*hub) // each network
	collect := func(at place) {
		for _, other := range f[at] {
			network := other.weight.payer.Network()
			of[network] = append(of[network], other)
		}
	}
	at := placeOf(h)
	collect(place{at.key, false})
	for collect(place{at.key, true}); at.key != ""; collect(place{at.key, true}) {
		at.key = at.key[:strings.LastIndexByte(at.key, '/')]
	}
	most := []*hub{}
	for _, hubs := range of {
		if len(hubs) > len(most) {
			most = hubs
		}
	}
	if len(most) <= len(of[h.weight.payer.Network()])+1 {
		return nil
	}
	return slices.MinFunc(most, func(a, b *hub) int { return cmp.Compare(a.users, b.users) })
}

// countWatch counts the watch of a new hub. If one write can concern too many, another one ends, or it
// is charged.
func (ws *Watches) countWatch(h *hub) {
	h.chained = true
	h.weight.extra = ws.chains.add(&h.hubKey) > maxChain
	if !h.weight.extra {
		ws.free.add(h)
		return
	}
	other := ws.free.tooMany(h)
	if other == nil {
		h.weight.claim.Surplus()
		return
	}
	ws.uncountWatch(other)
	go other.stop(errOverShare) // it notifies the watchers
	ws.free.add(h)
}

// uncountWatch ends the count of a watch.
func (ws *Watches) uncountWatch(h *hub) {
	if h.chained {
		h.chained = false
		ws.chains.remove(&h.hubKey)
		ws.free.remove(h)
	}
}
