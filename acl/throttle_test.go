package acl

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// advance moves the clock of the synctest bubble.
func advance(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // the clock is the bubble's: nothing waits
}

func TestThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		throttle := NewThrottle(ThrottleOptions{Burst: 3, Every: time.Second, Clients: 2})
		allow := func(addr string, want bool) {
			t.Helper()
			got, wait := throttle.Allow(netip.MustParseAddr(addr))
			if got != want {
				t.Errorf("Allow(%s): got %t, want %t", addr, got, want)
			}
			if !got && (wait <= 0 || wait > time.Second) {
				t.Errorf("Allow(%s): got a wait of %v, want one above 0 and up to 1s", addr, wait)
			}
		}
		for range 3 {
			allow("192.0.2.1", true)
		}
		allow("192.0.2.1", false)
		allow("::ffff:192.0.2.1", false) // the same client on an IPv6 socket
		allow("192.0.2.2", true)         // another client
		advance(999 * time.Millisecond)
		allow("192.0.2.1", false)
		advance(time.Millisecond)
		allow("192.0.2.1", true)
		allow("192.0.2.1", false)
		throttle.Return(netip.MustParseAddr("192.0.2.1"))
		allow("192.0.2.1", true)
		allow("192.0.2.1", false)

		allow("2001:db8::1", true) // drops 192.0.2.2, the least recently active
		allow("2001:db8::2", true)
		allow("2001:db8::3", true)
		allow("2001:db8:0:0:ffff::4", false)
		allow("192.0.2.1", false)
	})
}

func TestTriesDoNotPileUp(t *testing.T) {
	now := time.Unix(1000, 0)
	// Not the bubble's clock: the test sets this one back.
	throttle := NewThrottle(ThrottleOptions{Burst: 2, Now: func() time.Time { return now }})
	addr := netip.MustParseAddr("192.0.2.1")
	for range 5 {
		throttle.Return(addr)
	}
	now = now.Add(-time.Hour)
	if ok, wait := throttle.Allow(addr); !ok || wait != 0 {
		t.Errorf("Allow with a full bucket after the clock was set back: got %t and a wait of %v, want true and none", ok, wait)
	}
	throttle.Return(addr)
	now = now.Add(2 * time.Hour)
	for i, want := range []bool{true, true, false} {
		if got, _ := throttle.Allow(addr); got != want {
			t.Errorf("Allow, attempt %d after an hour: got %t, want %t", i+1, got, want)
		}
	}
	now = now.Add(-2 * time.Hour)
	if ok, _ := throttle.Allow(addr); ok {
		t.Error("Allow after the clock was set back: got true, want false")
	}
}

func TestAnAddressIsSuspectWhileSeveralOfItsTriesFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		throttle := NewThrottle(ThrottleOptions{Burst: 10, Every: time.Second})
		addr := netip.MustParseAddr("192.0.2.1")
		suspect := func(want bool, when string) {
			t.Helper()
			if got := throttle.Suspect(addr); got != want {
				t.Errorf("Suspect %s: got %t, want %t", when, got, want)
			}
		}
		for range 8 {
			throttle.Allow(addr)
		}
		suspect(false, "with 8 attempts in flight")
		for range 5 {
			throttle.Return(addr)
		}
		suspect(false, "after 5 of them succeeded")
		throttle.Failed(addr)
		throttle.Failed(addr)
		suspect(false, "after 2 failed")
		throttle.Failed(addr)
		suspect(true, "after 3 failed")
		throttle.Allow(addr)
		throttle.Return(addr)
		suspect(true, "after one more succeeded")
		advance(time.Second)
		suspect(false, "a second later")
	})
}
