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

	surveying sync.Mutex // is held during a survey

	mu   sync.Mutex
	last *ledgerSurvey
	due  time.Time // of the next survey
}

// ledgerSurvey is what networks held at one moment. It does not change.
type ledgerSurvey struct {
	held     int64
	networks map[netip.Prefix]*usage
}

// accountHolding is the memory that one account holds, beside all of its network.
type accountHolding struct {
	account *Account
	held    int64
	network *usage
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
	s := l.recent()
	networks := int64(len(s.networks)) + 1
	accounts := int64(1)
	if network := s.networks[a.key.network]; network != nil {
		accounts = max(1, network.accounts)
	} else {
		networks++
	}
	return l.heldBy(a)*networks*accounts <= s.held
}

// recent returns the last survey, and makes one if it is too old. It does not wait while somebody
// else makes one: surveys last for as long as there are accounts to look at, and every request asks.
func (l *Ledger) recent() *ledgerSurvey {
	l.mu.Lock()
	last, due := l.last, l.due
	l.mu.Unlock()
	if last != nil && time.Now().Before(due) {
		return last
	}
	if last != nil {
		if !l.surveying.TryLock() {
			return last
		}
		defer l.surveying.Unlock()
		last, _ = l.survey()
		return last
	}
	last, _ = l.current()
	return last
}

// current makes a survey.
func (l *Ledger) current() (*ledgerSurvey, []accountHolding) {
	l.surveying.Lock()
	defer l.surveying.Unlock()
	return l.survey()
}

// survey looks at all accounts, and returns those that hold something as well; l.surveying is held.
func (l *Ledger) survey() (s *ledgerSurvey, all []accountHolding) {
	began := time.Now()
	s = &ledgerSurvey{networks: make(map[netip.Prefix]*usage)}
	pools := l.memoryPools()
	l.table.each(func(a *Account) {
		held := int64(0)
		for _, p := range pools {
			held += p.bytes * a.Held(p)
		}
		if held == 0 {
			return
		}
		network := s.networks[a.key.network]
		if network == nil {
			network = &usage{}
			s.networks[a.key.network] = network
		}
		network.held += held
		network.accounts++
		s.held += held
		all = append(all, accountHolding{a, held, network})
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last, l.due = s, began.Add(max(surveyEvery, surveyShare*time.Since(began)))
	return s, all
}

// memoryPools returns the pools whose units are memory.
func (l *Ledger) memoryPools() []*Pool {
	return slices.DeleteFunc(l.table.Pools(), func(p *Pool) bool { return p.bytes == 0 })
}

// MemoryHolding is the memory that one account holds.
type MemoryHolding struct {
	Account, Network string
	Bytes            int64
	Proved           bool // see [Account.HasProved]
}

// Top returns the accounts that hold the most memory, at most limit of them.
func (l *Ledger) Top(limit int) []MemoryHolding {
	_, all := l.current()
	list := make([]MemoryHolding, 0, len(all))
	for _, h := range all {
		list = append(list, MemoryHolding{Account: h.account.String(), Network: h.account.Network(), Bytes: h.held, Proved: h.account.HasProved()})
	}
	slices.SortFunc(list, func(a, b MemoryHolding) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Account, b.Account))
	})
	return list[:min(limit, len(list))]
}
