package proxy

import (
	"net/netip"
	"runtime"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/observe"
)

// handshakeRate bounds the handshakes that one address may start in a second, for operators
// who want that. The pool of handshakes shares the processor fairly without it.
type handshakeRate struct {
	rate    rate.Limit    // handshakes of an address in a second, and at once
	maxWait time.Duration // for the turn of a handshake

	mu      sync.Mutex
	addrs   map[netip.Prefix]*rate.Limiter
	sweepAt int
}

const firstSweep = 1024

// newHandshakeRate returns nil if perSecond is 0.
func newHandshakeRate(perSecond int, maxWait time.Duration) *handshakeRate {
	if perSecond == 0 {
		return nil
	}
	return &handshakeRate{rate: rate.Limit(perSecond), maxWait: maxWait, addrs: make(map[netip.Prefix]*rate.Limiter), sweepAt: firstSweep}
}

// reserve returns how long a handshake must wait for earlier ones of its address. ok is false
// if that is too long.
func (h *handshakeRate) reserve(addr netip.Addr, now time.Time) (wait time.Duration, ok bool) {
	if h == nil || !addr.IsValid() {
		return 0, true
	}
	client := acl.ClientOf(addr)
	h.mu.Lock()
	defer h.mu.Unlock()
	limiter := h.addrs[client]
	if limiter == nil {
		h.sweep(now)
		limiter = rate.NewLimiter(h.rate, int(h.rate))
		h.addrs[client] = limiter
	}
	handshake := limiter.ReserveN(now, 1)
	wait = handshake.DelayFrom(now)
	if wait > h.maxWait {
		handshake.CancelAt(now)
		return 0, false
	}
	return wait, true
}

// sweep removes the addresses whose next handshake would not have to wait. It does nothing
// until the number of addresses has doubled since the last sweep, so that it costs little per
// connection.
func (h *handshakeRate) sweep(now time.Time) {
	if len(h.addrs) < h.sweepAt {
		return
	}
	for client, limiter := range h.addrs {
		if limiter.TokensAt(now) >= float64(limiter.Burst()) {
			delete(h.addrs, client)
		}
	}
	h.sweepAt = max(firstSweep, 2*len(h.addrs))
}

// How many reads that no answer pays for a client may cause in a second, and all clients of a network
// together, for each processor. See [lane.Bounds].
const (
	accountReads = 1000
	networkReads = 2000
)

// How many bytes a client may send in a second behind the last answers of its connections, and all
// clients of a network together. The bytes of a second may be sent at once.
const (
	accountLingering = 32 << 20
	networkLingering = 64 << 20
)

func newBounds(m *observe.Metrics) lane.Bounds {
	processors := runtime.GOMAXPROCS(0)
	return lane.Bounds{
		Reads: account.NewRate(accountReads*processors, networkReads*processors), Delayed: m.ReadDelayed,
		Lingering: account.NewRate(accountLingering/lane.LingerUnit, networkLingering/lane.LingerUnit),
	}
}
