package lane

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"etcd-tlsproxy/proxy/account"
)

// boundConn returns a connection whose account has so many reads per second that nothing pays for, and
// counts the reads that waited.
func boundConn(t *testing.T, perSecond int) (c *ClientConn, waited *int) {
	t.Helper()
	near, far := net.Pipe()
	t.Cleanup(func() { near.Close(); far.Close() })
	waited = new(int)
	c = NewClientConn(near, false, func() {})
	c.Bound(&Bounds{Reads: account.NewRate(perSecond, perSecond), Delayed: func() { *waited++ }}, account.NewTable().Address(netip.MustParseAddr("192.0.2.1")))
	return c, waited
}

// payFor pays for so many reads, and returns the time that they waited.
func payFor(t *testing.T, c *ClientConn, reads int) time.Duration {
	t.Helper()
	began := time.Now()
	for range reads {
		if err := c.pay(); err != nil {
			t.Fatalf("a read: got the error %v, want none", err)
		}
	}
	return time.Since(began)
}

func TestReadsThatNoAnswerPaysForWaitUntilTheyAreDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, waited := boundConn(t, 10)
		if took := payFor(t, c, firstCredit+10); took > 0 {
			t.Errorf("the first reads, and those of a second: waited %v, want no wait", took)
		}
		if took := payFor(t, c, 25); took != 2500*time.Millisecond || *waited != 25 {
			t.Errorf("25 reads more, at a rate of 10 per second: waited %v in %d reads, want 2.5 s in 25", took, *waited)
		}
	})
}

func TestReadsThatAnAnswerPaysForNeverWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, waited := boundConn(t, 10)
		payFor(t, c, firstCredit)
		for range 1000 {
			c.Served(6)
			payFor(t, c, 6)
		}
		if *waited > 0 {
			t.Errorf("%d reads waited, want none", *waited)
		}
		for range 1000 {
			c.Served(6) // without a read
		}
		payFor(t, c, maxCredit+10)
		if payFor(t, c, 1); *waited != 1 {
			t.Errorf("the first read beyond %d: %d waited, want it to: nothing more is saved", maxCredit, *waited)
		}
	})
}

func TestPINGsEachTenSecondsNeverWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, waited := boundConn(t, 10)
		payFor(t, c, firstCredit)
		for range 1000 {
			time.Sleep(10 * time.Second) //nolint:forbidigo // the clock is the bubble's: nothing waits
			useUp(c.reads.bounds.Reads, c.reads.account)
			payFor(t, c, 2)
		}
		if *waited > 0 {
			t.Errorf("%d reads waited, want none", *waited)
		}
		time.Sleep(time.Hour) //nolint:forbidigo // the clock is the bubble's: nothing waits
		payFor(t, c, firstCredit)
		useUp(c.reads.bounds.Reads, c.reads.account)
		if err := c.pay(); !errors.Is(err, errTooManyReads) {
			t.Errorf("one read more than what an hour may give: got the error %v, want %v", err, errTooManyReads)
		}
	})
}

// useUp takes all units that an account can have, as its other connections do.
func useUp(r *account.Rate, a *account.Account) {
	for ok := true; ok; {
		_, ok = r.Reserve(a)
	}
}

func TestReadsOfWindowsForWhatWasSentLatelyDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, waited := boundConn(t, 10)
		payFor(t, c, firstCredit)
		c.Sent(100 << 10)
		time.Sleep(windowsLast - 1) //nolint:forbidigo // the clock is the bubble's: nothing waits
		if payFor(t, c, 100); *waited > 0 {
			t.Errorf("a read for each KiB that was sent: %d waited, want none", *waited)
		}
		c.Sent(100 << 20)
		if payFor(t, c, maxWindows+10); *waited > 0 {
			t.Errorf("%d reads waited, want none", *waited)
		}
		if payFor(t, c, 1); *waited != 1 {
			t.Errorf("one read more: %d waited, want 1", *waited)
		}
		*waited = 0
		c.Sent(100 << 10)
		time.Sleep(windowsLast) //nolint:forbidigo // the clock is the bubble's: nothing waits
		if payFor(t, c, 11); *waited != 1 {
			t.Errorf("a read long after something was sent, beyond those of the rate: %d waited, want 1", *waited)
		}
	})
}

func TestAReadEndsItsWaitWhenItsConnectionIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := boundConn(t, 1)
		payFor(t, c, firstCredit+1)
		began, done := time.Now(), make(chan error)
		go func() { done <- c.pay() }()
		synctest.Wait()
		c.Close()
		if err := <-done; !errors.Is(err, net.ErrClosed) || time.Since(began) > 0 {
			t.Errorf("got the error %v after %v, want %v at once", err, time.Since(began), net.ErrClosed)
		}
	})
}

func TestAConnectionEndsIfTooManyReadsWaitAlready(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := boundConn(t, 1)
		payFor(t, c, firstCredit+1)
		useUp(c.reads.bounds.Reads, c.reads.account)
		if err := c.pay(); !errors.Is(err, errTooManyReads) {
			t.Errorf("got the error %v, want %v", err, errTooManyReads)
		}
	})
}

func TestEachReadOfTLSPaysAndLargeOnesPayForThemselves(t *testing.T) {
	client, server, _ := accepted(t)
	waited := 0
	clientTLS, serverTLS := handshake(t, client, server)
	server.Bound(&Bounds{Reads: account.NewRate(1, 1), Delayed: func() { waited++ }}, account.NewTable().Address(netip.MustParseAddr("192.0.2.1")))
	server.reads.rested = time.Now().Add(time.Hour) // the time that passes gives nothing
	receive := func(size int) {
		t.Helper()
		if _, err := clientTLS.Write(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		if n, err := Receive(serverTLS, make([]byte, FullRecord)); n != size || err != nil {
			t.Fatalf("got %d bytes and the error %v, want %d", n, err, size)
		}
	}
	for range 10 * firstCredit {
		receive(payingRead)
	}
	for range firstCredit + 1 {
		receive(1)
	}
	if waited > 0 {
		t.Errorf("%d reads waited, want none", waited)
	}
	if receive(1); waited != 1 {
		t.Errorf("one read of a byte more: %d waited, want 1", waited)
	}
}
