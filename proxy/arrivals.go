package proxy

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/rawio"
)

// arrivals knows how many connections each address has and how fast they come, so
// that one client cannot have all there are, nor all of the processor for handshakes.
type arrivals struct {
	each int        // connections of an address at a time
	rate rate.Limit // handshakes of an address in a second, and as many at once
	most time.Duration

	mu      sync.Mutex
	clients map[netip.Prefix]*arrival
	sweepAt int
}

type arrival struct {
	open int
	turn *rate.Limiter
}

const firstSweep = 1024

func newArrivals(o *Options) *arrivals {
	return &arrivals{
		each: o.AddressConnections, rate: rate.Limit(o.AddressHandshakes), most: o.HandshakeTimeout,
		clients: make(map[netip.Prefix]*arrival), sweepAt: firstSweep,
	}
}

// enter takes note of a connection and says how long its handshake must wait for those
// of its address before it; ok is false if there are too many.
func (as *arrivals) enter(client netip.Prefix, now time.Time) (wait time.Duration, ok bool) {
	as.mu.Lock()
	defer as.mu.Unlock()
	a := as.clients[client]
	if a == nil {
		as.sweep(now)
		a = &arrival{turn: rate.NewLimiter(as.rate, int(as.rate))}
		as.clients[client] = a
	}
	if a.open >= as.each {
		return 0, false
	}
	turn := a.turn.ReserveN(now, 1)
	wait = turn.DelayFrom(now)
	if wait > as.most {
		turn.CancelAt(now)
		return 0, false
	}
	a.open++
	return wait, true
}

func (as *arrivals) leave(client netip.Prefix) {
	as.mu.Lock()
	defer as.mu.Unlock()
	as.clients[client].open--
}

// sweep forgets the addresses without connections whose next would not have to wait,
// whenever twice as many as after the last time are known.
func (as *arrivals) sweep(now time.Time) {
	if len(as.clients) < as.sweepAt {
		return
	}
	for client, a := range as.clients {
		if a.open == 0 && a.turn.TokensAt(now) >= float64(a.turn.Burst()) {
			delete(as.clients, client)
		}
	}
	as.sweepAt = max(firstSweep, 2*len(as.clients))
}

// clientOf is the address that a connection counts for; ok is false for those of this
// machine's own sockets in the file system.
func clientOf(c net.Conn) (client netip.Prefix, ok bool) {
	tcp, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}, false
	}
	return acl.ClientOf(tcp.AddrPort().Addr()), true
}

// Why a connection is turned away: from the closed set of the metric.
const (
	tooMany        = "connections"
	tooManyOfOne   = "address"
	tooLittleSpace = "memory"
)

// admit counts a connection in, or says why it must not be. Rather than turn one away
// because all are taken, a silent one is ended, as nginx does: its client connects
// again when it has something to say.
func (s *Server) admit(c net.Conn) (counted *countedConn, wait time.Duration, refused string) {
	if s.memory.full() {
		return nil, 0, tooLittleSpace
	}
	client, known := clientOf(c)
	if known {
		var ok bool
		if wait, ok = s.arrivals.enter(client, time.Now()); !ok {
			return nil, 0, tooManyOfOne
		}
	}
	leave := func() {
		if known {
			s.arrivals.leave(client)
		}
		s.open.Add(-1)
	}
	if s.open.Add(1) > int64(s.options.Connections) && s.shed(1) == 0 {
		leave()
		return nil, 0, tooMany
	}
	s.metrics.connections.Inc()
	return &countedConn{Conn: c, raw: rawio.New(c), closed: func() {
		leave()
		s.metrics.connections.Dec()
	}}, wait, ""
}

// shed ends up to so many silent connections, and returns how many.
func (s *Server) shed(most int) int {
	n := s.lanes.shed(most)
	s.metrics.shed.Add(float64(n))
	return n
}
