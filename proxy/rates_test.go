package proxy

import (
	"net/netip"
	"testing"
	"time"
)

func TestHandshakesOfAnAddressWaitForTheirTurn(t *testing.T) {
	h := newHandshakeRate(10, time.Second)
	one, now := netip.MustParseAddr("192.0.2.1"), time.Now()
	var waits []time.Duration
	for {
		wait, ok := h.reserve(one, now)
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
	if _, ok := h.reserve(netip.MustParseAddr("192.0.2.2"), now); !ok {
		t.Error("a connection of another address was refused")
	}
}

func TestWithoutALimitNoHandshakeWaitsForItsAddress(t *testing.T) {
	h := newHandshakeRate(0, time.Second)
	for i := range 10_000 {
		if wait, ok := h.reserve(netip.MustParseAddr("192.0.2.1"), time.Now()); !ok || wait != 0 {
			t.Fatalf("handshake %d: got a wait of %v, %v; want none, true", i, wait, ok)
		}
	}
}

func TestAddressesAreForgotten(t *testing.T) {
	h := newHandshakeRate(10, time.Second)
	now := time.Now()
	for i := range 100_000 {
		now = now.Add(time.Millisecond)
		if _, ok := h.reserve(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), now); !ok {
			t.Fatalf("the connection of address %d was refused", i)
		}
	}
	if len(h.addrs) > 4*firstSweep {
		t.Errorf("got %d addresses in memory, want at most %d", len(h.addrs), 4*firstSweep)
	}
}
