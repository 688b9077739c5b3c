package proxy

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"time"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/certs"
	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/bulk"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/lane/fast"
	"etcd-tlsproxy/proxy/lane/std"
	"etcd-tlsproxy/proxy/observe"
)

// Options describes a [Server]. What can change while it runs is in the
// [lane.Snapshot].
type Options struct {
	// Snapshot is the first snapshot; see [Server.Publish].
	Snapshot *lane.Snapshot
	// Observer receives the reports about connections and requests.
	Observer *observe.Observer
	// Log receives the server's own messages.
	Log *slog.Logger
	// Throttle slows failed logins, across all snapshots.
	Throttle *acl.Throttle
	// RawSockets makes the connections of clients use the system calls of package rawio.
	RawSockets bool
	// MaxConnections bounds the open connections of clients. Beyond it an idle
	// connection is closed for each new one, or another one of a client that has more than
	// its share. An eighth is reserved for clients that have less than their share.
	MaxConnections int
	// MaxAddressConnections bounds the connections of one address, or of one /64 of IPv6;
	// 0 means that only the shares do.
	MaxAddressConnections int
	// MaxAddressHandshakes bounds the connections of one address that may start in a
	// second; 0 means no bound. More connections wait for their turn.
	MaxAddressHandshakes int
	// MaxMemory bounds the memory that the process may need, in bytes; 0 means no
	// bound. Before it is reached reads are refused, then writes and connections too.
	MaxMemory uint64
	// MaxWatches bounds the running watches. MaxUserWatches bounds those of one user or, if
	// the decision does not depend on the user, of one address; 0 means that only the shares
	// do.
	MaxWatches, MaxUserWatches int
	// MaxBodyMemory bounds the memory of all large request bodies together, in bytes.
	MaxBodyMemory int64
	// HashWorkers is the number of passwords that are hashed at a time; 0 means one for every
	// two processors, so that logins cannot stop the proxy from serving reads.
	HashWorkers int
	// HandshakeTimeout bounds a TLS handshake.
	HandshakeTimeout time.Duration
	// IdleTimeout bounds the time that a client's connection may wait for its next request.
	IdleTimeout time.Duration
	// ProbeEvery is how often etcd is probed while it answers no requests, because there are
	// none or because it hangs; 0 means every five seconds. It is probed five times as often
	// while nothing but that can show that an outage is over.
	ProbeEvery time.Duration

	usage func() usage // replaces the process's own in tests
}

// Server is the front end. It accepts connections, ends TLS, and hands each
// connection to a lane.
type Server struct {
	options  Options
	log      *slog.Logger
	observer *observe.Observer
	metrics  *observe.Metrics
	current  lane.Current
	conns    lane.Conns
	exchange *lane.Exchange
	fast     *fast.Lane
	std      *std.Server
	tls      *tls.Config

	unaccepted     *observe.Outage
	unnamed        *observe.Outage // load balancers that do not name their clients
	accounts       *account.Table
	connections    *account.Pool
	headers        *account.Pool // connections of load balancers whose header is awaited
	handshakes     *account.Pool // those that compute at the moment
	rate           *handshakeRate
	bounds         lane.Bounds
	logins         *logins
	bodies         *account.Pool
	memory         *memory
	handshakers    *handshakers
	stopHandshakes context.CancelFunc // ends the polls as well
	accepting      sync.WaitGroup

	mu        sync.Mutex
	listeners []net.Listener
	draining  bool
	emptying  time.Time // since when; zero if not
}

