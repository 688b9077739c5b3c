package acl

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestTheThrottleUsesTheClockAndTheTimeItIsGiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		addr := netip.MustParseAddr("192.0.2.1")
		now := time.Now()
		stopped := NewThrottle(ThrottleOptions{Burst: 1, Every: time.Second, Now: func() time.Time { return now }})
		stopped.Failed(addr)
		advance(time.Hour)
		if ok, wait := stopped.Allow(addr); ok || wait != time.Second {
			t.Errorf("Allow by a clock that stands still: got %t and a wait of %v, want false and 1s", ok, wait)
		}
		fast := NewThrottle(ThrottleOptions{Burst: 1, Every: 1})
		fast.Failed(addr)
		if ok, _ := fast.Allow(addr); ok {
			t.Error("Allow of a second attempt at the same time: got true, want false")
		}
		advance(2)
		if ok, _ := fast.Allow(addr); !ok {
			t.Error("Allow after two nanoseconds of a token each: got false, want true")
		}
	})
}

func TestTheDefaultsOfTheThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		throttle := NewThrottle(ThrottleOptions{})
		addr := netip.MustParseAddr("192.0.2.1")
		for i := range 20 {
			if ok, _ := throttle.Allow(addr); !ok {
				t.Errorf("Allow, attempt %d of the default burst of 20: got false, want true", i+1)
			}
			throttle.Failed(addr)
		}
		if ok, wait := throttle.Allow(addr); ok || wait != time.Second {
			t.Errorf("Allow beyond the default burst: got %t and a wait of %v, want false and 1s", ok, wait)
		}
	})
}

// The address that was active least recently gets a new burst, so a number of addresses that
// is too small lets two guessers reset each other.
func TestTheThrottleTracksAsManyAddressesAsItIsMadeFor(t *testing.T) {
	for clients, want := range map[int]int{0: 10_000, -1: 10_000, 1: 1, 3: 3} {
		throttle := NewThrottle(ThrottleOptions{Burst: 1, Every: time.Hour, Clients: clients})
		first := netip.MustParseAddr("192.0.2.1")
		throttle.Failed(first)
		addr := netip.MustParseAddr("198.18.0.0")
		for range want - 1 {
			throttle.Failed(addr)
			addr = addr.Next()
		}
		if ok, _ := throttle.Allow(first); ok {
			t.Errorf("Allow of the first of %d addresses, Clients %d: got true, want its attempt remembered", want, clients)
		}
		for range want {
			throttle.Failed(addr)
			addr = addr.Next()
		}
		if ok, _ := throttle.Allow(first); !ok {
			t.Errorf("Allow of an address before %d others, Clients %d: got false, want it forgotten", want, clients)
		}
	}
}

func TestUsersAreFoundByTheirExactNames(t *testing.T) {
	users := mustParse(t, NewHasher(HasherOptions{}), toolsFile(t))
	if name, ok := users.CanonicalName(strings.Clone("apr1")); !ok || name != "apr1" {
		t.Errorf("CanonicalName of a known user: got %q, %t; want apr1", name, ok)
	}
	if name, ok := users.CanonicalName("APR1"); ok {
		t.Errorf("CanonicalName of a known user in capitals: got %q, want none", name)
	}
}

func TestNothingIsKnownOfAUserWhoDoesNotExist(t *testing.T) {
	users := mustParse(t, NewHasher(HasherOptions{}), toolsFile(t))
	if scheme, ok := users.Scheme("nobody"); ok || scheme != "" {
		t.Errorf("Scheme of an unknown user: got %q, %t; want none", scheme, ok)
	}
	if name, ok := users.CanonicalName("nobody"); ok || name != "" {
		t.Errorf("CanonicalName of an unknown user: got %q, %t; want none", name, ok)
	}
	if fingerprint, ok := users.Fingerprint("nobody"); ok || fingerprint != [16]byte{} {
		t.Errorf("Fingerprint of an unknown user: got %x, %t; want none", fingerprint, ok)
	}
	if users.Has("nobody") || !users.Has("apr1") {
		t.Errorf("Has of an unknown and of a known user: got %t and %t, want false and true", users.Has("nobody"), users.Has("apr1"))
	}
}
