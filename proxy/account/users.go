package account

import (
	"net/netip"
	"sync"
	"sync/atomic"
)

// maxUsers is the number of accounts of users that one connection keeps open. Clients have one
// user; programs that pass on the requests of others may have more.
const maxUsers = 4

// Users keeps the accounts of the users of one connection open, so that a request finds its
// account without a lock. Its methods may be called concurrently. A nil Users has no accounts.
type Users struct {
	table *Table
	addr  netip.Addr
	open  [maxUsers]atomic.Pointer[Account]

	mu     sync.Mutex
	closed bool
}

// Users returns the accounts of users that authenticate from an address. [Users.Close] must be
// called.
func (t *Table) Users(addr netip.Addr) *Users { return &Users{table: t, addr: addr} }

// Account returns the account of a user, which stays open until the connection is closed. It
// returns nil if the name is empty, the connection is closed, or it has too many users: then the
// account of the address is charged.
func (u *Users) Account(name string) *Account {
	if u == nil || name == "" {
		return nil
	}
	for i := range u.open {
		a := u.open[i].Load()
		if a == nil {
			return u.add(name)
		}
		if a.key.user == name {
			return a
		}
	}
	return nil
}

func (u *Users) add(name string) *Account {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return nil
	}
	for i := range u.open {
		a := u.open[i].Load()
		if a == nil {
			a = u.table.User(name, u.addr)
			a.Proved()
			u.open[i].Store(a)
			return a
		}
		if a.key.user == name {
			return a
		}
	}
	return nil
}

// Close closes the accounts.
func (u *Users) Close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closed = true
	for i := range u.open {
		if a := u.open[i].Swap(nil); a != nil {
			a.Close()
		}
	}
}
