package bulk

import (
	"context"

	"etcd-tlsproxy/proxy/account"
)

// wantedPlaces returns the units of [Limits.Trees] that an answer needs until it begins, of a claim
// that is not free. Writes
// need none: etcd carries out one after the other. Watches need none either, unless their event
// exists already; see [Limits.Past].
func (c *Claim) wantedPlaces() int64 {
	switch {
	case c.write || c.bytes != c.limits.Bytes:
		return 0
	case c.isLarge():
		return c.longPlaces()
	case c.units > 0:
		return 1
	}
	return min(unknownTree, c.limits.Trees.Most())
}

// longPlaces returns the places that a large answer needs.
func (c *Claim) longPlaces() int64 {
	if c.units < longWork {
		return 0
	}
	return min((c.units+perPlace-1)/perPlace, c.limits.Trees.Most())
}

func (c *Claim) tryPlaces(n int64) bool {
	if n > 0 && !c.limits.Trees.TryAcquire(c.account, n, account.Ordinary) {
		return false
	}
	c.places = n
	return true
}

func (c *Claim) acquirePlaces(ctx context.Context, n int64) error {
	if c.tryPlaces(n) {
		return nil
	}
	if err := c.limits.Trees.Acquire(ctx, c.account, n, account.Ordinary); err != nil {
		return err
	}
	c.places = n
	return nil
}

func (c *Claim) releasePlaces() {
	if c.places > 0 {
		c.limits.Trees.Release(c.account, c.places, account.Ordinary)
		c.places = 0
	}
}
