package account

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
)

func TestAConnectionKeepsTheAccountsOfItsUsers(t *testing.T) {
	table := NewTable()
	addr := netip.MustParseAddr("192.0.2.1")
	u := table.Users(addr)
	first := u.Account("root")
	if first == nil || first.String() != "root from 192.0.2.0/24" || !first.HasProved() {
		t.Fatalf("the account of a user: got %v, want root's, with a proof", first)
	}
	if again := u.Account("root"); again != first {
		t.Errorf("the account of the same user again: got %p, want %p", again, first)
	}
	if other := table.Users(addr).Account("root"); other != first {
		t.Errorf("the account of the same user on another connection: got %p, want %p", other, first)
	} else {
		other.Close()
	}
	for i := range 6 {
		if a, want := u.Account(fmt.Sprint(i)), i+2 <= 4; (a != nil) != want {
			t.Errorf("user %d of the connection: got an account %v, want %v: a connection has four", i+2, a != nil, want)
		}
	}
	if again := u.Account("root"); again != first {
		t.Errorf("the account of a user of a connection with four: got %p, want %p", again, first)
	}
	if a := u.Account(""); a != nil {
		t.Errorf("the account of nobody: got %v, want none", a)
	}
	u.Close()
	if n := table.Len(); n != 0 {
		t.Errorf("after the connection: got %d accounts in use, want 0", n)
	}
	if a := u.Account("late"); a != nil {
		t.Errorf("an account on a closed connection: got %v, want none", a)
	}
	if a := (*Users)(nil).Account("root"); a != nil {
		t.Errorf("an account without a connection: got %v, want none", a)
	}
}

func TestConcurrentRequestsOfAUserHaveOneAccount(t *testing.T) {
	table := NewTable()
	u := table.Users(netip.MustParseAddr("192.0.2.1"))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 100 {
				if a := u.Account(fmt.Sprint(i % 3)); a == nil {
					t.Errorf("user %d of three: got no account", i%3)
				}
			}
		})
	}
	all.Wait()
	if n := table.Len(); n != 3 {
		t.Errorf("after requests of three users: got %d accounts in use, want 3", n)
	}
	u.Close()
	if n := table.Len(); n != 0 {
		t.Errorf("after the connection: got %d accounts in use, want 0", n)
	}
}

func TestAnAccountThatAnotherRequestHasJustOpenedIsNotOpenedAgain(t *testing.T) {
	table := NewTable()
	u := table.Users(netip.MustParseAddr("192.0.2.1"))
	first := u.Account("root")
	// A request that found no account of the user, before the other had opened it, comes here.
	if a := u.add("root"); a != first {
		t.Errorf("the account of a user that is there already: got %p, want %p", a, first)
	}
	for i := range maxUsers - 1 {
		if a := u.Account(fmt.Sprint(i)); a == nil {
			t.Errorf("user %d of the connection: got no account, but a connection has %d", i+2, maxUsers)
		}
	}
	if a := u.add("late"); a != nil {
		t.Errorf("one user too many, who found a free place before others took it: got the account %v, want none", a)
	}
	u.Close()
}
