package changeover

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

const (
	// readTimeout bounds a read at a member that may be dead.
	readTimeout = 3 * time.Second
	// heartbeat is how often a member is asked whether it is alive, and maxSilence how long it may be silent.
	heartbeat  = time.Second
	maxSilence = 3 * time.Second
	// maxStale is how long reads are answered although the description is not followed. A member that changes its
	// leader, or the next endpoint, needs less.
	maxStale = 10 * time.Second
)

// follow keeps the phase up to date until the proxy is closed, at one endpoint after the other.
func (p *Proxy) follow() {
	defer p.forget()
	for p.ctx.Err() == nil {
		err := p.followAt()
		if p.ctx.Err() != nil {
			return
		}
		if errors.Is(err, errAgain) {
			p.update(func() { p.name = "" })
			continue
		}
		p.lose(err)
		at, address := p.client.Endpoint()
		p.o.Log.Debug("the description of the tree is not followed any more", "endpoint", address, "error", err)
		_ = p.client.Use((at + 1) % p.client.Endpoints()) // an endpoint that cannot be used fails again
		select {
		case <-p.ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// lose takes note that the description is not followed.
func (p *Proxy) lose(err error) {
	known := p.known.Load()
	p.update(func() {
		p.name = ""
		if !known {
			p.reason = err.Error()
		}
		if p.lost == nil && !p.o.ServeStale {
			p.lost = time.AfterFunc(maxStale, func() {
				p.stale.Store(true)
				if known && !p.Tree() && p.o.Stale != nil {
					p.o.Stale()
				}
			})
		}
	})
}

// forget ends what lose has begun.
func (p *Proxy) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lost != nil {
		p.lost.Stop()
		p.lost = nil
	}
	p.stale.Store(false)
}

var (
	// errAgain means that the description has to be read again: in another session, or because it is gone.
	errAgain = errors.New("the description of the tree has to be read again")
	// errSilent means that nothing came from a member.
	errSilent = errors.New("the member has been silent")
)

// followAt follows the description of the tree in one session, or without one, at one endpoint.
func (p *Proxy) followAt() error {
	ctx, cancel := context.WithCancelCause(p.ctx)
	defer cancel(nil)
	session, changed := p.session.Current()
	// The session was put before this read. See the package comment.
	begin, done := context.WithTimeout(ctx, readTimeout)
	defer done()
	ops := []*pb.RequestOp{get(p.keys.Meta()), get(p.keys.Log())}
	if session != "" {
		ops = append(ops, get(p.keys.Session(session)))
	}
	answer, err := p.client.Txn(rpc.RequireLeader(begin), &pb.TxnRequest{Success: ops})
	if err != nil {
		return fmt.Errorf("reading the description of the tree: %s", rpc.Reason(err))
	}
	if session != "" && len(answer.Responses[2].GetResponseRange().Kvs) == 0 {
		p.session.Saw(session, 0)
		return errAgain
	}
	w, err := p.client.Watch(ctx, p.keys.Meta(), nil, answer.Header.Revision+1, false)
	if err != nil {
		return err
	}
	defer p.freezing.end()
	var heard atomic.Int64
	heard.Store(time.Now().UnixNano())
	var guards sync.WaitGroup
	defer guards.Wait()
	defer w.Close()
	defer cancel(nil)
	guards.Go(func() {
		cancel(guard(ctx, w, &heard, changed))
	})
	p.forget()
	var meta *mvccpb.KeyValue
	if kvs := answer.Responses[0].GetResponseRange().Kvs; len(kvs) > 0 {
		meta = kvs[0]
	}
	for hasLog := len(answer.Responses[1].GetResponseRange().Kvs) > 0; ; {
		p.apply(ctx, session, meta, hasLog)
		for meta = nil; meta == nil; {
			_, events, err := w.Next()
			if err != nil {
				if cause := context.Cause(ctx); cause != nil {
					err = cause
				}
				return err
			}
			heard.Store(time.Now().UnixNano())
			if len(events) > 0 {
				meta = events[len(events)-1].Kv
			}
		}
		if meta.Version == 0 {
			return errAgain // whether there was a tree is to be seen as well
		}
	}
}

// guard returns why a member must not be followed any more: it is silent, or the session is another one.
func guard(ctx context.Context, w *rpc.Watch, heard *atomic.Int64, changed <-chan struct{}) error {
	ticker := time.NewTicker(heartbeat)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
			return errAgain
		case <-ticker.C:
		}
		if silence := time.Since(time.Unix(0, heard.Load())); silence > maxSilence {
			return fmt.Errorf("%w for %s", errSilent, silence.Round(100*time.Millisecond))
		}
		if err := w.AskProgress(); err != nil {
			return err
		}
	}
}

func get(key []byte) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: key}}}
}

// apply takes note of a description of the tree; nil is none.
func (p *Proxy) apply(ctx context.Context, session string, meta *mvccpb.KeyValue, hasLog bool) {
	p.freezing.end()
	found, revision := p.read(meta), int64(0)
	if meta != nil {
		revision = meta.ModRevision
	} else if hasLog || p.Tree() {
		found = verdict{reason: "the description of the tree is gone; restore it, or the store"}
	}
	before, reasonBefore := p.Phase()
	if found.phase != Unknown {
		changed := p.tree.Swap(found.tree) != found.tree
		p.update(func() { p.known.Store(true) })
		if changed {
			p.o.Switched()
		}
	}
	p.update(func() {
		if found.phase != p.phase {
			p.since = time.Now()
		}
		p.phase, p.reason, p.name = found.phase, found.reason, session
		p.described, p.describedTree = revision, p.Tree()
	})
	if found.phase != before || found.reason != reasonBefore {
		p.o.Log.Info("another API takes writes", "before", before.String(), "now", found.phase.String(), "reason", found.reason)
	}
	if found.phase == Frozen {
		f := freeze{p: p, session: session, revision: meta.ModRevision, meta: found.meta}
		p.freezing.begin(ctx, f.run)
	}
}

// verdict is what a description of the tree says.
type verdict struct {
	phase Phase
	// tree is set if reads are answered from the tree.
	tree bool
	// reason says why the phase is unknown.
	reason string
	meta   *layout.Meta
}

// read returns what a description says; nil is none.
func (p *Proxy) read(meta *mvccpb.KeyValue) verdict {
	if meta == nil {
		return verdict{phase: V2}
	}
	m, err := layout.DecodeMeta(meta.Value)
	if err == nil {
		err = m.Readable(p.o.known)
	}
	switch {
	case err != nil:
		return verdict{reason: err.Error()}
	case m.State == layout.Unfinished:
		return verdict{phase: V2}
	case m.State == layout.Frozen && m.Before == "":
		return verdict{phase: Frozen, meta: m}
	case !m.Moved:
		return verdict{reason: "the store has a tree that was not moved from the v2 API; set upstream.api = \"v3\" to serve it"}
	case m.State == layout.Frozen && m.Before == layout.Live:
		return verdict{phase: Frozen, tree: true, meta: m}
	case m.State == layout.Live:
		return verdict{phase: V3, tree: true, meta: m}
	}
	return verdict{reason: fmt.Sprintf("the tree is in the state %q, which this program does not know", m.State)}
}
