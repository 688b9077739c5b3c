package account

import (
	"fmt"
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// Table finds the account of each client. An account is in the table only while it is in
// use, so that the number of connections bounds the table.
type Table struct {
	seed      maphash.Seed
	shards    [numShards]shard
	good, bad *memory // accounts that proved a password, and accounts that had a holder revoked

	mu    sync.Mutex
	pools []*Pool
}

const numShards = 64

type shard struct {
	mu       sync.Mutex
	accounts map[key]*Account
}

// NewTable returns an empty table.
func NewTable() *Table {
	t := &Table{seed: maphash.MakeSeed(), good: newMemory(), bad: newMemory()}
	for i := range t.shards {
		t.shards[i].accounts = make(map[key]*Account)
	}
	return t
}

// Address returns the account of an address, for one connection. Clients of unix sockets,
// which have no valid address, share one account. [Account.Close] must be called.
func (t *Table) Address(addr netip.Addr) *Account {
	addr = addr.Unmap().WithZone("")
	return t.open(key{network: networkOf(addr), client: clientOf(addr)})
}

// User returns the account of a user that has authenticated from an address.
// [Account.Close] must be called.
func (t *Table) User(name string, addr netip.Addr) *Account {
	if name == "" {
		panic("BUG: the account of a user without a name")
	}
	return t.open(key{network: networkOf(addr.Unmap().WithZone("")), user: name})
}

// clientOf returns the prefix that stands for one client. A client that has one address of a
// /64 has all of them.
func clientOf(addr netip.Addr) netip.Prefix { return prefixOf(addr, 32, 64) }

// networkOf returns the prefix that is usually assigned to one organization.
func networkOf(addr netip.Addr) netip.Prefix { return prefixOf(addr, 24, 48) }

func prefixOf(addr netip.Addr, bits4, bits6 int) netip.Prefix {
	bits := bits4
	if addr.Is6() {
		bits = bits6
	}
	prefix, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // not a valid address
	}
	return prefix
}

func (t *Table) shard(k key) *shard {
	return &t.shards[maphash.Comparable(t.seed, k)%numShards]
}

func (t *Table) open(k key) *Account {
	s := t.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accounts[k]
	if a == nil {
		a = &Account{table: t, key: k}
		s.accounts[k] = a
		t.recall(a)
	}
	a.refs++
	return a
}

// recall restores what is remembered of an account.
func (t *Table) recall(a *Account) {
	if at := t.good.at(a.key); !at.IsZero() && time.Since(at) < provedFor {
		a.proved.Store(true)
	}
	if at := t.bad.at(a.key); !at.IsZero() {
		a.paused.Store(at.Add(pauseLength).UnixNano())
	}
}

func (t *Table) release(a *Account) {
	s := t.shard(a.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.refs--; a.refs > 0 {
		return
	}
	if a.refs < 0 {
		panic("BUG: account " + a.String() + " was closed more often than opened")
	}
	delete(s.accounts, a.key)
	if a.proved.Load() {
		t.good.note(a.key, time.Now())
	}
}

// each calls f for every account. f must not use the table.
func (t *Table) each(f func(*Account)) {
	for i := range t.shards {
		t.shards[i].each(f)
	}
}

func (s *shard) each(f func(*Account)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.accounts {
		f(a)
	}
}

// Len returns the number of accounts in use.
func (t *Table) Len() (n int) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		n += len(s.accounts)
		s.mu.Unlock()
	}
	return n
}

// memory remembers a bounded number of accounts, and when each was noted. Accounts
// themselves exist only while they are in use.
type memory struct {
	mu    sync.Mutex
	noted *simplelru.LRU[key, time.Time]
}

// maxRemembered is the number of accounts that a memory remembers. Each takes about 200 bytes.
const maxRemembered = 4096

// provedFor is how long an account without connections is still known to have proved a
// password. It outlasts a restart of all clients behind one address.
const provedFor = time.Hour

func newMemory() *memory {
	noted, err := simplelru.NewLRU[key, time.Time](maxRemembered, nil)
	if err != nil {
		panic(fmt.Sprintf("BUG: an LRU of %d accounts: %v", maxRemembered, err))
	}
	return &memory{noted: noted}
}

// note remembers an account. When there are too many, the account that was noted or asked for
// the longest time ago is forgotten.
func (m *memory) note(k key, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.noted.Add(k, now)
}

// at returns when the account was noted, or the zero time.
func (m *memory) at(k key) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, _ := m.noted.Get(k)
	return at
}
