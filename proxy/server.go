package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/certs"
)

// Options is what a Server is made of. What can change while it runs is in the
// [Snapshot].
type Options struct {
	// Snapshot is the first one; see [Server.Publish].
	Snapshot *Snapshot
	// Metrics, Records and Log get what the server has to say.
	Metrics *Metrics
	Records *Records
	Log     *slog.Logger
	// Throttle slows failed logins, across all snapshots.
	Throttle *acl.Throttle
	// Connections bounds the open connections of clients; beyond it new ones are
	// closed at once.
	Connections int
	// AddressConnections bounds those of one address, or of one /64 of IPv6.
	AddressConnections int
	// AddressHandshakes is how many connections of one address may begin in a second;
	// more wait for their turn.
	AddressHandshakes int
	// Memory is what the process may need, in bytes; 0 is no bound. Before it is
	// reached reads are refused, then writes and connections too.
	Memory uint64
	// Watches bounds the running watches, UserWatches those of one user or, where
	// users do not matter, of one address.
	Watches, UserWatches int
	// BodyMemory bounds what all large request bodies together may hold, in bytes.
	BodyMemory int64
	// HandshakeTimeout bounds a TLS handshake.
	HandshakeTimeout time.Duration
	// IdleTimeout is how long a client's connection may wait for its next request.
	IdleTimeout time.Duration
}

// Server is the front end: it accepts connections, ends TLS, and hands each
// connection to a lane.
type Server struct {
	options  Options
	log      *slog.Logger
	metrics  *Metrics
	records  *Records
	gate     *Gate
	traffic  traffic
	refusals refusals
	samples  samples
	members  members
	watches  *watches
	lanes    *lanes
	bodies   *bodies
	snapshot atomic.Pointer[Snapshot]

	tls   *tls.Config
	http  *http.Server
	queue *connQueue // connections on their way to http

	open       atomic.Int64
	arrivals   *arrivals
	memory     *memory
	handshakes context.Context // ends when no handshake may go on
	giveUp     context.CancelFunc
	accepting  sync.WaitGroup
	running    sync.WaitGroup // handshakes
	crew       crew

	mu        sync.Mutex
	listeners []net.Listener
	draining  bool
}

// NewServer makes a server that serves nothing yet.
func NewServer(o Options) *Server {
	s := &Server{
		options: o,
		log:     o.Log,
		metrics: o.Metrics,
		records: o.Records,
		watches: newWatches(o.Watches, o.UserWatches, o.Metrics),
		bodies:  newBodies(o.BodyMemory),
		lanes:   newLanes(),
		queue:   newConnQueue(),

		arrivals: newArrivals(&o),
		crew:     crew{next: make(chan greeting)},
	}
	s.memory = newMemory(o.Memory, s.shed, o.Metrics.memoryLevel)
	s.gate = &Gate{throttle: o.Throttle, memory: s.memory, metrics: o.Metrics}
	s.putInForce(o.Snapshot)
	s.handshakes, s.giveUp = context.WithCancel(context.Background())
	s.tls = certs.Server(func() *certs.Generation { return s.snapshot.Load().Certs })
	s.http = &http.Server{
		Handler:        standard{s},
		IdleTimeout:    o.IdleTimeout,
		MaxHeaderBytes: o.Snapshot.Limits.Head,
		// For HTTP/2; on HTTP/1 the strict connection cuts slow heads itself.
		ReadHeaderTimeout: o.Snapshot.Limits.HeaderTimeout,
		HTTP2: &http.HTTP2Config{
			// Each stream of a client that takes nothing holds what an answer holds.
			MaxConcurrentStreams: 100,
			// A stream's own deadline cannot end it while the connection blocks.
			WriteByteTimeout: o.Snapshot.Limits.BodyTimeout,
		},
		ErrorLog:    slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
		ConnContext: withConnection,
		ConnState:   s.queue.state,
		// OPTIONS * goes through the gate like all else.
		DisableGeneralOptionsHandler: true,
	}
	return s
}

// Serve accepts connections until the server is drained. Several listeners may
// be served at a time.
func (s *Server) Serve(ln net.Listener) error {
	s.mu.Lock()
	if s.draining {
		s.mu.Unlock()
		return ln.Close()
	}
	first := len(s.listeners) == 0
	s.listeners = append(s.listeners, ln)
	s.accepting.Add(1)
	defer s.accepting.Done()
	s.mu.Unlock()
	if first {
		go s.memory.watch(s.handshakes)
		go s.sample(s.handshakes)
		go func() {
			if err := s.http.Serve(s.queue); !errors.Is(err, http.ErrServerClosed) {
				s.log.Error("the standard lane stopped", "error", err)
			}
		}()
	}
	return s.accept(ln)
}

// Publish puts a new snapshot in force: for every request that begins from now
// on, and for the running watches, which end if their reader lost the right.
func (s *Server) Publish(next *Snapshot) {
	s.putInForce(next)
	s.watches.recheck(s.gate, next)
}

// putInForce completes a snapshot and stores it. One that was in force before can be
// read yet by those who loaded it, so a copy is completed.
func (s *Server) putInForce(next *Snapshot) {
	var old *tallies
	if before := s.snapshot.Load(); before != nil {
		old = before.tallies
	}
	if ts := tallied(next, old); ts != next.tallies {
		if next.tallies != nil {
			again := *next
			next = &again
		}
		next.tallies = ts
	}
	s.snapshot.Store(next)
}

// Snapshot is the one in force.
func (s *Server) Snapshot() *Snapshot { return s.snapshot.Load() }

func (s *Server) currentLimits() *Limits { return &s.snapshot.Load().Limits }

// Drain stops accepting, breaks the watches off so that their clients connect
// elsewhere, and waits for the other requests: those that run, and the first ones of
// connections that were accepted already. When ctx ends first, what still runs is cut;
// either way every connection has been closed on return.
func (s *Server) Drain(ctx context.Context) error {
	defer s.giveUp() // what looks at the server from time to time ends as well
	s.mu.Lock()
	s.draining = true
	for _, ln := range s.listeners {
		_ = ln.Close() // closing twice is an error of no interest
	}
	s.mu.Unlock()
	s.accepting.Wait()
	s.watches.drain()
	s.lanes.begin()
	s.http.SetKeepAlivesEnabled(false) // ends the silent ones
	last, cancel := context.WithTimeout(ctx, lastCall)
	defer cancel()
	defer context.AfterFunc(last, s.giveUp)()
	s.running.Wait()
	err := s.lanes.drain(ctx)
	// From now on no connection comes to net/http. Its Shutdown would drop the requests
	// that it reads from then on, so the last ones are waited for before.
	ended := make(chan struct{})
	go func() {
		s.queue.open.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-last.Done():
	}
	if closing := s.http.Shutdown(ctx); closing != nil {
		err = errors.Join(err, closing, s.http.Close())
	}
	if watches := s.snapshot.Load().Watches; watches != nil {
		watches.Close()
	}
	return err
}

// Draining reports whether Drain was called.
func (s *Server) Draining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining
}
