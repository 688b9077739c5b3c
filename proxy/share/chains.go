package share

import "strings"

// chains counts the watches at etcd by key, to know how many of them one write can concern: those
// of its own key, and the recursive ones of all folders above it. etcd makes a copy of the
// event for each, and one client can watch a hundred folders, each inside the one before, from
// many indexes. Watches.mu guards it.
type chains struct{ root chain }

// chain is a key and everything below it.
type chain struct {
	recursive int // watches of the key and everything below
	only      int // watches of the key alone
	below     map[string]*chain
	// depths counts the keys directly below by their depth, so that the greatest depth is known
	// without looking at all of them.
	depths map[int]int
}

// depth returns the most watches of this key and the keys below that one write can concern.
func (c *chain) depth() int {
	most := c.only
	for depth := range c.depths {
		most = max(most, depth)
	}
	return c.recursive + most
}

// add counts a watch. It returns how many watches, with this one, one write can concern at most
// that concerns this watch.
func (cs *chains) add(p *hubKey) int { return cs.root.change(segments(p.key), p.recursive, 1) }

// remove ends the count of a watch.
func (cs *chains) remove(p *hubKey) { cs.root.change(segments(p.key), p.recursive, -1) }

// change adds n watches of the key that the segments lead to. It returns the most watches of this
// key and those below that one write to the changed key, or below it, can concern.
func (c *chain) change(segments []string, recursive bool, n int) int {
	if len(segments) == 0 {
		if recursive {
			c.recursive += n
			return c.depth()
		}
		c.only += n
		return c.recursive + c.only
	}
	if c.below == nil {
		c.below, c.depths = make(map[string]*chain), make(map[int]int)
	}
	next := c.below[segments[0]]
	if next == nil {
		next = &chain{}
		c.below[segments[0]] = next
	} else {
		c.forget(next.depth())
	}
	most := next.change(segments[1:], recursive, n)
	if depth := next.depth(); depth > 0 {
		c.depths[depth]++
	} else {
		delete(c.below, segments[0])
	}
	return c.recursive + most
}

// forget ends the count of a key below with a depth.
func (c *chain) forget(depth int) {
	if c.depths[depth]--; c.depths[depth] == 0 {
		delete(c.depths, depth)
	}
}

func segments(key string) []string {
	return strings.FieldsFunc(key, func(r rune) bool { return r == '/' })
}
