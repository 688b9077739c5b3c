package account

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

func TestTheAccountOfAnAddressIsItsIPv4AddressOrItsNetworkOf64Bits(t *testing.T) {
	for _, test := range []struct{ addr, account, network string }{
		{"192.0.2.7", "192.0.2.7", "192.0.2.0/24"},
		{"::ffff:192.0.2.7", "192.0.2.7", "192.0.2.0/24"},
		{"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64", "2001:db8:1::/48"},
		{"fe80::1%eth0", "fe80::/64", "fe80::/48"},
		{"", "local", "local"},
	} {
		addr, _ := netip.ParseAddr(test.addr)
		a := NewTable().Address(addr)
		if a.String() != test.account || a.Network() != test.network {
			t.Errorf("address %q: got account %s in network %s, want %s in %s", test.addr, a, a.Network(), test.account, test.network)
		}
	}
}

func TestAUserHasOneAccountInEachNetwork(t *testing.T) {
	table := NewTable()
	one := table.User("conftool", netip.MustParseAddr("192.0.2.1"))
	if other := table.User("conftool", netip.MustParseAddr("192.0.2.9")); other != one {
		t.Errorf("got accounts %s and %s for a user in one network, want the same", one, other)
	}
	if other := table.User("conftool", netip.MustParseAddr("192.0.3.1")); other == one {
		t.Errorf("got account %s for a user in two networks, want one for each", one)
	}
	if other := table.User("pybal", netip.MustParseAddr("192.0.2.1")); other == one {
		t.Errorf("got account %s for two users, want one for each", one)
	}
	if other := table.Address(netip.MustParseAddr("192.0.2.1")); other == one {
		t.Errorf("got account %s for a user and for its address, want one for each", one)
	}
}

func TestAnAccountIsInTheTableOnlyWhileItIsInUse(t *testing.T) {
	table := NewTable()
	a, b := client(table, 0, 0), client(table, 0, 0)
	if a != b || table.Len() != 1 {
		t.Fatalf("got accounts %p and %p of %d for one client, want the same one", a, b, table.Len())
	}
	a.Close()
	if table.Len() != 1 {
		t.Error("the account was removed while it was in use")
	}
	b.Close()
	if table.Len() != 0 {
		t.Errorf("got %d accounts after all were closed, want none", table.Len())
	}
	defer func() {
		if recover() == nil {
			t.Error("closing an account once more did not panic")
		}
	}()
	b.Close()
}

func TestAProvedPasswordIsRememberedForAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		a := client(table, 0, 0)
		a.Proved()
		pass(2 * time.Hour)
		if !a.HasProved() {
			t.Error("a proved password was forgotten while the account was in use")
		}
		a.Close()
		for after, want := range map[time.Duration]bool{0: true, 59 * time.Minute: true, time.Hour: false} {
			table := NewTable()
			a := client(table, 0, 0)
			a.Proved()
			a.Close()
			pass(after)
			if got := client(table, 0, 0).HasProved(); got != want {
				t.Errorf("%v after the account was closed: got %v, want %v", after, got, want)
			}
		}
	})
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	table := NewTable()
	for i := range 2 * 4096 {
		a := table.User(fmt.Sprint("user ", i), netip.Addr{})
		a.Proved()
		a.pause(time.Now())
		a.Close()
	}
	if good, bad := table.good.noted.Len(), table.bad.noted.Len(); good != 4096 || bad != 4096 || table.Len() != 0 {
		t.Errorf("got %d good and %d bad accounts remembered and %d in use, want %d, %d and 0", good, bad, table.Len(), 4096, 4096)
	}
}
