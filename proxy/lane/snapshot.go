package lane

import (
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/observe"
	"etcd-tlsproxy/proxy/shadow"
	"etcd-tlsproxy/proxy/share"
	"etcd-tlsproxy/proxy/upstream"
	"etcd-tlsproxy/proxy/v2v3/changeover"
)

// Snapshot holds everything that is needed to decide about a request and to carry it. It is
// immutable.
type Snapshot struct {
	gate.Policy
	// FastLane serves plain requests of HTTP/1.1 without net/http.
	FastLane bool
	// Balancers are the networks of load balancers. Their connections begin with a header that
	// names the client.
	Balancers []netip.Prefix
	// Limits bounds one request.
	Limits Limits
	// Origin answers the v2 API from an etcd v3 store. If it is nil, etcd itself answers it,
	// through Upstream.
	Origin *Origin
	// Changeover says whether the v2 API of etcd still answers; nil if it always does, or never.
	Changeover *changeover.Proxy
	// Shadow compares answers of the v2 API with those of a copy in a v3 store; nil compares none.
	Shadow *shadow.Shadow
	// Upstream is the pool of connections to etcd.
	Upstream *upstream.Pool
	// Reads shares equal reads through Upstream; nil sends each read on its own.
	Reads *share.Reads
	// Watches shares equal watches through Upstream; nil sends each watch on its own.
	Watches *share.Watches

	counts *observe.DecisionCounts // set by Publish
}

// Counts returns the counts of the gate's decisions under this snapshot. They are nil
// until the snapshot is published.
func (s *Snapshot) Counts() *observe.DecisionCounts { return s.counts }

// IsBalancer reports whether an address is that of a load balancer.
func (s *Snapshot) IsBalancer(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	return slices.ContainsFunc(s.Balancers, func(network netip.Prefix) bool { return network.Contains(addr) })
}

// forwarded returns the part of a client's Authorization field that etcd is sent: all of it
// or none. Requests of which it is sent are not shared, because etcd's answer depends on it.
func (s *Snapshot) forwarded(authorization string) string {
	if s.EtcdUsers == gate.EtcdClients {
		return authorization
	}
	return ""
}

// SharesWatches reports whether a watch with the given Authorization field may be shared.
func (s *Snapshot) SharesWatches(authorization string) bool {
	return s.Origin != nil || s.Watches != nil && s.forwarded(authorization) == ""
}

// Joins reports whether a watch is one for [Exchange.Join], and not for [Exchange.Alone].
func (s *Snapshot) Joins(op *gate.Operation, authorization string) bool {
	if s.Origin != nil {
		return true
	}
	_, ok := SharedWatch(op)
	return ok && s.SharesWatches(authorization)
}

// Current holds the snapshot in force.
type Current struct {
	snapshot atomic.Pointer[Snapshot]
}

// Load returns the snapshot in force.
func (c *Current) Load() *Snapshot { return c.snapshot.Load() }

// Publish puts a snapshot in force for every request that starts from now on. Requests
// may still be reading a snapshot that was in force before, so such a snapshot is copied
// before its counts are set.
func (c *Current) Publish(next *Snapshot) {
	var old *observe.DecisionCounts
	if before := c.snapshot.Load(); before != nil {
		old = before.counts
	}
	if counts := observe.CountsFor(&next.Policy, old); counts != next.counts {
		if next.counts != nil {
			again := *next
			next = &again
		}
		next.counts = counts
	}
	c.snapshot.Store(next)
}

// Limits bounds what one client can make the proxy hold, and for how long.
type Limits struct {
	// Head bounds the head of a request, in bytes. nginx has 4 buffers of 8 KiB.
	Head int
	// Body bounds the body of a request, in bytes. etcd refuses forms above 10 MiB.
	Body int64
	// HeaderTimeout bounds the time from the first byte of a head to its last, and the time
	// that a new connection may take to send its first request. It ends the connections of
	// clients that send a byte only now and then.
	HeaderTimeout time.Duration
	// BodyTimeout bounds the time that a client may need to send or to receive the next
	// bytes of a body; see [Pace].
	BodyTimeout time.Duration
}
