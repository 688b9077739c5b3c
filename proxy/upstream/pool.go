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
	// Requests bounds the requests on their way at a time; 1,024. More wait: when
	// one key changes, thousands of clients read at once. An eighth of them, and at
	// least one, is for writes alone.
	MaxRequests int
	// Watches bounds the watches on their way at a time; 20,000.
	MaxWatches int
	// Ahead bounds the memory, in bytes, of answers that are received before their client
	// takes them, and again of those for many clients; 128 MiB.
	Buffered int64
	// Idle bounds the idle connections kept to each endpoint; 256.
	MaxIdle int
	// IdleTimeout is how long one is kept; 90 seconds.
	IdleTimeout time.Duration
	// DialTimeout bounds dialling, TLS included; 2 seconds, as etcd is near.
	DialTimeout time.Duration
	// HeaderTimeout bounds the wait for a free slot, and again the time from
	// sending a request to the head of its answer; 30 seconds: an etcd without a
	// leader answers a write after 5 to 7.
	HeaderTimeout time.Duration
	// BodyTimeout bounds the wait for more of an answer; 30 seconds. Watches have
	// none.
	BodyTimeout time.Duration
	// RawSockets lets connections use the system calls of package rawio.
	RawSockets bool
	// Counters are counted on; they can be shared by pools that follow each other.
	Counters *Counters
}

// Counters tell what happens in a pool.
type Counters struct {
	// Dials and DialFailures are attempts to connect and those that failed; Reuses
	// are requests sent on a pooled connection; Stale are pooled connections that
	// were found closed; Retries are requests sent once more.
	Dials, DialFailures, Reuses, Stale, Retries atomic.Uint64
	// Active, Watching and Idle are connections at this moment.
	Active, Watching, Idle atomic.Int64
	// Ahead and Shared are what is held of answers for one client and for many.
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
}

// Pool is the connections to etcd. It is safe for concurrent use.
type Pool struct {
	o         Options
	count     *Counters
	endpoints []*endpoint
	slots     *slots
	watches   *semaphore.Weighted

	background context.Context // of probes; ends with the pool
	stop       context.CancelFunc
	probes     sync.WaitGroup
	closed     atomic.Bool
}

// New makes a pool. It connects to nothing yet.
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

// Counters returns the counters that the pool updates.
func (p *Pool) Counters() *Counters { return p.count }

// Close closes the idle connections and lets running requests finish; their
// connections are closed then. New requests still work, each on a connection of
// its own: those who loaded an old snapshot just before a reload.
func (p *Pool) Close() {
	p.closed.Store(true)
	p.stop()
	for _, e := range p.endpoints {
		e.closeIdle()
	}
	p.probes.Wait()
}
