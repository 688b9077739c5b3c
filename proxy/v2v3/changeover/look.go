package changeover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// Fleet is what a store says about its tree, and about the proxies before it.
type Fleet struct {
	// Cluster is the id of the cluster.
	Cluster uint64
	// Prefix precedes all keys of the tree, and State is that of the tree; "" if there is none.
	Prefix, State string
	// Moved is set if the tree was moved from the v2 API.
	Moved bool
	// V2Keys says what became of the keys of the v2 API since: [layout.Dropping], [layout.Dropped], or "".
	V2Keys string
	// Index is that of the last event of the tree; 0 if there is none.
	Index uint64
	// Left is the index of the v2 API when the tree was moved from there; 0 if that is not known.
	Left uint64
	// Copied is the index of the v2 API of which the tree is a copy, if it is that of a rehearsal; 0 otherwise.
	Copied uint64
	// Locked is set while a command works on the tree.
	Locked bool
	// Keeper is the machine of the proxy that expires nodes; "" if there is none.
	Keeper string
	// Members are the proxies that have a session, ordered by their machines.
	Members []Member

	meta     *layout.Meta
	revision int64 // of the description
	lock     int64
}

// Member is a proxy that has a session.
type Member struct {
	Host, Version string
	// Process is the same for all sessions of a proxy; "" if that is not known.
	Process string
	// Auto is set if it follows the changeover. Such a proxy has a session of its own for the tree, which is
	// another member.
	Auto bool
	// Holds is set if the tree is frozen, and the proxy has said that it holds its writes.
	Holds bool
	// Since is when it said something last, by its own clock.
	Since time.Time
	// Shadow is what it says about comparisons with the tree; nil if it makes none.
	Shadow *layout.Shadow
}

// Look reads what a store says, as of one revision.
func Look(ctx context.Context, client *rpc.Client, keys layout.Keys) (*Fleet, error) {
	sessions := keys.Session("")
	answer, err := client.Txn(rpc.RequireLeader(ctx), &pb.TxnRequest{Success: []*pb.RequestOp{get(keys.Meta()), get(keys.Log()), get(keys.Lock()), get(keys.Keeper()),
		{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: sessions, RangeEnd: layout.End(sessions)}}}}})
	if err != nil {
		return nil, rpc.Named("reading the state of the tree", err)
	}
	f := &Fleet{Cluster: answer.Header.ClusterId, Prefix: string(keys)}
	if kvs := answer.Responses[0].GetResponseRange().Kvs; len(kvs) > 0 {
		if f.meta, err = layout.DecodeMeta(kvs[0].Value); err != nil {
			return nil, err
		}
		f.State, f.Moved, f.V2Keys, f.Left, f.Copied, f.revision = f.meta.State, f.meta.Moved, f.meta.V2Keys, f.meta.Left, f.meta.Copied, kvs[0].ModRevision
		if log := answer.Responses[1].GetResponseRange().Kvs; len(log) > 0 {
			f.Index = f.meta.Index(log[0].ModRevision)
		}
	}
	if kvs := answer.Responses[2].GetResponseRange().Kvs; len(kvs) > 0 {
		f.Locked, f.lock = true, kvs[0].ModRevision
	}
	if kvs := answer.Responses[3].GetResponseRange().Kvs; len(kvs) > 0 {
		keeper, err := layout.DecodePresence(kvs[0].Value)
		if err != nil {
			return nil, err
		}
		f.Keeper = keeper.Host
	}
	for _, kv := range answer.Responses[4].GetResponseRange().Kvs {
		p, err := layout.DecodePresence(kv.Value)
		if err != nil {
			return nil, err
		}
		f.Members = append(f.Members, Member{Host: p.Host, Version: p.Version, Process: p.Process, Auto: p.Auto, Since: time.Unix(0, p.Time).UTC(), Shadow: p.Shadow,
			Holds: f.State == layout.Frozen && p.Frozen == f.revision})
	}
	slices.SortStableFunc(f.Members, func(a, b Member) int { return cmp.Compare(a.Host, b.Host) })
	return f, nil
}

// HasKeys reports whether the tree has the keys, and not the v2 API. The error says that nobody has them, because
// they are being moved.
func (f *Fleet) HasKeys() (bool, error) {
	if f.State == layout.Frozen {
		return false, errors.New("the keys are being moved between the v2 API and the v3 store (hint: try again in a minute; etcd-tlsproxy migrate status says how far that is)")
	}
	return f.State == layout.Live, nil
}

// ErrNotFrozen means that nothing is to be ended.
var ErrNotFrozen = errors.New("the tree is not frozen")

// Abort ends a freeze: the tree gets the state that it had before, and writes are taken as before. The command
// that froze the tree, if it still runs, cannot go on.
func (f *Fleet) Abort(ctx context.Context, client *rpc.Client, keys layout.Keys) error {
	if f.State != layout.Frozen {
		return ErrNotFrozen
	}
	// Without its lock the command cannot go on, whatever becomes of the rest.
	t := layout.Txn{Keys: keys}
	t.Modified(keys.Meta(), f.revision)
	t.Modified(keys.Lock(), f.lock)
	t.Delete(keys.Lock())
	answer, err := client.Txn(ctx, &pb.TxnRequest{Compare: t.Compare, Success: t.Success})
	if err == nil && !answer.Succeeded {
		return fmt.Errorf("%w meanwhile (hint: look at it again)", errChanged)
	}
	if err == nil { // if that is not done, a proxy has done it
		_, err = Thaw(ctx, client, keys, f.meta, func(t *layout.Txn) {
			t.Modified(keys.Meta(), f.revision)
			t.Vacant(keys.Lock(), nil)
		})
	}
	if err != nil {
		return fmt.Errorf("ending the freeze: %s (hint: the proxies end it themselves once the command is gone)", rpc.Reason(err))
	}
	return nil
}
