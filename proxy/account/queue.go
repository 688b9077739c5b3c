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
	usages   *usages
	networks map[netip.Prefix]*networkQueue
	lines    lines[*networkQueue]
	len      int    // waiters
	units    int64  // that they wait for
	turn     uint64 // of the network that was served last
	seq      uint64
}

type networkQueue struct {
	place
	prefix   netip.Prefix
	accounts map[*Account]*accountQueue
	lines    lines[*accountQueue]
	served   uint64 // the turn of the account that was served last
}

type accountQueue struct {
	place
	waiters [numKinds]list.List // of *waiter
	units   int64
}

func newQueue(u *usages) queue {
	return queue{usages: u, networks: make(map[netip.Prefix]*networkQueue)}
}

// network returns a network of the queue, or a new one that is not in it yet.
func (q *queue) network(prefix netip.Prefix) *networkQueue {
	n := q.networks[prefix]
	if n == nil {
		n = &networkQueue{place: place{held: q.usages.held(prefix), turn: q.turn, since: q.seq}, prefix: prefix}
	}
	return n
}

// account returns an account of a network, or a new one that is not in the queue yet.
func (q *queue) account(n *networkQueue, a *Account) *accountQueue {
	account := n.accounts[a]
	if account == nil {
		account = &accountQueue{place: place{held: q.usages.heldBy(a), turn: n.served, since: q.seq}}
	}
	return account
}

func (q *queue) push(w *waiter) {
	q.seq++
	network := q.network(w.account.key.network)
	if network.accounts == nil {
		network.accounts = make(map[*Account]*accountQueue)
		q.networks[network.prefix] = network
	}
	account := q.account(network, w.account)
	network.accounts[w.account] = account
	w.place = account.waiters[w.kind].PushBack(w)
	account.units += w.n
	q.units += w.n
	q.len++
	q.count(network, account, w.kind, 1)
}

// remove removes a waiter.
func (q *queue) remove(w *waiter) {
	network := q.networks[w.account.key.network]
	account := network.accounts[w.account]
	account.waiters[w.kind].Remove(w.place)
	account.units -= w.n
	q.units -= w.n
	q.len--
	q.count(network, account, w.kind, -1)
	if account.units == 0 {
		delete(network.accounts, w.account)
	}
	if network.len() == 0 {
		delete(q.networks, network.prefix)
	}
}

// count counts a waiter that has come or gone.
func (q *queue) count(n *networkQueue, a *accountQueue, k Kind, change int) {
	n.waits[k] += change
	a.waits[k] += change
	n.lines.update(a)
	q.lines.update(n)
}

// moved must be called when what an account or its network holds has changed.
func (q *queue) moved(a *Account) {
	network := q.networks[a.key.network]
	if network == nil {
		return
	}
	if account := network.accounts[a]; account != nil {
		account.held = q.usages.heldBy(a)
		network.lines.update(account)
	}
	network.held = q.usages.held(network.prefix)
	q.lines.update(network)
}

// movedAll does what moved does, for all accounts.
func (q *queue) movedAll() {
	for _, network := range q.networks {
		network.held = q.usages.held(network.prefix)
		for a, account := range network.accounts {
			account.held = q.usages.heldBy(a)
		}
		network.lines.sort()
	}
	q.lines.sort()
}

// served removes a waiter that was granted its units, and ends the turns that it used.
func (q *queue) served(w *waiter) {
	q.endTurn(w.account)
	q.remove(w)
}

// endTurn moves an account, and its network, behind the others.
func (q *queue) endTurn(a *Account) {
	network := q.networks[a.key.network]
	if network == nil {
		return
	}
	q.turn = network.turn
	network.turn++
	q.lines.update(network)
	if account := network.accounts[a]; account != nil {
		network.served = account.turn
		account.turn++
		network.lines.update(account)
	}
}

// next returns the waiter whose turn it is, among all or among those that write.
func (q *queue) next(among order) *waiter {
	network, found := q.lines.first(among)
	if !found {
		return nil
	}
	account, _ := network.lines.first(among)
	return account.first()
}

// first returns the first waiter. A write comes before the other requests of its account.
func (a *accountQueue) first() *waiter {
	e := a.waiters[Write].Front()
	if e == nil {
		e = a.waiters[Ordinary].Front()
	}
	return e.Value.(*waiter)
}

// overtakes reports whether a request that would begin to wait now would be the next among all,
// or among those that write. It need not wait to know that.
func (q *queue) overtakes(a *Account, k Kind, among order) bool {
	network := q.network(a.key.network)
	if first, found := q.lines.first(among); found && first != network && !network.before(&first.place) {
		return false
	}
	account := q.account(network, a)
	if first, found := network.lines.first(among); found && first != account && !account.before(&first.place) {
		return false
	}
	return account.waits[Write] == 0 && (k == Write || account.waits[Ordinary] == 0)
}

// greediest returns the last waiter of the account with the most waiters, in the network
// with the most.
func (q *queue) greediest() *waiter {
	network, found := q.lines.first(greedy)
	if !found {
		panic("BUG: nobody of a full queue waits")
	}
	account, _ := network.lines.first(greedy)
	e := account.waiters[Ordinary].Back()
	if e == nil {
		e = account.waiters[Write].Back()
	}
	return e.Value.(*waiter)
}

// unitsOf returns the number of units that an account waits for.
func (q *queue) unitsOf(a *Account) int64 {
	if network := q.networks[a.key.network]; network != nil && network.accounts[a] != nil {
		return network.accounts[a].units
	}
	return 0
}
