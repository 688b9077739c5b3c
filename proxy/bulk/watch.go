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
	// surplusWatch is the number of units that a watch costs beside others of the same key,
	// whatever the size of its events. Nothing bounds the number of such watches otherwise.
	surplusWatch = 32
)

// watchedPath sets the names of events apart from those of answers.
const watchedPath = "watch "

// Watch returns the claim of a watch at etcd. The events of a key are usually of similar size.
func (l *Limits) Watch(a *account.Account, path string, tree bool) Claim {
	if l == nil {
		return Claim{}
	}
	c := Claim{limits: l, bytes: l.Watched, account: a, hash: l.sizes.hashOf(watchedPath+path, tree)}
	c.Refresh() // only what heavy returned is remembered
	return c
}

// heavy returns the units that events of a size cost.
func heavy(units int64) int64 {
	if units <= lightEvent {
		return 0
	}
	return units
}

// Surplus makes the claim one of a watch beside others of the same key.
func (c *Claim) Surplus() {
	if c.limits != nil {
		c.units = max(c.units, surplusWatch)
	}
}

// Event records that an event of so many bytes has come, and adapts what is held. A large event
// counts for the next ones, too. Event does not wait, and reports whether there was enough.
func (c *Claim) Event(size int64) bool {
	if c.limits == nil {
		return true
	}
	before := c.units
	c.units = heavy(max((size+Unit-1)/Unit, before-(before+7)/8))
	if c.units != before {
		c.limits.sizes.note(c.hash, c.units)
	}
	if surplus := c.held - possible(c.bytes, c.units); surplus > 0 {
		c.bytes.Release(c.account, surplus, account.Ordinary)
		c.held -= surplus
	}
	return c.cover(c.units)
}
