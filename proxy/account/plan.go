package account

import (
	"cmp"
	"net/netip"
	"slices"
)

// plan is what is to be revoked, and for whom.
type plan struct {
	pool   *Pool
	quota  int64                  // at most this many units
	any    int64                  // units for waiters whose networks are below their share
	in     map[netip.Prefix]int64 // units for waiters that are below their share in their network
	donors []donor
	// exchange lists accounts that give what is silent when the donors gave too little: those
	// that wait for something new.
	exchange []*Account
}

// donor is an account above its share.
type donor struct {
	account  *Account
	network  int64 // units that its network holds
	excess   int64 // units that it can lose
	forOther bool  // its network is above its share as well
	proved   bool
	// onlySilent is set if the share is less than one unit. A running watch must not end
	// only because another one would like to start.
	onlySilent bool
}

// order compares two donors: those whose networks hold most give first, and then those that are
// farthest above their share.
func (d donor) order(other donor) int {
	return cmp.Or(cmp.Compare(other.network, d.network), cmp.Compare(other.excess, d.excess))
}

// planFor plans to revoke up to need units for those that wait; p.mu is held.
func (p *Pool) planFor(need int64) *plan {
	pl := &plan{pool: p, quota: min(need, max(1, p.total/reclaimShare)), in: make(map[netip.Prefix]int64)}
	if pl.quota <= 0 {
		return pl
	}
	for prefix, network := range p.queue.networks {
		below := int64(0)
		for a, waits := range network.accounts {
			pl.exchange = append(pl.exchange, a)
			below += min(waits.units, max(0, p.keeps(a)-a.Held(p)))
		}
		room := max(0, -p.networkExcess(prefix))
		if p.usages.held(prefix) == 0 {
			room = max(1, room)
		}
		pl.any += min(below, room)
		pl.in[prefix] = below - min(below, room)
	}
	pl.donors = p.donors(p.total, 0)
	return pl
}

// keeps returns the units of its share, and at least one; p.mu is held.
func (p *Pool) keeps(a *Account) int64 {
	networks, accounts := p.sharers(a)
	return max(1, p.total/(networks*accounts))
}

// donors returns the accounts above their share of so many units, if some more networks came; p.mu is
// held.
func (p *Pool) donors(total, newcomers int64) (all []donor) {
	p.table.each(func(a *Account) {
		held := a.Held(p)
		networks, accounts := p.sharers(a)
		networks += newcomers
		if held*networks*accounts <= total {
			return
		}
		network := p.usages.held(a.key.network)
		all = append(all, donor{
			account: a, network: network, excess: max(1, held-max(1, total/(networks*accounts))),
			forOther:   network > total/networks,
			proved:     a.HasProved(),
			onlySilent: held == 1, // above the share, which is less than that
		})
	})
	return all
}

// candidate is a holder that may be revoked.
type candidate struct {
	holder Holder
	class  Class
	donor  *donor
}

// ranks are the candidates by rank: those of accounts that have proved a password come
// last, and the classes in their order within both.
type ranks [2 * Busy][]candidate

// ranked returns the candidates of the donors in their order, no more of each rank than are needed even
// if half of them decline. It ends when there are enough of the first rank: a flood has many donors.
func (pl *plan) ranked() (all ranks) {
	slices.SortFunc(pl.donors, donor.order)
	for i := range pl.donors {
		if int64(len(all[Silent])) >= 2*pl.quota {
			break
		}
		d := &pl.donors[i]
		for _, h := range d.account.holdersOf(pl.pool) {
			class := h.Class()
			if class >= Busy || d.onlySilent && class != Silent {
				continue
			}
			rank := class
			if d.proved {
				rank += Busy
			}
			if int64(len(all[rank])) < 2*pl.quota {
				all[rank] = append(all[rank], candidate{h, class, d})
			}
		}
	}
	return all
}
