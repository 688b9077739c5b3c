package bulk

import "etcd-tlsproxy/proxy/account"

// etcd makes a copy of an event for each watch that it concerns. One write below a hundred folders
// costs it a hundred copies if each of these is watched, and one of a key as many as there are
// watches of this key. So each watch at etcd is charged with the size of the last large events of
// its key.

const (
	// lightEvent is the number of units up to which the events of a watch are not charged.
	// One write has at most two hundred watches that other clients can join, of a hundred keys.
	lightEvent = 4
	// surplusWatch is the least number of units that a watch costs beside too many others that
	// one write can concern, whatever the size of its events so far. Nothing bounds the number of
	// such watches otherwise.
	surplusWatch = 64
)

// watchedPath sets the names of events that are to come apart from those of answers.
const watchedPath = "watch "

// pastPath sets the names of events that exist apart from both.
const pastPath = "past "

// Watch returns the claim of a watch at etcd. The events of a key are usually of similar size.
func (l *Limits) Watch(a *account.Account, path string, tree bool) Claim {
	if l == nil {
		return Claim{}
	}
	c := Claim{limits: l, bytes: l.Watched, account: a, hash: l.sizes.hashOf(watchedPath+path, tree)}
	c.Refresh() // only what heavy returned is remembered
	c.event = c.units
	return c
}

// heavy returns the units that events of a size cost.
func heavy(units int64) int64 {
	if units <= lightEvent {
		return 0
	}
	return units
}

// Surplus makes the claim one of a watch beside too many others that one write can concern.
func (c *Claim) Surplus() {
	if c.limits != nil {
		c.least = surplusWatch
		c.units = max(c.units, c.least)
	}
}

// Event records that an event of so many bytes has come, and adapts what is held. A large event
// counts for the next ones, too. Event does not wait, and reports whether there was enough.
func (c *Claim) Event(size int64) bool {
	if c.limits == nil {
		return true
	}
	before := c.event
	if c.event = heavy(max((size+Unit-1)/Unit, before-(before+7)/8)); c.event != before {
		c.limits.sizes.note(c.hash, c.event)
	}
	c.units = max(c.least, c.event)
	if surplus := c.held - possible(c.bytes, c.units); surplus > 0 {
		c.bytes.Release(c.account, surplus, account.Ordinary)
		c.held -= surplus
	}
	return c.cover(c.units)
}
