package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

// Options describes a pool. Zero values are the defaults.
type Options struct {
	// Endpoints are etcd's, the preferred first; at least one.
	Endpoints []Endpoint
	// TLS is for https endpoints; its ServerName, if "", is the endpoint's host.
	TLS *tls.Config
	// Authorization is the value of that field in requests that have none of their own; "" sends
	// none.
	Authorization string
	// MaxRequests bounds the requests in flight; 1,024. Further requests wait, because
	// thousands of clients read at once when one key changes. An eighth of the slots, and
	// at least one, is reserved for writes.
	MaxRequests int
	// MaxWatches bounds the watches in flight; 20,000.
	MaxWatches int
	// Buffered bounds the memory, in bytes, of buffered answers for one client, and
	// separately of those for many clients; 128 MiB.
	Buffered int64
	// MaxIdle bounds the idle connections to each endpoint; 256.
	MaxIdle int
	// IdleTimeout is how long an idle connection is kept; 90 seconds.
	IdleTimeout time.Duration
	// DialTimeout bounds dialing, with the TLS handshake; 2 seconds, because etcd is near.
	DialTimeout time.Duration
	// HeaderTimeout bounds the wait for a free slot, and separately the time from
	// sending a request to the head of its answer; 30 seconds: an etcd without a
	// leader answers a write after 5 to 7.
	HeaderTimeout time.Duration
	// BodyTimeout bounds the wait for more of an answer; 30 seconds. It does not apply to
	// watches.
	BodyTimeout time.Duration
	// Probe asks a member about itself if the v2 API is not to be used. If it is nil, the v2 API
	// is.
	Probe func(context.Context, Endpoint) (Probed, error)
	// RawSockets lets connections use the system calls of package rawio.
	RawSockets bool
	// Counters are updated. Successive pools may share them.
	Counters *Counters
}

// Counters counts the work of a pool.
type Counters struct {
	// Dials and DialFailures count attempts to connect and those that failed. Reuses counts
	// requests sent on a pooled connection, Stale pooled connections that were found
	// closed, and Retries requests that were sent a second time.
	Dials, DialFailures, Reuses, Stale, Retries atomic.Uint64
	// ObserveAnswer is called with the duration of each request to etcd, from its sending to
	// the end of its answer, or until it was given up. Watches and probes are left out.
	ObserveAnswer func(write bool, d time.Duration)
	// Active, Watching and Idle are the current numbers of connections.
	Active, Watching, Idle atomic.Int64
	// Buffered and Shared are the bytes held by answers for one client and for many.
	Buffered, Shared Budget
}

func (o *Options) setDefaults() {
	set := func(n *int, value int) {
		if *n <= 0 {
			*n = value
		}
	}
	wait := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	set(&o.MaxRequests, 1024)
	set(&o.MaxWatches, 20_000)
	set(&o.MaxIdle, 256)
	if o.Buffered <= 0 {
		o.Buffered = 128 << 20
	}
	wait(&o.IdleTimeout, 90*time.Second)
	wait(&o.DialTimeout, 2*time.Second)
	wait(&o.HeaderTimeout, 30*time.Second)
	wait(&o.BodyTimeout, 30*time.Second)
	if o.Counters == nil {
		o.Counters = &Counters{}
	}
	if o.Counters.ObserveAnswer == nil {
		o.Counters.ObserveAnswer = func(bool, time.Duration) {}
	}
}

// Pool holds the connections to etcd. It is safe for concurrent use.
type Pool struct {
	o         Options
	count     *Counters
	endpoints []*endpoint
	slots     *slots
	watches   *semaphore.Weighted
	noFiles   atomic.Pointer[func()] // see [Pool.OnNoFiles]

	background context.Context // for probes; canceled by Close
	stop       context.CancelFunc
	probes     sync.WaitGroup
	closed     atomic.Bool
}

// New returns a pool. It does not connect yet.
func New(o Options) (*Pool, error) {
	if len(o.Endpoints) == 0 {
		return nil, errors.New("making a pool: no endpoints")
	}
	o.setDefaults()
	p := &Pool{
		o:       o,
		count:   o.Counters,
		slots:   newSlots(o.MaxRequests),
		watches: semaphore.NewWeighted(int64(o.MaxWatches)),
	}
	p.background, p.stop = context.WithCancel(context.Background())
	for _, at := range o.Endpoints {
		p.endpoints = append(p.endpoints, newEndpoint(p, at))
	}
	return p, nil
}

// MaxRequests returns the bound of the requests in flight.
func (p *Pool) MaxRequests() int { return p.o.MaxRequests }

// Patience returns how long a request waits for its turn.
func (p *Pool) Patience() time.Duration { return p.o.HeaderTimeout }

// MaxMemory returns the bound of the buffered answers for one client each, in bytes.
func (p *Pool) MaxMemory() int64 { return p.o.Buffered }

// Counters returns the counters that the pool updates.
func (p *Pool) Counters() *Counters { return p.count }

// Close closes the idle connections. Running requests finish and their connections are
// closed then. New requests still work, each on a connection of its own: a lane may have
// loaded the old snapshot just before a reload.
func (p *Pool) Close() {
	p.closed.Store(true)
	p.stop()
	for _, e := range p.endpoints {
		e.closeIdle()
	}
	p.probes.Wait()
}
