package account

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// maxPools is the number of pools of a table. The counts of an account then fill one line of
// the processor's cache.
const maxPools = 16

// Account counts what one client holds of each pool.
type Account struct {
	used [maxPools]atomic.Int32

	table  *Table
	key    key
	refs   int          // guarded by the shard's lock
	proved atomic.Bool  // a password was verified
	paused atomic.Int64 // the end of the pause, in nanoseconds since 1970; 0 for none

	mu      sync.Mutex
	holders map[registration]struct{}

	surveyed [maxPools]uint32 // the pool's survey that has counted the account; guarded by the pool's lock
}

// key identifies an account.
type key struct {
	network netip.Prefix
	client  netip.Prefix // of an address
	user    string       // of a user; "" for an address
}

// registration is one holder of one pool.
type registration struct {
	pool   *Pool
	holder Holder
}

// Reopen begins another use of an account that is in use, which outlasts the first one. It
// must be closed as well.
func (a *Account) Reopen() *Account { return a.table.open(a.key) }

// Close ends a use of the account, which [Table.Address] or [Table.User] began. Everything
// that was acquired during this use must have been released.
func (a *Account) Close() { a.table.release(a) }

// String returns the address, or the name of the user and its network.
func (a *Account) String() string {
	switch {
	case a.key.user != "":
		return a.key.user + " from " + a.Network()
	case !a.key.client.IsValid():
		return "local"
	case a.key.client.Addr().Is4():
		return a.key.client.Addr().String()
	}
	return a.key.client.String()
}

// Network returns the network that takes turns with others.
func (a *Account) Network() string {
	if !a.key.network.IsValid() {
		return "local"
	}
	return a.key.network.String()
}

// Held returns the number of units that the account holds of a pool.
func (a *Account) Held(p *Pool) int64 { return int64(a.used[p.index].Load()) }

// Proved records that a client of the account has proved a password. Calling it for each
// request costs one atomic load.
func (a *Account) Proved() {
	if !a.proved.Load() {
		a.proved.Store(true) // remembered when the account is closed
	}
}

// HasProved reports whether a client of the account has proved a password lately: since
// the account was opened, or in the hour before that.
func (a *Account) HasProved() bool { return a.proved.Load() }

// Pause returns how long the account should wait before its next connection: the rest of a
// second since one of its connections was revoked for the sake of others.
func (a *Account) Pause() time.Duration {
	end := a.paused.Load()
	if end == 0 {
		return 0
	}
	return max(0, time.Until(time.Unix(0, end)))
}

// pauseLength keeps a client that connects again at once from winning back what was revoked
// before others could use it.
const pauseLength = time.Second

// pause starts the pause of an account that had a connection revoked.
func (a *Account) pause(now time.Time) {
	a.paused.Store(now.Add(pauseLength).UnixNano())
	a.table.bad.note(a.key, now)
}
