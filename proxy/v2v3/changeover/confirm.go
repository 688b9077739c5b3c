package changeover

import (
	"context"
	"errors"
	"fmt"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// confirm finds out whether the session still exists. One read is on its way at a time, and all who
// ask before it is sent share it.
type confirm struct {
	p      *Proxy
	wanted chan struct{} // has room for one
	mu     sync.Mutex
	next   *round
}

// round is one read.
type round struct {
	done    chan struct{}
	session string // that exists
	err     error
}

func (c *confirm) init(p *Proxy) { c.p, c.wanted = p, make(chan struct{}, 1) }

// wait returns the result of a read that begins after the call. A read that fails is repeated.
func (c *confirm) wait(ctx context.Context) (*round, error) {
	ctx, cancel := context.WithTimeout(ctx, c.p.o.Timeout)
	defer cancel()
	for {
		r, err := c.round(ctx)
		switch {
		case err != nil:
			return nil, err
		case r.err == nil:
			return r, nil
		case !rpc.Pause(ctx):
			return nil, r.err
		}
	}
}

func (c *confirm) round(ctx context.Context) (*round, error) {
	c.mu.Lock()
	if c.next == nil {
		c.next = &round{done: make(chan struct{})}
	}
	r := c.next
	c.mu.Unlock()
	select {
	case c.wanted <- struct{}{}:
	default:
	}
	select {
	case <-r.done:
		return r, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for a read of the session: %w", context.Cause(ctx))
	case <-c.p.ctx.Done():
		return nil, errClosed
	}
}

var errClosed = errors.New("the proxy stops")

// run reads whenever somebody waits.
func (c *confirm) run() {
	for {
		select {
		case <-c.wanted:
		case <-c.p.ctx.Done():
			return
		}
		c.mu.Lock()
		r := c.next
		c.next = nil
		c.mu.Unlock()
		if r != nil {
			r.session, r.err = c.read()
			close(r.done)
		}
	}
}

// read returns the session if its key exists, and "" otherwise.
func (c *confirm) read() (string, error) {
	p := c.p
	name, _, ok := p.session.Fence()
	if !ok {
		return "", nil
	}
	ctx, cancel := context.WithTimeout(p.ctx, min(readTimeout, p.o.Timeout))
	defer cancel()
	answer, err := p.client.Range(ctx, &pb.RangeRequest{Key: p.keys.Session(name), KeysOnly: true})
	if err != nil {
		return "", fmt.Errorf("reading the session: %s", rpc.Reason(err))
	}
	if len(answer.Kvs) == 0 {
		p.session.Saw(name, 0)
		return "", nil
	}
	return name, nil
}
