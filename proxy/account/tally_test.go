package account

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
)

func TestATallyNamesWhoHasUsedMost(t *testing.T) {
	table := NewTable()
	var tally Tally
	add := func(a *Account, amount int64) {
		t.Helper()
		defer a.Close()
		tally.Add(a, amount)
	}
	add(table.Address(netip.MustParseAddr("192.0.2.7")), 100)
	add(table.User("conftool", netip.MustParseAddr("192.0.2.8")), 300)
	add(table.Address(netip.MustParseAddr("192.0.2.7")), 150)
	add(table.Address(netip.MustParseAddr("2001:db8::1")), 1)
	if got, want := fmt.Sprint(tally.Top(2)), "[{conftool from 192.0.2.0/24 192.0.2.0/24 300 false} {192.0.2.7 192.0.2.0/24 250 false}]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := tally.Total(); got != 551 {
		t.Errorf("got the total %d, want 551", got)
	}
	var none *Tally
	none.Add(nil, 1)
	tally.Add(nil, 1)
	if none.Total() != 0 || none.Top(1) != nil || tally.Total() != 551 {
		t.Error("what no account has used was added")
	}
}

func TestATallyForgetsWithTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewTable().Address(netip.MustParseAddr("192.0.2.7"))
		defer a.Close()
		var tally Tally
		sum := func() int64 {
			if top := tally.Top(1); len(top) > 0 {
				return top[0].Used
			}
			return 0
		}
		tally.Add(a, 1)
		pass(tallyPeriod)
		tally.Add(a, 2)
		if got := sum(); got != 3 {
			t.Errorf("after a period: got the sum %d, want 3", got)
		}
		pass(tallyPeriod)
		if got := sum(); got != 2 {
			t.Errorf("after two periods: got the sum %d, want 2", got)
		}
		pass(2 * tallyPeriod)
		if got := sum(); got != 0 {
			t.Errorf("after four periods: got the sum %d, want 0", got)
		}
		if got := tally.Total(); got != 3 {
			t.Errorf("got the total %d, want 3", got)
		}
	})
}

// TestATallyIsBoundedAndFindsTheLargest has many accounts with little before the one with much.
func TestATallyIsBoundedAndFindsTheLargest(t *testing.T) {
	table := NewTable()
	var tally Tally
	use := func(addr netip.Addr, amount int64) {
		a := table.Address(addr)
		defer a.Close()
		tally.Add(a, amount)
	}
	for i := range 10 * maxTallied {
		use(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 1)
	}
	for i := range 100 {
		use(netip.MustParseAddr("192.0.2.7"), 10)
		use(netip.AddrFrom4([4]byte{10, 1, 0, byte(i)}), 1)
	}
	if n := len(tally.sums()); n != maxTallied {
		t.Errorf("got %d accounts, want %d", n, maxTallied)
	}
	top := tally.Top(1)
	if top[0].Account != "192.0.2.7" || top[0].Used < 1000 || top[0].Used > 1000+tally.Total()/maxTallied {
		t.Errorf("got %+v, want 192.0.2.7 with 1000, and at most %d more", top[0], tally.Total()/maxTallied)
	}
}

func TestATallyKnowsHowAnAccountStandsBesideOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		first, second, other, fresh := client(table, 1, 1), client(table, 1, 2), client(table, 2, 1), client(table, 3, 1)
		for _, a := range []*Account{first, second, other, fresh} {
			defer a.Close()
		}
		var tally Tally
		tally.Add(first, 100)
		tally.Add(other, 120)
		pass(tallyPeriod)
		tally.Add(second, 50)
		check := func(a *Account, want Standing) {
			t.Helper()
			if got := tally.Standing(a); got != want {
				t.Errorf("%s: got %+v, want %+v", a, got, want)
			}
		}
		check(first, Standing{Own: 100, Network: 150, Accounts: 2, Most: 150})
		check(second, Standing{Own: 50, Network: 150, Accounts: 2, Most: 150})
		check(other, Standing{Own: 120, Network: 120, Accounts: 1, Most: 150})
		check(fresh, Standing{Most: 150})
		check(nil, Standing{})
		tally.Add(other, 100)
		check(other, Standing{Own: 220, Network: 120, Accounts: 1, Most: 150}) // networks are counted now and then
		pass(countedFor)
		check(first, Standing{Own: 100, Network: 150, Accounts: 2, Most: 220})
		pass(tallyPeriod)
		check(first, Standing{Network: 50, Accounts: 1, Most: 100})
		if got := (*Tally)(nil).Standing(first); got != (Standing{}) {
			t.Errorf("no tally: got %+v, want nothing", got)
		}
	})
}
