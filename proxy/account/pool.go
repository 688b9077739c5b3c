package account

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// Kind is what units are acquired for.
type Kind int

// The kinds. A write may use the reserve.
const (
	Ordinary Kind = iota
	Write
	numKinds
)

// Options describes a [Pool].
type Options struct {
	// Name names the pool in metrics and on the status page.
	Name string
	// Unit is what one unit stands for in the status, in bytes for example; 0 means 1.
	Unit int64
	// Bytes is the memory of the process that one unit stands for; 0 if the units are no
	// memory, or are charged to another pool as well. See [Ledger].
	Bytes int64
	// Total is the number of units. The highest number is 2^31-1.
	Total int64
	// Reserve is the number of units that only writes can use. At least one unit is left
	// for everything else.
	Reserve int64
	// ForNewcomers makes the reserve one for accounts that stay within their share, even if
	// one more network came. It is for pools of which nothing is acquired for a write.
	ForNewcomers bool
	// Connections is set if the holders are connections. The client of one that was revoked
	// pauses before its next one; see [Account.Pause].
	Connections bool
	// PerAccount bounds the units of one account; 0 means that only the total does.
	PerAccount int64
	// Queue bounds the number of waiters; 0 means 1,024. When there are more, the account
	// with the most waiters, of the network with the most, loses its last one.
	Queue int
}

// Pool is a resource of which a number of units exists. Its methods may be called
// concurrently.
type Pool struct {
	name       string
	unit       int64
	bytes      int64
	table      *Table
	index      int
	newcomers  bool
	pauses     bool
	perAccount int64
	maxWaiters int

	// state holds the units in use in its lowest 32 bits, those of them that were not
	// acquired for writes in the next 31, and in the highest one whether there are waiters.
	state atomic.Uint64
	fast  atomic.Int64 // up to this many units are acquired without the lock

	mu             sync.Mutex
	total, reserve int64
	queue          queue
	usages         usages
	reclaimTimer   *time.Timer // nil if nobody waits
	nextReclaim    time.Time   // the earliest time of the next reclaim
	promised       int64       // units that revoked holders have yet to release
	promisedAt     time.Time
	early          int64  // units released since the last reclaim began, beyond those promised before it
	revoked        uint64 // holders
	evicted        uint64 // waiters that lost their place, or waited too long
	evictedAt      time.Time
	congestion     congestion
	peak           int64 // the highest number of units that were acquired with the lock since the last [Pool.Peak]
}

const (
	allMask      = 1<<32 - 1
	ordinaryOne  = 1 << 32
	ordinaryMask = 1<<31 - 1
	waitersFlag  = 1 << 63
)

// The errors of [Pool.Acquire], beside that of its context.
var (
	// ErrBusy means that too many others wait.
	ErrBusy = errors.New("too many requests are waiting")
	// ErrTooMany means that the account has reached its own limit.
	ErrTooMany = errors.New("the client has reached its limit")
	// ErrTooLarge means that the pool never has so many units.
	ErrTooLarge = errors.New("more is requested than there is")
)

// NewPool adds a pool to the table. A table has at most 16 pools, and they live as long as
// the table.
func (t *Table) NewPool(o Options) *Pool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.pools) == maxPools {
		panic(fmt.Sprintf("BUG: a table has more than %d pools", maxPools))
	}
	if o.Queue == 0 {
		o.Queue = 1024
	}
	p := &Pool{
		name: o.Name, unit: max(1, o.Unit), bytes: o.Bytes, table: t, index: len(t.pools), newcomers: o.ForNewcomers, pauses: o.Connections, perAccount: o.PerAccount, maxWaiters: o.Queue,
		usages: newUsages(len(t.pools)),
	}
	p.queue = newQueue(&p.usages)
	p.Resize(o.Total, o.Reserve)
	t.pools = append(t.pools, p)
	return p
}

// Resize changes the total and the reserve. If more is in use than the new total, nothing is
// granted until enough has been released.
func (p *Pool) Resize(total, reserve int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total = max(1, min(total, math.MaxInt32))
	p.reserve = max(0, min(reserve, p.total-1))
	p.fast.Store(min(p.total*3/4, p.total-p.reserve))
	p.grantWaiters()
}

// Acquire acquires n units for an account, and waits for its turn if there are not enough.
// The units must be released with the same arguments. The error is that of ctx, or one of
// the errors of this package. ctx ends only the wait: if there are enough units, they are
// acquired even if ctx has ended.
func (p *Pool) Acquire(ctx context.Context, a *Account, n int64, k Kind) error {
	if p.acquireFast(a, n, k) {
		return nil
	}
	return p.acquireSlowly(ctx, a, n, k)
}

// TryAcquire is like Acquire but does not wait. It fails if others wait that come first.
func (p *Pool) TryAcquire(a *Account, n int64, k Kind) bool {
	return p.acquireFast(a, n, k) || p.tryAcquireSlowly(a, n, k)
}

// Release releases what was acquired.
func (p *Pool) Release(a *Account, n int64, k Kind) {
	if a.used[p.index].Add(int32(-n)) < 0 {
		panic("BUG: account " + a.String() + " released more of pool " + p.name + " than it held")
	}
	if p.state.Add(-p.weight(n, k))&waitersFlag != 0 {
		p.releasedWhileWaiting(a, n)
	}
}

// weight returns what n units add to the state.
func (p *Pool) weight(n int64, k Kind) uint64 {
	if k == Ordinary && !p.newcomers {
		return uint64(n)*ordinaryOne + uint64(n)
	}
	return uint64(n)
}

// acquireFast acquires units if nobody waits, the pool has many, and the account stays below
// its limit.
func (p *Pool) acquireFast(a *Account, n int64, k Kind) bool {
	if n <= 0 || n > math.MaxInt32 {
		return false
	}
	limit, weight := p.fast.Load(), p.weight(n, k)
	for {
		state := p.state.Load()
		if state&waitersFlag != 0 || int64(state&allMask)+n > limit {
			return false
		}
		if p.state.CompareAndSwap(state, state+weight) {
			break
		}
	}
	if used := a.used[p.index].Add(int32(n)); p.perAccount > 0 && int64(used) > p.perAccount {
		p.Release(a, n, k)
		return false
	}
	return true
}

// take acquires units within the exact limits, whoever waits; p.mu is held.
func (p *Pool) take(a *Account, n int64, k Kind) bool {
	weight := p.weight(n, k)
	limit := p.total
	if p.newcomers && !p.newcomer(a, n) {
		limit -= p.reserve
	}
	for {
		state := p.state.Load()
		all, ordinary := int64(state&allMask), int64(state>>32&ordinaryMask)
		if all+n > limit || k == Ordinary && !p.newcomers && ordinary+n > p.total-p.reserve {
			return false
		}
		if p.state.CompareAndSwap(state, state+weight) {
			a.used[p.index].Add(int32(n))
			p.usages.add(a, n)
			p.queue.moved(a)
			p.peak = max(p.peak, all+n)
			return true
		}
	}
}
