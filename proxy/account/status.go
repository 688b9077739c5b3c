package account

import (
	"cmp"
	"slices"
	"time"
)

// Status describes a pool at one moment. Amounts are multiplied by [Options.Unit].
type Status struct {
	Name                 string
	Unit                 int64
	Total, Reserve, Used int64
	// Waiting is the number of waiters, and WaitingSince the time since which there have been
	// some again and again. It is zero unless that has lasted for a while.
	Waiting      int64
	WaitingSince time.Time
	// Revoked counts the holders that were revoked since the start, and Evicted the waiters
	// that lost their place because too many waited, or that waited until their deadline.
	Revoked, Evicted uint64
	EvictedAt        time.Time // the last of these waiters; zero if there was none
}

// Holding is what one account holds of a pool.
type Holding struct {
	Account string // for operators; see [Account.String]
	Network string
	Used    int64 // as in [Status]
	Proved  bool  // see [Account.HasProved]
}

// Status returns the state of the pool.
func (p *Pool) Status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Status{
		Name: p.name, Unit: p.unit, Total: p.total * p.unit, Reserve: p.reserve * p.unit,
		Used: p.Used() * p.unit, Waiting: int64(p.queue.len), WaitingSince: p.congestion.lasting(time.Now(), p.queue.len > 0),
		Revoked: p.revoked, Evicted: p.evicted, EvictedAt: p.evictedAt,
	}
}

// Used returns the number of units in use.
func (p *Pool) Used() int64 { return int64(p.state.Load() & allMask) }

// Peak returns the highest use since the last call, in the unit of [Status]. It is exact if
// three quarters of the pool were in use at some time: units below that are acquired without a
// lock, and seen only now.
func (p *Pool) Peak() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	peak := max(p.peak, p.Used())
	p.peak = 0
	return peak * p.unit
}

// Wanted returns the number of units that an account holds and waits for.
func (p *Pool) Wanted(a *Account) int64 {
	held := a.Held(p)
	if p.state.Load()&waitersFlag == 0 {
		return held
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return held + p.queue.unitsOf(a)
}

// Top returns the accounts that hold the most of the pool, at most limit of them.
func (p *Pool) Top(limit int) []Holding {
	var all []Holding
	p.table.each(func(a *Account) {
		if held := a.Held(p); held > 0 {
			all = append(all, Holding{Account: a.String(), Network: a.Network(), Used: held * p.unit, Proved: a.HasProved()})
		}
	})
	slices.SortFunc(all, func(a, b Holding) int {
		return cmp.Or(cmp.Compare(b.Used, a.Used), cmp.Compare(a.Account, b.Account))
	})
	return all[:min(limit, len(all))]
}

// Pools returns the pools in the order in which they were added.
func (t *Table) Pools() []*Pool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.pools)
}
