package account

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Ledger adds up the memory that accounts hold in all pools of a table together; see
// [Options.Bytes]. It says who may have more while the memory of the process is short, and
// takes memory back.
//
// The share of an account is a part of what all accounts hold together, and not of the
// memory that there is: the pools cannot know everything that the process needs. So those
// that hold most give up something whenever memory is short, and those that hold little
// do not.
type Ledger struct {
	table *Table

	mu       sync.Mutex
	held     int64 // by all accounts
	networks map[netip.Prefix]*usage
	due      time.Time // of the next survey
}

// NewLedger returns the ledger of a table.
func (t *Table) NewLedger() *Ledger { return &Ledger{table: t} }

// heldBy returns the bytes that an account holds.
func (l *Ledger) heldBy(a *Account) (bytes int64) {
	for _, p := range l.table.Pools() {
		bytes += p.bytes * a.Held(p)
	}
	return bytes
}

// Held returns the bytes that all accounts hold.
func (l *Ledger) Held() (bytes int64) {
	for _, p := range l.table.Pools() {
		bytes += p.bytes * p.Used()
	}
	return bytes
}

// Modest reports whether an account holds no more than its share, even if one more network
// came: an account that is alone is not modest. It may be wrong for as long as a survey lasts.
// Reading what all accounts hold takes a while, so it is for times when memory is short.
func (l *Ledger) Modest(a *Account) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); !now.Before(l.due) {
		l.survey(now)
	}
	networks := int64(len(l.networks)) + 1
	accounts := int64(1)
	if network := l.networks[a.key.network]; network != nil {
		accounts = max(1, network.accounts)
	} else {
		networks++
	}
	return l.heldBy(a)*networks*accounts <= l.held
}

// survey counts all accounts; l.mu is held.
func (l *Ledger) survey(now time.Time) (all []*Account) {
	l.held, l.networks = 0, make(map[netip.Prefix]*usage)
	pools := l.table.Pools()
	l.table.each(func(a *Account) {
		held := int64(0)
		for _, p := range pools {
			held += p.bytes * a.Held(p)
		}
		if held == 0 {
			return
		}
		network := l.networks[a.key.network]
		if network == nil {
			network = &usage{}
			l.networks[a.key.network] = network
		}
		network.held += held
		network.accounts++
		l.held += held
		all = append(all, a)
	})
	l.due = now.Add(max(surveyEvery, surveyShare*time.Since(now)))
	return all
}

// MemoryHolding is the memory that one account holds.
type MemoryHolding struct {
	Account, Network string
	Bytes            int64
	Proved           bool // see [Account.HasProved]
}

// Top returns the accounts that hold the most memory, at most limit of them.
func (l *Ledger) Top(limit int) []MemoryHolding {
	l.mu.Lock()
	all := l.survey(time.Now())
	l.mu.Unlock()
	list := make([]MemoryHolding, 0, len(all))
	for _, a := range all {
		list = append(list, MemoryHolding{Account: a.String(), Network: a.Network(), Bytes: l.heldBy(a), Proved: a.HasProved()})
	}
	slices.SortFunc(list, func(a, b MemoryHolding) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Account, b.Account))
	})
	return list[:min(limit, len(list))]
}

// creditor is an account that memory is taken back from.
type creditor struct {
	account *Account
	excess  int64 // bytes that it can lose
	network int64 // bytes that its network holds
	proved  bool
	above   bool // it holds more than its share
}

// creditors returns the accounts that hold more than their share, and then those that hold
// less, from which only what is of no use to them may be taken.
func (l *Ledger) creditors() (above, rest []creditor) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.survey(time.Now()) {
		network, held := l.networks[a.key.network], l.heldBy(a)
		share := l.held / (int64(len(l.networks)) * network.accounts)
		c := creditor{account: a, excess: held - share, network: network.held, proved: a.HasProved()}
		if c.above = c.excess > 0; c.above {
			above = append(above, c)
		} else {
			rest = append(rest, c)
		}
	}
	for _, all := range [][]creditor{above, rest} {
		slices.SortFunc(all, func(a, b creditor) int {
			return cmp.Or(cmp.Compare(b.network, a.network), cmp.Compare(b.excess, a.excess))
		})
	}
	return above, rest
}
