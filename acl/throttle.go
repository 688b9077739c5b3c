package acl

import (
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// ThrottleOptions limits the logins that compute a hash. Zero values select the
// defaults.
type ThrottleOptions struct {
	// Burst is how many logins of an address may fail in a row. The default is 20: the
	// typing errors of a person, or a fleet behind one address with an old password.
	Burst int
	// Every is the time after which an address that has used up its burst may try once
	// more. The default is one second.
	Every time.Duration
	// Clients is how many addresses are tracked at a time. The least recently active
	// address is dropped first. The default is 10,000; each takes about 150 bytes.
	Clients int
	// Now is the clock. The default is time.Now.
	Now func() time.Time
}

// Throttle slows down password guessing. It gives each address a token bucket: a login
// that fails uses up a token, and tokens are refilled slowly. It is consulted only where
// a hash must be computed, so it never delays clients whose password is remembered.
type Throttle struct {
	burst float64
	every time.Duration
	now   func() time.Time

	mu      sync.Mutex
	clients *simplelru.LRU[netip.Prefix, *bucket]
}

// bucket is the token bucket of one address.
type bucket struct {
	tokens float64   // below zero if several attempts failed at the same time
	at     time.Time // when tokens was computed
}

// suspectFailures is how many attempts of an address must have failed recently for it
// to be suspect. It is more than a person mistypes.
const suspectFailures = 3

// NewThrottle returns a throttle.
func NewThrottle(o ThrottleOptions) *Throttle {
	if o.Burst <= 0 {
		o.Burst = 20
	}
	if o.Every <= 0 {
		o.Every = time.Second
	}
	if o.Clients <= 0 {
		o.Clients = 10_000
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	clients, err := simplelru.NewLRU[netip.Prefix, *bucket](o.Clients, nil)
	if err != nil {
		panic(fmt.Sprintf("BUG: an LRU of %d clients: %v", o.Clients, err))
	}
	return &Throttle{burst: float64(o.Burst), every: o.Every, now: o.Now, clients: clients}
}

// Allow reports whether the address may make an attempt, or returns how long it must wait. It
// takes no token, so that right passwords do not refuse each other. It must be asked when the
// hash is about to be computed: the attempts that were waited for may have failed. What is
// computed at the same time may fail with the last token; it is paid back before the next attempt.
func (t *Throttle) Allow(addr netip.Addr) (ok bool, wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.bucket(addr)
	if b.tokens < 1 {
		return false, time.Duration((1 - b.tokens) * float64(t.every))
	}
	return true, 0
}

// Failed uses up a token for an attempt that failed.
func (t *Throttle) Failed(addr netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.bucket(addr).tokens--
}

// Suspect reports whether several attempts of the address failed recently.
func (t *Throttle) Suspect(addr netip.Addr) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.burst-t.bucket(addr).tokens >= suspectFailures
}

// bucket returns the refilled bucket of an address. The caller holds t.mu.
func (t *Throttle) bucket(addr netip.Addr) *bucket {
	client := ClientOf(addr)
	now := t.now()
	b, ok := t.clients.Get(client)
	if !ok {
		b = &bucket{tokens: t.burst, at: now}
		t.clients.Add(client, b)
	}
	if passed := now.Sub(b.at); passed > 0 {
		b.tokens = min(t.burst, b.tokens+float64(passed)/float64(t.every))
		b.at = now
	}
	return b
}

// ClientOf returns the prefix that stands for the client of an address: the IPv4
// address itself, or the /64 of an IPv6 address, because a client that has one address
// of a /64 has all of them.
func ClientOf(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	prefix, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // not a valid address: all such clients share one bucket
	}
	return prefix
}
