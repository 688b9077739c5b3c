package account

import "context"

// Lease charges bytes to an account, in a pool whose unit is [LeaseUnit]. It acquires units in
// larger amounts, so that a body that grows a little does not use the pool each time. The zero
// Lease is not usable; see [NewLease]. A Lease must not be used concurrently.
type Lease struct {
	pool    *Pool
	account *Account
	kind    Kind
	used    int64 // bytes
	held    int64 // units
}

const (
	// LeaseUnit is the number of bytes of one unit. A pool can hold 2 TiB.
	LeaseUnit = 1 << 10
	// leaseStep is the number of units by which a lease grows.
	leaseStep = 16
)

// NewLease returns a lease of no bytes.
func NewLease(p *Pool, a *Account, k Kind) Lease { return Lease{pool: p, account: a, kind: k} }

// Grow charges n more bytes before they are allocated. It waits for its turn; see
// [Pool.Acquire].
func (l *Lease) Grow(ctx context.Context, n int64) error {
	more := l.missing(n)
	if more > 0 {
		if err := l.pool.Acquire(ctx, l.account, more, l.kind); err != nil {
			return err
		}
	}
	l.held += more
	l.used += n
	return nil
}

// TryGrow is like Grow but does not wait.
func (l *Lease) TryGrow(n int64) bool {
	more := l.missing(n)
	if more > 0 && !l.pool.TryAcquire(l.account, more, l.kind) {
		return false
	}
	l.held += more
	l.used += n
	return true
}

// missing returns the units that are missing for n more bytes.
func (l *Lease) missing(n int64) int64 { return max(0, steps(l.used+n)-l.held) }

// steps returns the units that a lease of so many bytes holds.
func steps(bytes int64) int64 {
	const step = leaseStep * LeaseUnit
	return (bytes + step - 1) / step * leaseStep
}

// Bytes returns the number of bytes that are charged.
func (l *Lease) Bytes() int64 { return l.used }

// Units returns the units that these bytes fill.
func (l *Lease) Units() int64 { return (l.used + LeaseUnit - 1) / LeaseUnit }

// Close returns everything. The lease can be used again.
func (l *Lease) Close() {
	if l.held > 0 {
		l.pool.Release(l.account, l.held, l.kind)
	}
	l.used, l.held = 0, 0
}
