package changeover

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// readTimeout bounds a read at a member that may be dead.
const readTimeout = 3 * time.Second

// follow keeps the phase up to date until the proxy is closed, at one endpoint after the other.
func (p *Proxy) follow() {
	defer p.forget()
	for p.ctx.Err() == nil {
		err := p.followAt()
		if p.ctx.Err() != nil {
			return
		}
		p.line.ended(err)
		p.lose(err)
		if errors.Is(err, errAgain) {
			continue
		}
		at, address := p.client.Endpoint()
		p.o.Log.Debug("the description of the tree is not followed any more", "endpoint", address, "error", err)
		_ = p.client.Use((at + 1) % p.client.Endpoints()) // an endpoint that cannot be used fails again
		select {
		case <-p.ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// errAgain means that the description has to be read again: in another session, or because it is gone.
var errAgain = errors.New("the description of the tree has to be read again")

// followAt follows the description of the tree in one session, or without one, at one endpoint.
func (p *Proxy) followAt() error {
	ctx, cancel := context.WithCancelCause(p.ctx)
	defer cancel(nil)
	session, changed := p.session.Current()
	alone := session == "" && p.session.Full()
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
	w, err := p.watch(ctx, cancel, answer.Header.Revision)
	if err != nil {
		return err
	}
	defer p.freezing.end()
	var guards sync.WaitGroup
	defer guards.Wait()
	defer w.Close()
	defer cancel(nil)
	p.line.begin()
	guards.Go(func() { cancel(p.line.guard(ctx, w, changed)) })
	p.forget()
	var meta *mvccpb.KeyValue
	if kvs := answer.Responses[0].GetResponseRange().Kvs; len(kvs) > 0 {
		meta = kvs[0]
	}
	for hasLog := len(answer.Responses[1].GetResponseRange().Kvs) > 0; ; {
		p.apply(ctx, session, alone, meta, hasLog)
		for meta = nil; meta == nil; {
			_, events, err := w.Next()
			if err != nil {
				if cause := context.Cause(ctx); cause != nil {
					err = cause
				}
				return err
			}
			p.line.hear()
			if len(events) > 0 {
				meta = events[len(events)-1].Kv
			}
		}
		if meta.Version == 0 {
			return errAgain // whether there was a tree is to be seen as well
		}
	}
}

// watch opens the watch of what comes after a revision. It ends with ctx, and cancel ends that if the member takes
// longer than for a read.
func (p *Proxy) watch(ctx context.Context, cancel context.CancelCauseFunc, after int64) (*rpc.Watch, error) {
	late := time.AfterFunc(readTimeout, func() { cancel(errSilent) })
	defer late.Stop()
	return p.client.Watch(ctx, p.keys.Meta(), nil, after+1, after, false)
}

func get(key []byte) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: key}}}
}

// apply takes note of a description of the tree; nil is none.
func (p *Proxy) apply(ctx context.Context, session string, alone bool, meta *mvccpb.KeyValue, hasLog bool) {
	p.freezing.end()
	found, revision := p.read(meta), int64(0)
	if meta != nil {
		revision = meta.ModRevision
	} else if hasLog || p.Tree() {
		found = verdict{reason: "the description of the tree is gone; restore it, or the store"}
	}
	before, reasonBefore := p.Phase()
	if found.phase == Unknown {
		// It may say in a newer form that the tree has the keys.
		if p.known.Swap(false) {
			p.breakOff()
		}
	} else {
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
		p.phase, p.reason, p.name, p.alone = found.phase, found.reason, session, alone
		p.described, p.describedTree = revision, p.Tree()
	})
	if found.phase != before || found.reason != reasonBefore {
		p.o.Log.Info("another API takes writes", "before", before.String(), "now", found.phase.String(), "reason", found.reason)
	}
	if alone && found.phase == V2 {
		p.o.Log.Warn("etcd's v3 store is full and takes no session of this proxy; writes to the v2 API go on without one")
	}
	if found.phase == Frozen {
		f := freeze{p: p, session: session, revision: meta.ModRevision, meta: found.meta}
		p.freezing.begin(ctx, f.run)
	}
}
