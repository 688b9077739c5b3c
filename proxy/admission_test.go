package proxy

import (
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/proxytest"
)

func TestAnAddressHasItsOwnLimitAndOthersStillCome(t *testing.T) {
	as := newAdmission(&Options{MaxAddressConnections: 2, MaxAddressHandshakes: 100, HandshakeTimeout: time.Second})
	one, other := netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("192.0.2.2/32")
	now := time.Now()
	for range 2 {
		if wait, ok := as.acquire(one, now); !ok || wait != 0 {
			t.Errorf("within the limit: %v, %v", wait, ok)
		}
	}
	if _, ok := as.acquire(one, now); ok {
		t.Error("a third one was let in")
	}
	if _, ok := as.acquire(other, now); !ok {
		t.Error("another address was kept out")
	}
	as.release(one)
	if _, ok := as.acquire(one, now); !ok {
		t.Error("kept out although one has left")
	}
}

func TestHandshakesOfAnAddressWaitForTheirTurn(t *testing.T) {
	as := newAdmission(&Options{MaxAddressConnections: 1000, MaxAddressHandshakes: 10, HandshakeTimeout: time.Second})
	one, now := netip.MustParsePrefix("192.0.2.1/32"), time.Now()
	var waits []time.Duration
	for {
		wait, ok := as.acquire(one, now)
		if !ok {
			break
		}
		waits = append(waits, wait)
	}
	// Ten at once, ten within the second that the last of them may wait.
	if len(waits) != 20 || waits[9] != 0 || waits[10] != 100*time.Millisecond || waits[19] != time.Second {
		t.Errorf("they wait %v", waits)
	}
	if _, ok := as.acquire(netip.MustParsePrefix("192.0.2.2/32"), now); !ok {
		t.Error("another address was kept out")
	}
}

func TestAddressesAreForgotten(t *testing.T) {
	as := newAdmission(&Options{MaxAddressConnections: 10, MaxAddressHandshakes: 10, HandshakeTimeout: time.Second})
	now := time.Now()
	var stays netip.Prefix
	for i := range 100_000 {
		now = now.Add(time.Millisecond)
		client := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
		if _, ok := as.acquire(client, now); !ok {
			t.Fatal(i)
		}
		if i == 0 {
			stays = client
		} else {
			as.release(client)
		}
	}
	if len(as.addrs) > 4*firstSweep || as.addrs[stays] == nil {
		t.Errorf("%d addresses are known, the one that is connected: %v", len(as.addrs), as.addrs[stays])
	}
}

func TestASilentConnectionMakesRoomForANewOne(t *testing.T) {
	f, _ := newEmbedded(t, nil)
	silent := f.raw()
	if err := silent.Send("GET /v2/keys HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if a, err := silent.Answer("GET"); err != nil || a.Status != 200 {
		t.Fatalf("%+v, %v", a, err)
	}
	f.server.open.Store(10_000) // as if all others were busy
	defer f.server.open.Store(0)
	if a := f.exchange("GET /v2/keys HTTP/1.1\r\nHost: h\r\n\r\n"); a.Status != 200 {
		t.Errorf("%d", a.Status)
	}
	if end := silent.End(); end != proxytest.EndedWell {
		t.Errorf("the silent one ended with %s", end)
	}
}

// TestAConnectionThatIsSilentBehindAnEventMakesRoom is about those whose event the hub has
// written: they wait for their next request where they waited for the event.
func TestAConnectionThatIsSilentBehindAnEventMakesRoom(t *testing.T) {
	f, _ := newEmbedded(t, nil)
	c, a := startWatch(t, f, watchRequest)
	put(t, f, "/eventlogging/w", "event")
	if err := c.ReadBody(a, "GET"); err != nil || !a.Whole {
		t.Fatalf("%+v, %v", a, err)
	}
	eventually(t, "it alone is left, and idle", func() bool { return f.server.open.Load() == 1 && f.server.shed(1) == 1 })
	eventually(t, "it is ended", func() bool { return f.server.open.Load() == 0 })
	if end := c.End(); end != proxytest.EndedWell {
		t.Errorf("it ended with %s", end)
	}
}

func TestConnectionsOfOneAddressBeyondItsLimitAreTurnedAway(t *testing.T) {
	f, _ := newPreparedEmbedded(t, func(o *Options) { o.MaxAddressConnections = 1 }, nil)
	first := f.raw()
	c, err := net.Dial("tcp", f.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the second: %v", err)
	}
	first.Close()
	eventually(t, "the first has left", func() bool { return f.server.open.Load() == 0 })
	if a := f.exchange("GET /v2/keys HTTP/1.1\r\nHost: h\r\n\r\n"); a.Status != 200 {
		t.Errorf("%d", a.Status)
	}
}
