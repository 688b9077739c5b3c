package account

import (
	"maps"
	"slices"
)

// Class is what a holder is doing. Holders of the lower classes are revoked first.
type Class int

// The classes.
const (
	Silent   Class = iota // waits for its client and owes it nothing
	Stalled               // has made no progress for some seconds
	Slow                  // makes progress at the pace of a slow client
	Watching              // waits for etcd on behalf of its client
	Busy                  // must not be revoked
)

// Holder holds units of a pool and can give them back. A holder must be comparable. Its
// methods are called without locks of this package, must not block, and may still be called
// for a moment after the holder was unregistered.
type Holder interface {
	Class() Class
	// Revoke begins to give back the units, if the holder still is in the class, and
	// returns how many of them will be released soon; 0 if it declines.
	Revoke(Class) int64
}

// Register adds a holder of units that an account has acquired.
func (p *Pool) Register(a *Account, h Holder) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.holders == nil {
		a.holders = make(map[registration]struct{})
	}
	a.holders[registration{p, h}] = struct{}{}
}

// Unregister removes a holder. A holder that is not registered is ignored.
func (p *Pool) Unregister(a *Account, h Holder) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.holders, registration{p, h})
}

// holdersOf returns the account's holders of a pool.
func (a *Account) holdersOf(p *Pool) (all []Holder) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for r := range a.holders {
		if r.pool == p {
			all = append(all, r.holder)
		}
	}
	return all
}

// registrations returns the account's holders of all pools.
func (a *Account) registrations() []registration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.AppendSeq(make([]registration, 0, len(a.holders)), maps.Keys(a.holders))
}
