package account

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Tally adds up what accounts have used of something that is not given back, such as bytes that were
// written. It forgets with time. Its zero value is empty, and a nil Tally takes nothing.
type Tally struct {
	mu    sync.Mutex
	total int64
	// last and before are the sums of the period that runs, since its begin, and of the one before.
	last, before map[key]int64
	since        time.Time
	// networks are the sums of networks at a time.
	networks map[netip.Prefix]networkSum
	most     int64 // the largest of them
	counted  time.Time
}

// networkSum is what the accounts of a network have used together.
type networkSum struct {
	sum      int64
	accounts int
}

const (
	// tallyPeriod is for how long sums are remembered at least, and half of how long at most. Who has
	// used much is found while that matters, and not for ever.
	tallyPeriod = 30 * time.Minute
	// maxTallied is the number of accounts of a period. The one with the smallest sum leaves its place, and
	// its sum, to a new one. So a sum is too large by at most the total divided by this number, and
	// whoever has used more than that is never left out.
	maxTallied = 256
)

// Add adds an amount to the sum of an account.
func (t *Tally) Add(a *Account, amount int64) {
	if t == nil || a == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.turn(time.Now())
	t.total += amount
	if _, known := t.last[a.key]; !known && len(t.last) >= maxTallied {
		least := a.key
		for k, sum := range t.last {
			if least == a.key || sum < t.last[least] {
				least = k
			}
		}
		t.last[a.key] = t.last[least]
		delete(t.last, least)
	}
	t.last[a.key] += amount
}

// turn begins a period if it is time to do so.
func (t *Tally) turn(now time.Time) {
	age := now.Sub(t.since)
	if t.last != nil && age < tallyPeriod {
		return
	}
	t.before = t.last
	if age >= 2*tallyPeriod {
		t.before = nil
	}
	t.last, t.since = make(map[key]int64), now
}

// countedFor is how old the sums of networks may be. Whoever is refused because of them may ask often.
const countedFor = 100 * time.Millisecond

// Standing is what an account has used, beside others.
type Standing struct {
	// Own is the sum of the account, and Network that of all accounts of its network, of which there
	// are so many.
	Own, Network int64
	Accounts     int
	// Most is the sum of the network that has used most.
	Most int64
}

// Standing returns the standing of an account.
func (t *Tally) Standing(a *Account) Standing {
	if t == nil || a == nil {
		return Standing{}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	t.turn(now)
	if t.networks == nil || now.Sub(t.counted) >= countedFor {
		t.countNetworks(now)
	}
	n := t.networks[a.key.network]
	return Standing{Own: t.last[a.key] + t.before[a.key], Network: n.sum, Accounts: n.accounts, Most: t.most}
}

// countNetworks adds up what networks have used; t.mu is held.
func (t *Tally) countNetworks(now time.Time) {
	t.counted, t.most, t.networks = now, 0, make(map[netip.Prefix]networkSum)
	for k, sum := range t.sumsLocked() {
		n := t.networks[k.network]
		n = networkSum{n.sum + sum, n.accounts + 1}
		t.networks[k.network], t.most = n, max(t.most, n.sum)
	}
}

// Total returns the sum of all amounts since the start.
func (t *Tally) Total() int64 {
	if t == nil {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.total
}

// Top returns the accounts with the largest sums, at most limit of them.
func (t *Tally) Top(limit int) []Holding {
	if t == nil {
		return nil
	}
	var all []Holding
	for k, sum := range t.sums() {
		a := &Account{key: k}
		all = append(all, Holding{Account: a.String(), Network: a.Network(), Used: sum})
	}
	slices.SortFunc(all, func(a, b Holding) int {
		return cmp.Or(cmp.Compare(b.Used, a.Used), cmp.Compare(a.Account, b.Account))
	})
	return all[:min(limit, len(all))]
}

func (t *Tally) sums() map[key]int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.turn(time.Now())
	return t.sumsLocked()
}

// sumsLocked returns the sums of all accounts; t.mu is held.
func (t *Tally) sumsLocked() map[key]int64 {
	sums := make(map[key]int64, len(t.last)+len(t.before))
	for _, period := range []map[key]int64{t.last, t.before} {
		for k, sum := range period {
			sums[k] += sum
		}
	}
	return sums
}
