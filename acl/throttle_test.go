package acl

import (
	"net/netip"
	"testing"
	"time"
)

func TestThrottle(t *testing.T) {
	now := time.Unix(1000, 0)
	throttle := NewThrottle(ThrottleOptions{Burst: 3, Every: time.Second, Clients: 2, Now: func() time.Time { return now }})
	allow := func(addr string, want bool) {
		t.Helper()
		ok, wait := throttle.Allow(netip.MustParseAddr(addr))
		if ok != want {
			t.Errorf("%s allowed: %v, want %v", addr, ok, want)
		}
		if !ok && (wait <= 0 || wait > time.Second) {
			t.Errorf("%s told to wait %v", addr, wait)
		}
	}
	for range 3 {
		allow("192.0.2.1", true)
	}
	allow("192.0.2.1", false)
	allow("::ffff:192.0.2.1", false) // the same client on an IPv6 socket
	allow("192.0.2.2", true)         // another one
	now = now.Add(999 * time.Millisecond)
	allow("192.0.2.1", false)
	now = now.Add(time.Millisecond)
	allow("192.0.2.1", true)
	allow("192.0.2.1", false)
	throttle.Return(netip.MustParseAddr("192.0.2.1"))
	allow("192.0.2.1", true)
	allow("192.0.2.1", false)

	allow("2001:db8::1", true) // and 192.0.2.2, silent longest, is forgotten
	allow("2001:db8::2", true)
	allow("2001:db8::3", true)
	allow("2001:db8:0:0:ffff::4", false)
	allow("192.0.2.1", false)
}

func TestTriesDoNotPileUp(t *testing.T) {
	now := time.Unix(1000, 0)
	throttle := NewThrottle(ThrottleOptions{Burst: 2, Now: func() time.Time { return now }})
	addr := netip.MustParseAddr("192.0.2.1")
	for range 5 {
		throttle.Return(addr)
	}
	now = now.Add(time.Hour)
	for i, want := range []bool{true, true, false} {
		if ok, _ := throttle.Allow(addr); ok != want {
			t.Errorf("try %d allowed: %v", i, ok)
		}
	}
	now = now.Add(-2 * time.Hour) // a clock that is set back gives nothing and takes nothing
	if ok, _ := throttle.Allow(addr); ok {
		t.Error("a clock that was set back gave a try")
	}
}

func TestAnAddressIsSuspectWhileSeveralOfItsTriesFailed(t *testing.T) {
	now := time.Unix(1000, 0)
	throttle := NewThrottle(ThrottleOptions{Burst: 10, Every: time.Second, Now: func() time.Time { return now }})
	addr := netip.MustParseAddr("192.0.2.1")
	is := func(want bool, when string) {
		t.Helper()
		if got := throttle.Suspect(addr); got != want {
			t.Errorf("%s: suspect is %t", when, got)
		}
	}
	for range 8 {
		throttle.Allow(addr)
	}
	is(false, "many tries at once")
	for range 5 {
		throttle.Return(addr)
	}
	is(false, "most were right")
	throttle.Failed(addr)
	throttle.Failed(addr)
	is(false, "two failed")
	throttle.Failed(addr)
	is(true, "three failed")
	throttle.Allow(addr)
	throttle.Return(addr)
	is(true, "a right one behind them")
	now = now.Add(time.Second)
	is(false, "a second later")
}
