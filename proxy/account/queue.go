package account

import (
	"container/list"
	"net/netip"
)

// queue holds the waiters of a pool, or for one name of [Turns], in two levels: networks, and the
// accounts of each. Its methods are called with the lock of the owner.
//
// Of the networks that wait, the one that holds least is next. Of several, the one whose turn
// is lowest is next, and then the one that has waited longest; the same applies to the
// accounts of a network. Each turn that is served moves a network or an account behind the
// others. One that begins to wait starts at the turn that is being served, so it neither
// gains from not having waited before nor pays for it.
type queue struct {
	networks map[netip.Prefix]*networkQueue
	len      int    // waiters
	units    int64  // that they wait for
	turn     uint64 // of the network that was served last
	seq      uint64
}

type networkQueue struct {
	place
	accounts map[*Account]*accountQueue
	len      int
	waits    [numKinds]int // the number of waiters of each kind
	served   uint64        // the turn of the account that was served last
}

type accountQueue struct {
	place
	waiters [numKinds]list.List // of *waiter
	units   int64
}

// place is the place of a network or an account among its like.
type place struct {
	turn  uint64
	since uint64 // lower is earlier
}

// before reports whether the owner of p comes before that of other, if they hold so much.
func (p *place) before(held int64, other *place, otherHeld int64) bool {
	switch {
	case held != otherHeld:
		return held < otherHeld
	case p.turn != other.turn:
		return p.turn < other.turn
	}
	return p.since < other.since
}

func newQueue() queue { return queue{networks: make(map[netip.Prefix]*networkQueue)} }

func (q *queue) push(w *waiter) {
	q.seq++
	network := q.networks[w.account.key.network]
	if network == nil {
		network = &networkQueue{place: place{turn: q.turn, since: q.seq}, accounts: make(map[*Account]*accountQueue)}
		q.networks[w.account.key.network] = network
	}
	account := network.accounts[w.account]
	if account == nil {
		account = &accountQueue{place: place{turn: network.served, since: q.seq}}
		network.accounts[w.account] = account
	}
	w.place = account.waiters[w.kind].PushBack(w)
	account.units += w.n
	network.waits[w.kind]++
	network.len++
	q.units += w.n
	q.len++
}

// remove removes a waiter.
func (q *queue) remove(w *waiter) {
	network := q.networks[w.account.key.network]
	account := network.accounts[w.account]
	account.waiters[w.kind].Remove(w.place)
	account.units -= w.n
	network.waits[w.kind]--
	network.len--
	q.units -= w.n
	q.len--
	if account.units == 0 {
		delete(network.accounts, w.account)
	}
	if network.len == 0 {
		delete(q.networks, w.account.key.network)
	}
}

// served removes a waiter that was granted its units, and ends the turns that it used.
func (q *queue) served(w *waiter) {
	network := q.networks[w.account.key.network]
	account := network.accounts[w.account]
	q.turn, network.served = network.turn, account.turn
	network.turn++
	account.turn++
	q.remove(w)
}

// next returns the waiter whose turn it is among those of the open kinds. Nil usages mean that nobody holds
// anything.
func (q *queue) next(open *[numKinds]bool, u *usages) *waiter {
	var network *networkQueue
	var least int64
	for prefix, n := range q.networks {
		if !(open[Ordinary] && n.waits[Ordinary] > 0) && !(open[Write] && n.waits[Write] > 0) {
			continue
		}
		if held := u.held(prefix); network == nil || n.before(held, &network.place, least) {
			network, least = n, held
		}
	}
	if network == nil {
		return nil
	}
	return network.next(open, u)
}

func (n *networkQueue) next(open *[numKinds]bool, u *usages) *waiter {
	var best *accountQueue
	var next *waiter
	var least int64
	for account, a := range n.accounts {
		first := a.first(open)
		if first == nil {
			continue
		}
		if held := u.of(account); best == nil || a.before(held, &best.place, least) {
			best, next, least = a, first, held
		}
	}
	return next
}

// first returns the first waiter of the open kinds. A write comes before the other requests
// of its account.
func (a *accountQueue) first(open *[numKinds]bool) *waiter {
	for _, k := range [...]Kind{Write, Ordinary} {
		if e := a.waiters[k].Front(); open[k] && e != nil {
			return e.Value.(*waiter)
		}
	}
	return nil
}

// greediest returns the last waiter of the account with the most waiters, in the network
// with the most.
func (q *queue) greediest() *waiter {
	var network *networkQueue
	for _, n := range q.networks {
		if network == nil || n.len > network.len || n.len == network.len && n.since > network.since {
			network = n
		}
	}
	var account *accountQueue
	for _, a := range network.accounts {
		if account == nil || a.len() > account.len() || a.len() == account.len() && a.since > account.since {
			account = a
		}
	}
	for _, k := range [...]Kind{Ordinary, Write} {
		if e := account.waiters[k].Back(); e != nil {
			return e.Value.(*waiter)
		}
	}
	panic("BUG: an account without waiters is in the queue")
}

func (a *accountQueue) len() int { return a.waiters[Ordinary].Len() + a.waiters[Write].Len() }

// unitsOf returns the number of units that an account waits for.
func (q *queue) unitsOf(a *Account) int64 {
	if network := q.networks[a.key.network]; network != nil && network.accounts[a] != nil {
		return network.accounts[a].units
	}
	return 0
}
