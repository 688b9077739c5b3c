package presence

import (
	"context"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// fenceTimeout bounds one attempt to put up a fence. The endpoint may be dead; the follower then
// chooses the next one.
const fenceTimeout = 2 * time.Second

// fencing is an attempt to make sure that no write of a session that compares an older revision
// is executed any more. All writes that need it share it.
type fencing struct {
	done chan struct{}
	// The lock of the session guards what follows.
	//
	// revision is 0 if it failed. Each such write that was executed has a revision of at most this
	// one, and the mirror reaches it.
	revision int64
	// gone means that the session is over.
	gone bool
}

// FenceOff makes sure that no write of a session that compares the given revision of its key is executed
// after the returned revision. It fails only if the time is over.
func (n *Session) FenceOff(ctx context.Context, name string, compared int64) (revision int64, err error) {
	for {
		n.mu.Lock()
		if n.name == name && n.revision > compared {
			defer n.mu.Unlock()
			return n.revision, nil
		}
		f := n.fences[name]
		first := f == nil
		if first {
			f = &fencing{done: make(chan struct{})}
			n.fences[name] = f
			n.put++
		}
		n.mu.Unlock()
		if first {
			n.putFence(ctx, name, f)
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return 0, fmt.Errorf("the fence was not confirmed: %w", ctx.Err())
		}
		n.mu.Lock()
		revision, gone := f.revision, f.gone
		n.mu.Unlock()
		// A fence that began before the write was sent may be at the revision that it compares.
		if gone || revision > compared {
			return revision, nil
		}
		if n.Context.Err() != nil {
			return 0, errClosed
		}
		if !rpc.Pause(ctx) {
			return 0, fmt.Errorf("the fence was not confirmed: %w", ctx.Err())
		}
	}
}

// Fences returns the number of attempts to put up a fence.
func (n *Session) Fences() int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.put
}

// putFence puts the key of a session again, once. If there is none, no write of the session will be
// executed anyway, and the last event is that of the log.
func (n *Session) putFence(ctx context.Context, name string, f *fencing) {
	ctx, cancel := context.WithTimeout(ctx, fenceTimeout)
	defer cancel()
	endpoint, _ := n.Client.Endpoint()
	key := n.Keys.Session(name)
	answer, err := n.Client.Txn(ctx, &pb.TxnRequest{
		Compare: []*pb.Compare{{Target: pb.Compare_VERSION, Result: pb.Compare_GREATER, Key: key, TargetUnion: &pb.Compare_Version{Version: 0}}},
		// The lease stays. The key must not come back if it is gone: then its fence would be down.
		Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: key, Value: n.value(), IgnoreLease: true}}}},
		Failure: []*pb.RequestOp{logHead(n.Keys)},
	})
	var revision int64
	gone := false
	switch {
	case err != nil:
		n.Log.Debug("the fence was not confirmed", "error", rpc.Reason(err))
	case answer.Succeeded:
		revision = answer.Header.Revision
		n.Saw(name, revision)
		n.Seen(answer.Header, revision, endpoint)
	default:
		n.Saw(name, 0)
		if kvs := answer.Responses[0].GetResponseRange().Kvs; len(kvs) > 0 {
			revision, gone = kvs[0].ModRevision, true
			n.Seen(answer.Header, revision, endpoint)
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.fences, name)
	f.revision, f.gone = revision, gone
	close(f.done)
}

// logHead reads the revision of the last event.
func logHead(k layout.Keys) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: k.Log(), KeysOnly: true}}}
}
