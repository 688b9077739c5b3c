package changeover

import (
	"context"
	"errors"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// follow keeps the phase up to date until the proxy is closed, at one endpoint after the other.
func (p *Proxy) follow() {
	for p.ctx.Err() == nil {
		err := p.followAt()
		p.update(func() { p.name = "" })
		if p.ctx.Err() != nil {
			return
		}
		at, address := p.client.Endpoint()
		if !p.Known() {
			p.update(func() { p.reason = err.Error() })
		}
		p.o.Log.Debug("the description of the tree is not followed any more", "endpoint", address, "error", err)
		if !errors.Is(err, errSessionOver) {
			_ = p.client.Use((at + 1) % p.client.Endpoints()) // an endpoint that cannot be used fails again
		}
		select {
		case <-p.ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// errSessionOver means that what was read counts no more, because writes would not be waited for.
var errSessionOver = errors.New("the session has ended")

// followAt follows the description of the tree in one session, at one endpoint.
func (p *Proxy) followAt() error {
	ctx, cancel := context.WithCancelCause(p.ctx)
	defer cancel(nil)
	begin, done := context.WithTimeout(ctx, p.o.Timeout)
	defer done()
	session, ended, err := p.session.Await(begin)
	if err != nil {
		return fmt.Errorf("waiting for a session: %w", err)
	}
	p.running.Go(func() {
		select {
		case <-ended:
			cancel(errSessionOver)
		case <-ctx.Done():
		}
	})
	// The session was put before this read. See the package comment.
	answer, err := p.client.Txn(rpc.RequireLeader(begin), &pb.TxnRequest{Success: []*pb.RequestOp{get(p.keys.Meta()), get(p.keys.Session(session))}})
	if err != nil {
		return fmt.Errorf("reading the description of the tree: %s", rpc.Reason(err))
	}
	if len(answer.Responses[1].GetResponseRange().Kvs) == 0 {
		p.session.Saw(session, 0)
		return errSessionOver
	}
	w, err := p.client.Watch(ctx, p.keys.Meta(), nil, answer.Header.Revision+1, false)
	if err != nil {
		return err
	}
	defer w.Close()
	defer p.freezing.end()
	var meta *mvccpb.KeyValue
	if kvs := answer.Responses[0].GetResponseRange().Kvs; len(kvs) > 0 {
		meta = kvs[0]
	}
	for {
		p.apply(ctx, session, meta)
		for meta = nil; meta == nil; {
			_, events, err := w.Next()
			if err != nil {
				if errors.Is(context.Cause(ctx), errSessionOver) {
					return errSessionOver
				}
				return err
			}
			if len(events) > 0 {
				meta = events[len(events)-1].Kv
			}
		}
		if meta.Version == 0 {
			meta = nil
		}
	}
}

func get(key []byte) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: key}}}
}

// apply takes note of a description of the tree; nil is none.
func (p *Proxy) apply(ctx context.Context, session string, meta *mvccpb.KeyValue) {
	p.freezing.end()
	found, revision := read(meta), int64(0)
	if meta != nil {
		revision = meta.ModRevision
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
func read(meta *mvccpb.KeyValue) verdict {
	if meta == nil {
		return verdict{phase: V2}
	}
	m, err := layout.DecodeMeta(meta.Value)
	if err == nil {
		err = m.Readable()
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