// NewServer returns a server that serves nothing yet.
func NewServer(o Options) *Server {
	s := &Server{
		unaccepted: &observe.Outage{
			Began: "cannot accept a connection, trying again", Lasts: "still cannot accept every connection", Ended: "connections are accepted again", Log: o.Log,
		},
		unnamed: &observe.Outage{
			Began: "a load balancer does not say who its client is, the connection was closed",
			Lasts: "load balancers still do not say who their clients are",
			Ended: "load balancers say who their clients are again", Log: o.Log,
		},
		options: o, log: o.Log, observer: o.Observer, metrics: o.Observer.Metrics,
		accounts: account.NewTable(),
		rate:     newHandshakeRate(o.MaxAddressHandshakes, o.HandshakeTimeout),
		bounds:   newBounds(o.Observer.Metrics),
	}
	s.connections = s.accounts.NewPool(account.Options{
		Name: "connections", Total: int64(o.MaxConnections), Reserve: int64(o.MaxConnections / 8), ForNewcomers: true,
		PerAccount: int64(o.MaxAddressConnections), Bytes: connectionBytes, Connections: true,
		// Those that wait have a descriptor each.
		Queue: min(maxWaitingConnections, max(16, o.MaxConnections/64)),
	})
	awaited := int64(o.MaxConnections / headerShare)
	s.headers = s.accounts.NewPool(account.Options{Name: "headers", Total: awaited, Reserve: awaited / 8, ForNewcomers: true, Connections: true, Bytes: headerBytes})
	// No place is held while a handshake waits for its client, so there is one for each
	// processor. The number of connections bounds the queue.
	s.handshakes = s.accounts.NewPool(account.Options{
		Name: "handshakes", Total: int64(runtime.GOMAXPROCS(0)), Queue: o.MaxConnections,
	})
	s.logins = newLogins(s.accounts, o.HashWorkers)
	s.conns.Pool, s.conns.Revoked = s.connections, s.metrics.ConnectionShed
	if o.usage == nil {
		o.usage = readUsage
	}
	s.memory = newMemory(o.MaxMemory, o.usage, s.accounts.NewLedger(), s.metrics.SetMemoryLevel)
	s.exchange = &lane.Exchange{
		Accounts: s.accounts,
		Pools: lane.Pools{
			Slots:     s.accounts.NewPool(account.Options{Name: "requests", Total: 1, Queue: o.MaxConnections}),
			Proposals: s.accounts.NewPool(account.Options{Name: "proposals", Total: 1, Queue: o.MaxConnections}),
			Bulk: bulk.NewLimits(
				s.accounts.NewPool(account.Options{Name: "large_answers", Unit: bulk.Unit, Total: maxBulk / bulk.Unit, Reserve: maxBulk / bulk.Unit / 8, ForNewcomers: true, Queue: o.MaxConnections}),
				s.accounts.NewPool(account.Options{Name: "trees", Total: 1, Queue: o.MaxConnections}),
				s.accounts.NewPool(account.Options{Name: "watched", Unit: bulk.Unit, Total: maxBulk / bulk.Unit, Reserve: maxBulk / bulk.Unit / 8, ForNewcomers: true, Queue: o.MaxConnections}),
			),
			Memory: s.accounts.NewPool(account.Options{Name: "answers", Unit: account.LeaseUnit, Bytes: account.LeaseUnit, Total: 1}),
		},
		Written:  &account.Tally{},
		Gate:     &gate.Gate{Throttle: o.Throttle, Admits: s.memory.admits, Audited: o.Observer.Records.Audited, HashTurn: s.logins.turn, Login: s.metrics.CountLogin},
		Observer: o.Observer,
		Current:  &s.current,
		Watches:  lane.NewWatches(o.MaxWatches, o.MaxUserWatches, s.metrics),
		Log:      o.Log,
		Outage:   lane.NewOutage(o.Log),
		Held:     lane.NewHeld(o.Log),
	}
	s.exchange.Watches.Pool = s.accounts.NewPool(account.Options{
		Name: "watches", Total: int64(o.MaxWatches), Reserve: int64(o.MaxWatches / 8), ForNewcomers: true,
	})
	s.bodies = s.accounts.NewPool(account.Options{Name: "bodies", Unit: account.LeaseUnit, Bytes: account.LeaseUnit, Total: 1, ForNewcomers: true})
	s.resize(o.Snapshot)
	s.current.Publish(o.Snapshot)
	s.std = std.NewServer(std.Options{
		Exchange: s.exchange, Conns: &s.conns,
		MaxHead: o.Snapshot.Limits.Head, BodyTimeout: o.Snapshot.Limits.BodyTimeout,
		Bodies:      s.bodies,
		Streams:     s.accounts.NewPool(streamsOf(o.MaxMemory)),
		IdleTimeout: o.IdleTimeout,
	})
	s.fast = &fast.Lane{Exchange: s.exchange, Conns: &s.conns, HandOver: s.std.Put, IdleTimeout: o.IdleTimeout}
	ctx, cancel := context.WithCancel(context.Background())
	s.handshakers, s.stopHandshakes = newHandshakers(ctx), cancel
	s.tls = certs.Server(func() *certs.Generation { return s.current.Load().Certs })
	s.observer.Export(s.state)
	return s
}

// NextProtos are the protocols that the lanes serve, for ALPN. curl offers HTTP/1.0 if its
// options select that, and fails if the server does not offer it.
func NextProtos(http2 bool) []string {
	http1 := []string{"http/1.1", "http/1.0"}
	if http2 {
		return append([]string{"h2"}, http1...)
	}
	return http1
}

// Publish puts a new snapshot in force for every request that starts from now on and for
// the running watches: a watch ends if its reader has lost the right.
func (s *Server) Publish(next *lane.Snapshot) {
	s.resize(next)
	before := s.current.Load()
	s.current.Publish(next)
	if (before.Origin == nil) != (next.Origin == nil) {
		s.exchange.Watches.Moved()
	}
	s.exchange.Watches.Recheck(s.exchange.Gate, func() *gate.Policy { return &s.current.Load().Policy })
}

const (
	// maxBulk bounds the bytes of large answers that etcd works for or sends. etcd 3.4 needs
	// about five times as much for them.
	maxBulk = 128 << 20
)

// resize fits the pools of operations to the pool of connections to etcd.
func (s *Server) resize(next *lane.Snapshot) {
	next.Upstream.OnNoFiles(func() { s.shed() })
	parts := next.Upstream.Parts()
	s.exchange.Slots.Resize(parts.Requests, parts.RequestsReserve)
	s.exchange.Proposals.Resize(parts.Proposals, parts.ProposalsReserve)
	s.exchange.Bulk.Trees.Resize(parts.Trees, 0)
	for _, pool := range []*account.Pool{s.exchange.Slots, s.exchange.Proposals, s.exchange.Bulk.Trees} {
		pool.SetPatience(next.Upstream.Patience())
	}
	s.exchange.Memory.Resize(next.Upstream.MaxMemory()/account.LeaseUnit, 0)
	// The largest body fits beside the reserve.
	bodies := s.options.MaxBodyMemory / account.LeaseUnit
	s.bodies.Resize(bodies, min(bodies/8, max(0, bodies-next.Limits.Body/account.LeaseUnit-1)))
}

// Snapshot returns the snapshot in force.
func (s *Server) Snapshot() *lane.Snapshot { return s.current.Load() }

// Draining reports whether Drain was called.
func (s *Server) Draining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining
}
