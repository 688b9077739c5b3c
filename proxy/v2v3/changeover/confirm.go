package changeover

import (
	"context"
	"errors"
	"fmt"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// confirm finds out whether the session still exists, and which description the tree has. One read is on its way at a time, and all who
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
	meta    int64  // the revision of the description; 0 if there is none
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
			r.session, r.meta, r.err = c.read()
			close(r.done)
		}
	}
}

// read returns the session if its key exists, and "" otherwise, and the revision of the description.
func (c *confirm) read() (session string, meta int64, err error) {
	p := c.p
	name, _, ok := p.session.Fence()
	ctx, cancel := context.WithTimeout(p.ctx, min(readTimeout, p.o.Timeout))
	defer cancel()
	answer, err := p.client.Txn(ctx, &pb.TxnRequest{Success: []*pb.RequestOp{revisionOf(p.keys.Meta()), revisionOf(p.keys.Session(name))}})
	if err != nil {
		return "", 0, fmt.Errorf("reading the session: %s", rpc.Reason(err))
	}
	if kvs := answer.Responses[0].GetResponseRange().Kvs; len(kvs) > 0 {
		meta = kvs[0].ModRevision
	}
	if !ok {
		return "", meta, nil
	}
	if len(answer.Responses[1].GetResponseRange().Kvs) == 0 {
		p.session.Saw(name, 0)
		return "", meta, nil
	}
	return name, meta, nil
}

func revisionOf(key []byte) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: key, KeysOnly: true}}}
}
