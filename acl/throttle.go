package acl

import (
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// ThrottleOptions bounds the logins that cost a hash. Zero values are the
// defaults.
type ThrottleOptions struct {
	// Burst is how many logins of an address may fail in a row; 20 by default: a
	// person's typing, or a fleet behind one address with an old password.
	Burst int
	// Every is how often an address that used them up may try again; by default
	// one second.
	Every time.Duration
	// Clients is how many addresses are known at a time, the longest silent being
	// forgotten first; 10,000 by default, about 150 bytes each.
	Clients int
	// Now is the clock; time.Now by default.
	Now func() time.Time
}

// Throttle slows down guessing: each address has a number of logins that may
// fail, which comes back slowly. It is consulted only where a hash must be
// computed, so clients whose password is remembered never meet it.
type Throttle struct {
	burst float64
	every time.Duration
	now   func() time.Time

	mu      sync.Mutex
	clients *simplelru.LRU[netip.Prefix, *allowance]
}

// allowance is how many tries an address had left at a time, and how many it has begun
// whose end is not known.
type allowance struct {
	left  float64
	at    time.Time
	begun float64
}

// suspicion is how many tries must have failed lately for an address to be suspect: more
// than a person mistypes.
const suspicion = 3

// NewThrottle makes a throttle.
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
	clients, err := simplelru.NewLRU[netip.Prefix, *allowance](o.Clients, nil)
	if err != nil {
		panic(fmt.Sprintf("BUG: a size of %d: %v", o.Clients, err))
	}
	return &Throttle{burst: float64(o.Burst), every: o.Every, now: o.Now, clients: clients}
}

// Allow takes one try from an address, or says how long it must wait for one.
// The try is taken before the password is known to be wrong, so that many at
// once cannot all be the last one; [Throttle.Return] gives it back, or
// [Throttle.Failed] tells that it is used up.
func (t *Throttle) Allow(addr netip.Addr) (ok bool, wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.allowance(addr)
	if a.left < 1 {
		return false, time.Duration((1 - a.left) * float64(t.every))
	}
	a.left--
	a.begun++
	return true, 0
}

// Failed takes note of a try that was a failure.
func (t *Throttle) Failed(addr netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.allowance(addr).end()
}

// Suspect reports whether several tries of an address failed lately.
func (t *Throttle) Suspect(addr netip.Addr) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.allowance(addr)
	return t.burst-a.left-a.begun >= suspicion
}

// Return gives back a try that was no failure.
func (t *Throttle) Return(addr netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.allowance(addr)
	a.end()
	a.left = min(t.burst, a.left+1)
}

// end ends a try; the address may have been forgotten since it began.
func (a *allowance) end() { a.begun = max(0, a.begun-1) }

func (t *Throttle) allowance(addr netip.Addr) *allowance {
	client := ClientOf(addr)
	now := t.now()
	a, ok := t.clients.Get(client)
	if !ok {
		a = &allowance{left: t.burst, at: now}
		t.clients.Add(client, a)
	}
	if passed := now.Sub(a.at); passed > 0 {
		a.left = min(t.burst, a.left+float64(passed)/float64(t.every))
		a.at = now
	}
	return a
}

// ClientOf is the address, or the /64 of an IPv6 one: whoever has one address of
// it has them all.
func ClientOf(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	prefix, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // no address: all such clients share one allowance
	}
	return prefix
}
