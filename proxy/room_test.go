package proxy_test

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"etcd-tlsproxy/proxy"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

const plainRead = "GET /v2/keys HTTP/1.1\r\nHost: h\r\n\r\n"

// mayHave limits the connections of all clients.
func mayHave(connections int) func(*proxy.Options) {
	return func(o *proxy.Options) { o.MaxConnections = connections }
}

// reads reports whether a new connection is admitted and its read answered.
func reads(f *fronttest.Front) bool {
	c, err := proxytest.DialRaw(f.Addr, f.TLS())
	if err != nil {
		return false
	}
	defer c.Close()
	if err := c.Send(plainRead); err != nil {
		return false
	}
	a, err := c.Answer("GET")
	return err == nil && a.Status == 200
}

func TestASilentConnectionMakesRoomForANewOne(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, _ := l.EmbeddedWith(t, mayHave(1), nil)
		idle := f.Dial()
		if err := idle.Send(plainRead); err != nil {
			t.Fatal(err)
		}
		if a, err := idle.Answer("GET"); err != nil || a.Status != 200 {
			t.Fatalf("reading on the first connection: got %+v, %v; want status 200", a, err)
		}
		// The client may have its answer before the connection counts as idle.
		fronttest.Eventually(t, "a second connection is admitted", func() bool { return reads(f) })
		if end := idle.End(); end != proxytest.EndedWell {
			t.Errorf("the idle connection ended with %s, want %s", end, proxytest.EndedWell)
		}
	})
}

// TestAConnectionThatIsSilentBehindAnEventMakesRoom covers connections whose event was
// written by the hub. They wait for their next request where they waited for the event.
func TestAConnectionThatIsSilentBehindAnEventMakesRoom(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, _ := l.EmbeddedWith(t, mayHave(2), nil)
		idle, a := startWatch(t, f, watchRequest)
		f.Put(t, "/eventlogging/w", "event")
		if err := idle.ReadBody(a, "GET"); err != nil || !a.Whole {
			t.Fatalf("reading the event: got %+v, %v; want it whole", a, err)
		}
		fronttest.Eventually(t, "only the watcher's connection is open", func() bool { return f.Connections() == 1 })
		startWatch(t, f, watchRequest) // takes the second place, and is not idle
		fronttest.Eventually(t, "a third connection is admitted", func() bool { return reads(f) })
		if end := idle.End(); end != proxytest.EndedWell {
			t.Errorf("the connection that was idle after its event ended with %s, want %s", end, proxytest.EndedWell)
		}
	})
}

func TestConnectionsOfOneAddressBeyondItsLimitAreTurnedAway(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, _ := l.EmbeddedWith(t, func(o *proxy.Options) { o.MaxAddressConnections = 1 }, nil)
		first := f.Dial()
		c, err := net.Dial("tcp", f.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(fronttest.Patience))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("reading from a second connection of the address: got %v, want %v", err, io.EOF)
		}
		first.Close()
		fronttest.Eventually(t, "the first connection is closed", func() bool { return f.Connections() == 0 })
		if a := f.Exchange(plainRead); a.Status != 200 {
			t.Errorf("reading after the first connection was closed: got status %d, want 200", a.Status)
		}
	})
}
