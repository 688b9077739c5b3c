package account

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"
)

// Rate bounds how often clients do what uses the processor, waits for nothing else, and is rarely of
// use. Nobody is refused for being too fast: the next unit waits until it is due, so that a large
// network of honest clients is slowed down at worst. Each account has the rate of its own, and all
// accounts of a network have that of the network together.
//
// The units of a second may be used at once by whoever has used none before.
type Rate struct {
	seed     maphash.Seed
	started  time.Time
	accounts schedules
	networks schedules
}

// NewRate returns a rate of so many units per second for an account, and for a network.
func NewRate(account, network int) *Rate {
	return &Rate{
		seed: maphash.MakeSeed(), started: time.Now(),
		accounts: schedules{every: time.Second / time.Duration(account)},
		networks: schedules{every: time.Second / time.Duration(network)},
	}
}

// MaxWait is the longest time that a unit waits.
const MaxWait = 2 * time.Second

// Reserve takes the next unit of an account, and returns how long the caller must wait before it uses
// it. It takes nothing and reports false if that is longer than [MaxWait]: too many clients of the
// account or its network wait already.
func (r *Rate) Reserve(a *Account) (wait time.Duration, ok bool) {
	now := time.Since(r.started)
	own := r.accounts.of(maphash.Comparable(r.seed, a.key))
	all := r.networks.of(maphash.Comparable(r.seed, networkKey{a.key.network}))
	if max(own.wait(now), all.wait(now)) > MaxWait {
		return 0, false
	}
	return max(own.reserve(now, r.accounts.every), all.reserve(now, r.networks.every)), true
}

// networkKey keeps hashes of networks apart from those of accounts.
type networkKey struct{ prefix netip.Prefix }

// maxSchedules is the number of schedules. Accounts come and go, and must not begin anew with each of
// their connections, so a schedule belongs to no account: accounts whose hashes are equal share it.
// Nobody else knows these hashes.
const maxSchedules = 1 << 13

// schedules are the schedules of all accounts, or of all networks.
type schedules struct {
	every time.Duration
	all   [maxSchedules]schedule
}

func (s *schedules) of(hash uint64) *schedule { return &s.all[hash%maxSchedules] }

// schedule says when the units that were taken are used up, in nanoseconds since the start of the
// rate. It may be ahead of the clock by a second without a wait.
type schedule struct{ end atomic.Int64 }

// maxAhead is how far that may be.
const maxAhead = time.Second

// wait returns how long one must wait for what was taken last.
func (s *schedule) wait(now time.Duration) time.Duration {
	return max(0, time.Duration(s.end.Load())-now-maxAhead)
}

// reserve takes a unit, and returns how long one must wait for it.
func (s *schedule) reserve(now, every time.Duration) time.Duration {
	for {
		end := s.end.Load()
		next := max(end, int64(now)) + int64(every)
		if s.end.CompareAndSwap(end, next) {
			return max(0, time.Duration(next)-now-maxAhead)
		}
	}
}
