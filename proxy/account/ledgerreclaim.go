package account

import (
	"container/heap"
	"math"
	"time"
)

// Reclaim revokes holders of up to so many bytes, in all pools: those of accounts above their
// share in the order of their classes, accounts that have proved a password last, and then
// what is silent or stalled, whoever holds it. It returns the bytes that will be released.
func (l *Ledger) Reclaim(bytes int64) (taken int64) {
	r := ledgerReclaim{left: bytes, now: time.Now()}
	above, rest := l.creditors()
	r.take(Busy, above)
	for _, c := range above {
		c.room = math.MaxInt64
	}
	for _, c := range rest {
		c.room = math.MaxInt64
	}
	r.anybody = true
	r.take(Slow, above, rest)
	return r.taken
}

// ledgerReclaim is one call of Reclaim.
type ledgerReclaim struct {
	left, taken int64 // bytes
	now         time.Time
	anybody     bool // whether an account has proved a password does not matter
	// gathered are holders that come after others, by rank: the classes, and then the classes of
	// accounts that have proved a password.
	gathered [2 * Busy][]memoryHolder
}

// memoryHolder is a holder that may be revoked.
type memoryHolder struct {
	registration
	class Class
	of    *creditor
}

// maxGathered bounds the holders of one rank. One call takes back much less than they hold, and there
// is another one soon.
const maxGathered = 4096

// take revokes holders of the classes below one. Those of the first rank are revoked as soon as they
// are found, so that usually few accounts are looked at; the others when all are known.
func (r *ledgerReclaim) take(below Class, from ...[]*creditor) {
	for _, all := range from {
		for order := newCreditorOrder(all); r.left > 0; {
			c := order.next()
			if c == nil {
				break
			}
			r.takeOf(c, below)
		}
	}
	for rank := range r.gathered {
		for _, h := range r.gathered[rank] {
			r.revoke(h)
		}
		r.gathered[rank] = nil
	}
}

// takeOf revokes or gathers the holders of one account.
func (r *ledgerReclaim) takeOf(c *creditor, below Class) {
	for _, of := range c.account.registrations() {
		class := of.holder.Class()
		if of.pool.bytes == 0 || class >= below {
			continue
		}
		rank := class
		if c.proved && !r.anybody {
			rank += Busy
		}
		if h := (memoryHolder{of, class, c}); rank == 0 {
			r.revoke(h)
		} else if len(r.gathered[rank]) < maxGathered {
			r.gathered[rank] = append(r.gathered[rank], h)
		}
	}
}

// revoke revokes a holder if that is still wanted of its account.
func (r *ledgerReclaim) revoke(h memoryHolder) {
	if r.left <= 0 || h.of.room <= 0 {
		return
	}
	n := h.pool.bytes * h.holder.Revoke(h.class)
	if n <= 0 {
		return
	}
	r.left -= n
	r.taken += n
	h.of.room -= n
	if h.of.excess > 0 && h.pool.pauses {
		h.of.account.pause(r.now)
	}
	h.pool.mu.Lock()
	defer h.pool.mu.Unlock()
	h.pool.revoked++
}

// creditor is an account that memory is taken back from.
type creditor struct {
	account *Account
	excess  int64 // bytes that it holds above its share; negative below it
	network int64 // bytes that its network holds
	proved  bool
	room    int64 // bytes that it can still lose
}

// creditors returns the accounts that hold more than their share, and those that hold less, from which
// only what is of no use to them may be taken.
func (l *Ledger) creditors() (above, rest []*creditor) {
	s, holdings := l.current()
	all := make([]creditor, len(holdings))
	for i, h := range holdings {
		share := s.held / (int64(len(s.networks)) * h.network.accounts)
		c := &all[i]
		*c = creditor{account: h.account, excess: h.held - share, network: h.network.held, proved: h.account.HasProved(), room: h.held - share}
		if c.excess > 0 {
			above = append(above, c)
		} else {
			rest = append(rest, c)
		}
	}
	return above, rest
}

// creditorOrder gives creditors in their order: first those whose networks hold most, and of them
// those that are farthest above their share. Usually the first ones hold enough, so not all of them are
// put in order.
type creditorOrder []*creditor

func newCreditorOrder(all []*creditor) *creditorOrder {
	o := creditorOrder(all)
	heap.Init(&o)
	return &o
}

// next returns the next one, or nil.
func (o *creditorOrder) next() *creditor {
	if len(*o) == 0 {
		return nil
	}
	return heap.Pop(o).(*creditor)
}

func (o *creditorOrder) Len() int      { return len(*o) }
func (o *creditorOrder) Swap(i, j int) { (*o)[i], (*o)[j] = (*o)[j], (*o)[i] }

func (o *creditorOrder) Less(i, j int) bool {
	a, b := (*o)[i], (*o)[j]
	if a.network != b.network {
		return a.network > b.network
	}
	return a.excess > b.excess
}

// Push implements [heap.Interface]; nothing is added later.
func (o *creditorOrder) Push(any) { panic("BUG: a creditor is added") }

// Pop implements [heap.Interface].
func (o *creditorOrder) Pop() any {
	end := len(*o) - 1
	last := (*o)[end]
	*o = (*o)[:end]
	return last
}
