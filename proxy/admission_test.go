package proxy

import (
	"net/netip"
	"testing"
	"time"
)

func TestAnAddressHasItsOwnLimitAndOthersStillCome(t *testing.T) {
	a := newAdmission(2, 100, time.Second)
	one, other := netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("192.0.2.2/32")
	now := time.Now()
	for range 2 {
		if wait, ok := a.acquire(one, now); !ok || wait != 0 {
			t.Errorf("acquiring within the limit: got a wait of %v, %v; want none, true", wait, ok)
		}
	}
	if _, ok := a.acquire(one, now); ok {
		t.Error("a connection beyond the limit of its address was admitted")
	}
	if _, ok := a.acquire(other, now); !ok {
		t.Error("a connection of another address was refused")
	}
	a.release(one)
	if _, ok := a.acquire(one, now); !ok {
		t.Error("a connection was refused after another one of its address had been released")
	}
}

func TestHandshakesOfAnAddressWaitForTheirTurn(t *testing.T) {
	a := newAdmission(1000, 10, time.Second)
	one, now := netip.MustParsePrefix("192.0.2.1/32"), time.Now()
	var waits []time.Duration
	for {
		wait, ok := a.acquire(one, now)
		if !ok {
			break
		}
		waits = append(waits, wait)
	}
	// Ten start at once, and ten within the longest wait, which is one second.
	if len(waits) != 20 {
		t.Fatalf("got %d connections with the waits %v, want 20", len(waits), waits)
	}
	if waits[9] != 0 || waits[10] != 100*time.Millisecond || waits[19] != time.Second {
		t.Errorf("got the waits %v, want ten of 0 and then one more every 100 ms", waits)
	}
	if _, ok := a.acquire(netip.MustParsePrefix("192.0.2.2/32"), now); !ok {
		t.Error("a connection of another address was refused")
	}
}

func TestAddressesAreForgotten(t *testing.T) {
	a := newAdmission(10, 10, time.Second)
	now := time.Now()
	var open netip.Prefix
	for i := range 100_000 {
		now = now.Add(time.Millisecond)
		client := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
		if _, ok := a.acquire(client, now); !ok {
			t.Fatalf("the connection of address %d was refused", i)
		}
		if i == 0 {
			open = client
		} else {
			a.release(client)
		}
	}
	if len(a.addrs) > 4*firstSweep {
		t.Errorf("got %d addresses in memory, want at most %d", len(a.addrs), 4*firstSweep)
	}
	if a.addrs[open] == nil {
		t.Error("the address with an open connection was forgotten")
	}
}
