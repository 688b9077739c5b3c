package bulk

import "etcd-tlsproxy/proxy/account"

// Past returns the claim of a watch of a key from an index on, which is answered like a read if its
// event exists. Nobody knows how large that is.
func (l *Limits) Past(a *account.Account, path string, tree bool) Claim {
	if l == nil {
		return Claim{}
	}
	c := Claim{limits: l, bytes: l.Bytes, account: a, hash: l.sizes.hashOf(pastPath+path, tree), tree: true}
	c.Refresh()
	return c
}

// Past returns the claim of the events that exist already of the watch whose claim c is.
func (c *Claim) Past(path string, tree bool) Claim { return c.limits.Past(c.account, path, tree) }

// IsLong reports whether the answer is known to be so large that it has places until it begins.
func (c *Claim) IsLong() bool { return c.limits != nil && c.longPlaces() > 0 }

// Missed records that the event of a claim of Past does not exist. That tells nothing about the
// others of the key, if these are known to be large.
func (c *Claim) Missed() {
	if c.limits == nil {
		return
	}
	if !c.isLarge() {
		c.Began(0, true)
	}
	c.Release()
}
