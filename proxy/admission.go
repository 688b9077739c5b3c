package proxy

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// admission counts the connections and the handshakes of each address, so that one client
// can exhaust neither the connections nor, by handshakes, the processor.
type admission struct {
	maxPerAddr int           // connections of an address at a time
	rate       rate.Limit    // handshakes of an address in a second, and at once
	maxWait    time.Duration // for the turn of a handshake

	mu      sync.Mutex
	addrs   map[netip.Prefix]*addrState
	sweepAt int
}

// addrState is the state of one address.
type addrState struct {
	open    int
	limiter *rate.Limiter
}

const firstSweep = 1024

func newAdmission(maxPerAddr, handshakesPerSecond int, maxWait time.Duration) *admission {
	return &admission{
		maxPerAddr: maxPerAddr, rate: rate.Limit(handshakesPerSecond), maxWait: maxWait,
		addrs: make(map[netip.Prefix]*addrState), sweepAt: firstSweep,
	}
}

// acquire counts a connection and returns how long its handshake must wait for earlier
// ones of its address. ok is false if there are too many.
func (a *admission) acquire(client netip.Prefix, now time.Time) (wait time.Duration, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	state := a.addrs[client]
	if state == nil {
		a.sweep(now)
		state = &addrState{limiter: rate.NewLimiter(a.rate, int(a.rate))}
		a.addrs[client] = state
	}
	if state.open >= a.maxPerAddr {
		return 0, false
	}
	handshake := state.limiter.ReserveN(now, 1)
	wait = handshake.DelayFrom(now)
	if wait > a.maxWait {
		handshake.CancelAt(now)
		return 0, false
	}
	state.open++
	return wait, true
}

// release counts the end of a connection.
func (a *admission) release(client netip.Prefix) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.addrs[client].open--
}

// sweep removes the addresses that have no connections and whose next handshake would not
// have to wait. It does nothing until the number of addresses has doubled since the last
// sweep, so that it costs little per connection.
func (a *admission) sweep(now time.Time) {
	if len(a.addrs) < a.sweepAt {
		return
	}
	for client, state := range a.addrs {
		if state.open == 0 && state.limiter.TokensAt(now) >= float64(state.limiter.Burst()) {
			delete(a.addrs, client)
		}
	}
	a.sweepAt = max(firstSweep, 2*len(a.addrs))
}
