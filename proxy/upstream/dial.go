package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"etcd-tlsproxy/proxy/rawio"
)

// endpoint is an Endpoint with its idle connections and its health.
type endpoint struct {
	Endpoint
	pool *Pool
	tls  *tls.Config

	mu     sync.Mutex
	idle   []*conn // the most recently used last
	expiry *time.Timer
	down   atomic.Bool // a probe is dialing it
	since  time.Time   // when down was set; guarded by mu
}

// keepAlive detects a peer that vanished without closing the connection. A watch may
// receive nothing for days.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 15 * time.Second, Count: 3}

func newEndpoint(p *Pool, at Endpoint) *endpoint {
	e := &endpoint{Endpoint: at, pool: p}
	if at.tls {
		e.tls = &tls.Config{}
		if p.o.TLS != nil {
			e.tls = p.o.TLS.Clone()
		}
		if e.tls.ServerName == "" {
			e.tls.ServerName = at.host
		}
		e.tls.NextProtos = []string{"http/1.1"} // over HTTP/2 etcd would serve its v3 API
	}
	return e
}

// dial opens a new connection.
func (e *endpoint) dial(ctx context.Context) (*conn, error) {
	p := e.pool
	p.count.Dials.Add(1)
	ctx, cancel := context.WithTimeout(ctx, p.o.DialTimeout)
	defer cancel()
	socket, err := e.dialAddresses(ctx)
	for attempt := 0; noFiles(err) && attempt < maxShedding; attempt++ {
		if shed := p.noFiles.Load(); shed != nil {
			(*shed)()
		}
		select {
		case <-time.After(shedPause):
		case <-ctx.Done():
		}
		socket, err = e.dialAddresses(ctx)
	}
	if err != nil {
		p.count.DialFailures.Add(1)
		return nil, err
	}
	raw := rawio.New(socket, p.o.RawSockets)
	c := newConn(raw, e)
	if e.tls != nil {
		secure := tls.Client(raw, e.tls)
		if err := secure.HandshakeContext(ctx); err != nil {
			p.count.DialFailures.Add(1)
			return nil, errors.Join(err, raw.Close())
		}
		c.Conn = secure
	}
	return c, nil
}

// A dial that finds no file descriptors is tried again for a while, until connections of clients
// have ended: others may take the descriptors first. That says nothing of the endpoint.
const (
	maxShedding = 100
	shedPause   = 10 * time.Millisecond
)

// OnNoFiles sets a function that makes connections of clients end because there are no file
// descriptors. etcd would seem to be down otherwise.
func (p *Pool) OnNoFiles(shed func()) { p.noFiles.Store(&shed) }

// noFiles reports whether an error is the lack of file descriptors.
func noFiles(err error) bool { return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) }

// dialAddresses connects to the first address that accepts. Each address gets an equal
// share of the remaining time.
func (e *endpoint) dialAddresses(ctx context.Context) (c net.Conn, err error) {
	addresses := []string{e.address}
	if e.network == "tcp" {
		addresses = strings.Fields(e.address)
	}
	last, _ := ctx.Deadline()
	for i, address := range addresses {
		share := time.Until(last) / time.Duration(len(addresses)-i)
		dialer := net.Dialer{KeepAliveConfig: keepAlive, Deadline: time.Now().Add(share)}
		if c, err = dialer.DialContext(ctx, e.network, address); err == nil {
			break
		}
	}
	return c, err
}

// connect returns a connection for a request: an idle one, or a new one if there is
// none or if fresh is set. Endpoints that are known to be down are tried only after all
// others have failed. With only set, no other endpoint is tried.
func (p *Pool) connect(ctx context.Context, only *endpoint, fresh bool) (*conn, *Error) {
	if only != nil {
		return only.connect(ctx, fresh)
	}
	var failed *Error
	for _, onlyDown := range []bool{false, true} {
		for _, e := range p.endpoints {
			if e.down.Load() != onlyDown {
				continue
			}
			var c *conn
			if c, failed = e.connect(ctx, fresh); failed == nil || failed.Kind == Canceled {
				return c, failed
			}
			if !noFiles(failed.Err) {
				e.markDown()
			}
		}
	}
	if failed == nil {
		// The last endpoint came back between the two rounds.
		return p.connect(ctx, nil, fresh)
	}
	return nil, failed
}

func (e *endpoint) connect(ctx context.Context, fresh bool) (*conn, *Error) {
	if !fresh {
		if c := e.getIdle(); c != nil {
			return c, nil
		}
	}
	c, err := e.dial(ctx)
	switch {
	case err == nil:
		if err = c.arm(); err == nil {
			return c, nil
		}
		_ = c.Close()
	case ctx.Err() != nil:
		return nil, &Error{Kind: Canceled, Endpoint: e.String(), Err: context.Cause(ctx)}
	}
	return nil, &Error{Kind: Unreachable, Endpoint: e.String(), Err: err}
}

// markDown records that a dial failed. If there are other endpoints, a probe finds out
// when this one is back, so that no request waits for its timeout.
func (e *endpoint) markDown() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.down.Load() || len(e.pool.endpoints) == 1 || e.pool.closed.Load() {
		return
	}
	e.since = time.Now()
	e.down.Store(true)
	e.pool.probes.Go(e.probe)
}

// The pauses between probes of an endpoint that is down. They are short at first, because
// most outages are restarts.
const (
	firstProbe = 50 * time.Millisecond
	lastProbe  = time.Second
)

func (e *endpoint) probe() {
	ctx := e.pool.background
	for pause := firstProbe; ; pause = min(2*pause, lastProbe) {
		// Random pauses keep many proxies from dialing a starting member all at once.
		timer := time.NewTimer(pause/2 + rand.N(pause/2))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		c, err := e.dial(ctx)
		if err != nil {
			continue
		}
		e.down.Store(false)
		e.putIdle(c, time.Now())
		return
	}
}
