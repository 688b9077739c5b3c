package lane

import (
	"io"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"etcd-tlsproxy/proxy/account"
)

// sendsOn is the connection of a client that always has more to send; it counts what is received.
type sendsOn struct {
	net.Conn
	received int
}

func (c *sendsOn) Read(p []byte) (int, error) {
	if c.received += len(p); c.received > 1<<30 {
		return 0, net.ErrClosed // a test must end
	}
	return len(p), nil
}

func (c *sendsOn) SetReadDeadline(time.Time) error { return nil }
func (c *sendsOn) Close() error                    { return nil }

func TestAConnectionThatLingersReceives16MiB(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from := &sendsOn{}
		Linger(NewClientConn(from, false, func() {}))
		if from.received < maxLingered || from.received > maxLingered+LingerUnit {
			t.Errorf("got %d bytes, want %d", from.received, maxLingered)
		}
	})
}

func TestConnectionsOfAClientThatLingerHaveARateTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const perSecond = 2 << 20
		bounds := &Bounds{Lingering: account.NewRate(perSecond/LingerUnit, perSecond/LingerUnit)}
		a := account.NewTable().Address(netip.MustParseAddr("192.0.2.1"))
		var all [100]sendsOn
		began, done := time.Now(), make(chan struct{})
		for i := range all {
			go func() {
				c := NewClientConn(&all[i], false, func() {})
				c.Bound(bounds, a)
				Linger(c)
				done <- struct{}{}
			}()
		}
		for range all {
			<-done
		}
		sum := 0
		for i := range all {
			sum += all[i].received
		}
		seconds := 1 + int(maxLinger/time.Second) // the units of the first second are there at once
		if limit := seconds*perSecond + len(all)*2*LingerUnit; sum > limit || sum < perSecond || time.Since(began) > maxLinger {
			t.Errorf("got %d bytes in %v, want at most %d within %v", sum, time.Since(began), limit, maxLinger)
		}
	})
}

// leaves is the connection of a client that sends its close_notify and closes.
type leaves struct {
	sendsOn
	reads int
}

func (c *leaves) Read([]byte) (int, error) {
	if c.reads++; c.reads > 1 {
		return 0, io.EOF
	}
	return 24, nil
}

func TestAConnectionThatEndsDoesNotWaitForOthersThatLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bounds := &Bounds{Lingering: account.NewRate(1, 1)}
		a := account.NewTable().Address(netip.MustParseAddr("192.0.2.1"))
		useUp(bounds.Lingering, a)
		from := &leaves{}
		c := NewClientConn(from, false, func() {})
		c.Bound(bounds, a)
		began := time.Now()
		Linger(c)
		if from.reads != 2 || time.Since(began) > 0 {
			t.Errorf("got %d reads within %v, want 2 at once", from.reads, time.Since(began))
		}
	})
}
