package account

import (
	"net/netip"
	"time"
)

// usages counts what each network holds of a pool; without usages nobody holds anything. It is
// guarded by the pool's lock. A survey counts it anew; between two surveys only what is acquired
// and released under the lock is counted.
type usages struct {
	index    int
	networks map[netip.Prefix]*usage
	survey   uint32    // the number of the last survey
	due      time.Time // the time of the next survey
}

// usage is what one network holds.
type usage struct {
	held     int64
	accounts int64 // those that hold something or wait
}

// surveyEvery is how old a survey may be.
const surveyEvery = 50 * time.Millisecond

// surveyShare bounds the time that surveys take: one in so many parts.
const surveyShare = 20

func newUsages(index int) usages {
	return usages{index: index, networks: make(map[netip.Prefix]*usage)}
}

// held returns what a network holds.
func (u *usages) held(network netip.Prefix) int64 {
	if u == nil {
		return 0
	}
	if n := u.networks[network]; n != nil {
		return max(0, n.held)
	}
	return 0
}

// heldBy returns what an account holds.
func (u *usages) heldBy(a *Account) int64 {
	if u == nil {
		return 0
	}
	return int64(a.used[u.index].Load())
}

// add counts units that an account has acquired or, if n is negative, released.
func (u *usages) add(a *Account, n int64) {
	if network := u.networks[a.key.network]; network != nil {
		network.held += n
	}
}

// count counts an account that holds something or waits, unless it was counted already.
func (u *usages) count(a *Account, held int64) {
	if a.surveyed[u.index] == u.survey {
		return
	}
	a.surveyed[u.index] = u.survey
	network := u.networks[a.key.network]
	if network == nil {
		network = &usage{}
		u.networks[a.key.network] = network
	}
	network.held += held
	network.accounts++
}

// refresh makes a survey if the last one is too old, and counts an account that is about to
// acquire something; p.mu is held.
func (p *Pool) refresh(a *Account, now time.Time) {
	u := &p.usages
	if !now.Before(u.due) {
		p.surveyAll(now)
	}
	u.count(a, a.Held(p))
	p.queue.moved(a)
}

// surveyAll counts all accounts; p.mu is held.
func (p *Pool) surveyAll(now time.Time) {
	u := &p.usages
	u.survey++
	clear(u.networks)
	p.table.each(func(a *Account) {
		if held := a.Held(p); held > 0 || p.queue.unitsOf(a) > 0 {
			u.count(a, held)
		}
	})
	p.queue.movedAll()
	u.due = now.Add(max(surveyEvery, surveyShare*time.Since(now)))
}

// sharers returns the numbers by which the total is divided to get the share of an account:
// that of the networks, and that of the accounts in its own. p.mu is held. Shares are compared
// by multiplication, so that nothing is lost by rounding.
func (p *Pool) sharers(a *Account) (networks, accounts int64) {
	u := &p.usages
	networks = int64(len(u.networks))
	network := u.networks[a.key.network]
	if network == nil {
		return networks + 1, 1
	}
	accounts = network.accounts
	if a.surveyed[u.index] != u.survey {
		accounts++
	}
	return networks, accounts
}

// newcomer reports whether an account with n more units would be within its share even if
// one more network came. Otherwise an account that is alone could use the reserve. p.mu is
// held.
func (p *Pool) newcomer(a *Account, n int64) bool {
	networks, accounts := p.sharers(a)
	return (a.Held(p)+n)*(networks+1)*accounts <= p.total
}

// networkExcess returns the units that a network holds above its share; p.mu is held.
func (p *Pool) networkExcess(network netip.Prefix) int64 {
	return p.usages.held(network) - p.total/int64(max(1, len(p.usages.networks)))
}
