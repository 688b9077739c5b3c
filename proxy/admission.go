package proxy

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/lane"
)

// admission counts the connections and the handshakes of each address, so that one client
// can take neither all connections nor the processor for its handshakes.
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

func newAdmission(o *Options) *admission {
	return &admission{
		maxPerAddr: o.MaxAddressConnections, rate: rate.Limit(o.MaxAddressHandshakes), maxWait: o.HandshakeTimeout,
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
// have to wait. It works only when twice as many addresses are known as after the last time.
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

// clientOf returns the address that a connection counts for. ok is false for a unix
// socket.
func clientOf(c net.Conn) (client netip.Prefix, ok bool) {
	tcp, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}, false
	}
	return acl.ClientOf(tcp.AddrPort().Addr()), true
}

// The reasons why a connection is refused, from the closed set of the metric.
const (
	tooManyConnections = "connections"
	tooManyOfAddress   = "address"
	tooLittleMemory    = "memory"
)

// admit admits a connection, or returns the reason why it is refused. If all connections
// are in use, an idle one is closed to make room, like in nginx: its client connects again
// when it has a request.
func (s *Server) admit(c net.Conn) (client *lane.ClientConn, wait time.Duration, refused string) {
	if s.memory.full() {
		return nil, 0, tooLittleMemory
	}
	addr, known := clientOf(c)
	if known {
		var ok bool
		if wait, ok = s.admission.acquire(addr, time.Now()); !ok {
			return nil, 0, tooManyOfAddress
		}
	}
	release := func() {
		if known {
			s.admission.release(addr)
		}
		s.open.Add(-1)
	}
	if s.open.Add(1) > int64(s.options.MaxConnections) && s.shed(1) == 0 {
		release()
		return nil, 0, tooManyConnections
	}
	s.metrics.ConnectionOpened()
	return lane.NewClientConn(c, s.options.RawSockets, func() {
		release()
		s.metrics.ConnectionClosed()
	}), wait, ""
}

// shed closes up to max idle connections and returns their number.
func (s *Server) shed(max int) int {
	n := s.conns.Shed(max)
	s.metrics.ConnectionsShed(n)
	return n
}
