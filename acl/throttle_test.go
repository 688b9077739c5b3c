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
		// fail makes an attempt that fails, if it is allowed.
		fail := func(addr string, want bool) {
			t.Helper()
			got, wait := throttle.Allow(netip.MustParseAddr(addr))
			if got != want {
				t.Errorf("Allow(%s): got %t, want %t", addr, got, want)
			}
			if !got && (wait <= 0 || wait > time.Second) {
				t.Errorf("Allow(%s): got a wait of %v, want one above 0 and up to 1s", addr, wait)
			}
			if got {
				throttle.Failed(netip.MustParseAddr(addr))
			}
		}
		for range 3 {
			fail("192.0.2.1", true)
		}
		fail("192.0.2.1", false)
		fail("::ffff:192.0.2.1", false) // the same client on an IPv6 socket
		fail("192.0.2.2", true)         // another client
		advance(999 * time.Millisecond)
		fail("192.0.2.1", false)
		advance(time.Millisecond)
		fail("192.0.2.1", true)
		fail("192.0.2.1", false)

		fail("2001:db8::1", true) // drops 192.0.2.2, the least recently active
		fail("2001:db8::2", true)
		fail("2001:db8::3", true)
		fail("2001:db8:0:0:ffff::4", false)
		fail("192.0.2.1", false)
	})
}

func TestLoginsUnderWayDoNotRefuseEachOtherAndThoseThatFailArePaidBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		throttle := NewThrottle(ThrottleOptions{Burst: 3, Every: time.Second})
		addr := netip.MustParseAddr("192.0.2.1")
		for i := range 5 {
			if ok, _ := throttle.Allow(addr); !ok {
				t.Errorf("attempt %d at the same time: got a refusal, want that it is allowed", i+1)
			}
		}
		for range 5 {
			throttle.Failed(addr)
		}
		if ok, wait := throttle.Allow(addr); ok || wait != 3*time.Second {
			t.Errorf("after 5 failures with a burst of 3: got %t and a wait of %v, want false and 3s", ok, wait)
		}
		advance(3 * time.Second)
		if ok, _ := throttle.Allow(addr); !ok {
			t.Error("after the wait: got a refusal, want that an attempt is allowed")
		}
	})
}

func TestTriesDoNotPileUp(t *testing.T) {
	now := time.Unix(1000, 0)
	// Not the bubble's clock: the test sets this one back.
	throttle := NewThrottle(ThrottleOptions{Burst: 2, Now: func() time.Time { return now }})
	addr := netip.MustParseAddr("192.0.2.1")
	now = now.Add(-time.Hour)
	if ok, wait := throttle.Allow(addr); !ok || wait != 0 {
		t.Errorf("Allow with a full bucket after the clock was set back: got %t and a wait of %v, want true and none", ok, wait)
	}
	now = now.Add(2 * time.Hour)
	for i, want := range []bool{true, true, false} {
		if got, _ := throttle.Allow(addr); got != want {
			t.Errorf("Allow, attempt %d after an hour: got %t, want %t", i+1, got, want)
		}
		if want {
			throttle.Failed(addr)
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
		throttle.Failed(addr)
		throttle.Failed(addr)
		suspect(false, "after 2 failed")
		throttle.Failed(addr)
		suspect(true, "after 3 failed")
		advance(time.Second)
		suspect(false, "a second later")
	})
}
