package migration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"etcd-tlsproxy/proxy/v2v3"
	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// store is the v3 store, at the prefix of a copy.
type store struct {
	client *rpc.Client
	keys   layout.Keys
	// state is that of a copy which is not complete, or not for clients. or are others that it may have.
	state string
	or    []string
	// found is the description that the tree had at first; nil if it had none. cluster is the id of etcd's.
	found   *layout.Meta
	cluster uint64
	// meta and lock are the revisions of these keys; 0 means that there is none. The lock is that of this
	// command.
	meta, lock int64
	// guards is set if the command changes no keys; see guarding.
	guards bool
}

// open connects to the store, and finds out what is at the prefix: nothing, or an earlier rehearsal. Anything
// else is an error.
func (r *Rehearsal) open(ctx context.Context) (*store, error) {
	keys := layout.Keys(r.Store.Prefix)
	if within(keys, layout.Keys(r.Served)) {
		return nil, fmt.Errorf("the prefix %q of the rehearsal overlaps with the keys that proxies serve, whose prefix is %q (hint: leave --prefix out)", r.Store.Prefix, r.Served)
	}
	return open(ctx, &r.Store, layout.Rehearsal)
}

// open connects to a store, and finds out what is at the prefix: nothing, or a copy in one of the states. Anything else
// is an error.
func open(ctx context.Context, o *v2v3.Options, state string, or ...string) (*store, error) {
	client, err := rpc.New(o.Endpoints, o.User, o.Password)
	if err != nil {
		return nil, err
	}
	s := &store{client: client, keys: layout.Keys(o.Prefix), state: state, or: or}
	if err := s.inspect(ctx); err != nil {
		client.Close()
		return nil, fmt.Errorf("finding out what the v3 store has at the prefix %q: %w", o.Prefix, err)
	}
	return s, nil
}

// within reports whether the ranges of two trees overlap.
func within(a, b layout.Keys) bool {
	startA, endA := a.Range()
	startB, endB := b.Range()
	return string(startA) < string(endB) && string(startB) < string(endA)
}

// openAny is open for a tree in any state, or none.
func openAny(ctx context.Context, o *v2v3.Options) (*store, error) {
	client, err := rpc.New(o.Endpoints, o.User, o.Password)
	if err != nil {
		return nil, err
	}
	s := &store{client: client, keys: layout.Keys(o.Prefix)}
	if err := s.describe(ctx); err != nil {
		client.Close()
		return nil, fmt.Errorf("finding out what the v3 store has at the prefix %q: %w", o.Prefix, err)
	}
	return s, nil
}

// describe reads the description of the tree, if there is one.
func (s *store) describe(ctx context.Context) error {
	var found *pb.RangeResponse
	err := s.call(ctx, func(ctx context.Context) (err error) {
		found, err = s.client.Range(ctx, &pb.RangeRequest{Key: s.keys.Meta()})
		return err
	})
	if err != nil {
		return err
	}
	s.cluster = found.Header.ClusterId
	if len(found.Kvs) == 0 {
		return nil
	}
	if s.found, err = layout.DecodeMeta(found.Kvs[0].Value); err != nil {
		return err
	}
	s.meta = found.Kvs[0].ModRevision
	return s.found.Writable(layout.Schema)
}

func (s *store) inspect(ctx context.Context) error {
	if err := s.describe(ctx); err != nil {
		return err
	}
	meta := s.found
	if meta == nil {
		return v2v3.Vacant(ctx, s.client, s.keys)
	}
	switch {
	case slices.Contains(s.or, meta.State):
	case meta.State != s.state && s.state == layout.Live:
		return fmt.Errorf("the store has a tree in the state %q, want one in the state %q (hint: the v3 store does not have the keys; see etcd-tlsproxy migrate status)", meta.State, layout.Live)
	case meta.State != s.state:
		return fmt.Errorf("the prefix %q has a tree in the state %q, want none, or one in the state %q (hint: use another prefix, or see etcd-tlsproxy migrate status)", string(s.keys), meta.State, s.state)
	}
	return nil
}

const (
	// maxCalls bounds how often a call is made. A cluster needs a second or two for a new leader.
	maxCalls = 6
	// callTimeout bounds one attempt.
	callTimeout = 10 * time.Second
	// callPause is the time between two attempts.
	callPause = 500 * time.Millisecond
)

// call makes a call, and makes it again at the next endpoint if etcd is not there. The puts of a rehearsal can be
// repeated.
func (s *store) call(ctx context.Context, do func(context.Context) error) error {
	for attempt := 1; ; attempt++ {
		at, _ := s.client.Endpoint()
		once, cancel := context.WithTimeout(ctx, callTimeout)
		err := do(once)
		cancel()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case rpc.NoSpace(err):
			return s.full(err)
		case rpc.Denied(err):
			start, end := s.keys.Range()
			return fmt.Errorf("etcd's user may not do this: %s (hint: its role needs the permission readwrite for the range from %s to %s)", rpc.Reason(err), start, end)
		case rpc.TooLarge(err):
			return err
		case attempt == maxCalls || !away(err):
			return errors.New(rpc.Reason(err))
		}
		if now, _ := s.client.Endpoint(); now == at {
			if err := s.client.UseWithin((at+1)%s.client.Endpoints(), callTimeout); err != nil {
				return err
			}
		}
		if err := wait(ctx, callPause); err != nil {
			return err
		}
	}
}

// wait waits for a while. It fails if ctx ends before.
func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// full says what to do about a store that is full.
func (s *store) full(err error) error {
	remove := ""
	if s.state == layout.Rehearsal {
		remove = "remove the rehearsal with --clean, "
	}
	return fmt.Errorf("etcd's v3 store is full: %s (hint: etcd refuses all writes to it now, also those of others; %scompact and defragment it, and then disarm the alarm)", rpc.Reason(err), remove)
}

// away reports whether an error says that a member cannot answer now.
func away(err error) bool {
	code := status.Code(err)
	return code == codes.Unavailable || code == codes.DeadlineExceeded
}

// errLost means that the lock was lost, or that somebody else has changed the tree.
var errLost = errors.New("the lock of the command was lost, perhaps because this machine or etcd was stopped for long (hint: run the command again)")

// txn executes a transaction if nobody else has the lock, and if this command has not lost its own.
func (s *store) txn(ctx context.Context, t *layout.Txn) (*pb.TxnResponse, error) {
	t.Modified(s.keys.Lock(), s.lock)
	if s.meta != 0 {
		t.Modified(s.keys.Meta(), s.meta)
	}
	var answer *pb.TxnResponse
	err := s.call(ctx, func(ctx context.Context) (err error) {
		answer, err = s.client.Txn(ctx, &pb.TxnRequest{Compare: t.Compare, Success: t.Success})
		return err
	})
	switch {
	case err == nil && answer.Header.ClusterId != s.cluster:
		err = errors.New("the endpoints of the v3 store belong to several clusters")
	case err == nil && !answer.Succeeded:
		err = errLost
	}
	return answer, err
}

// belongs returns an error unless the member whose files are read is one of the cluster that has the store.
func (r *Rehearsal) belongs(ctx context.Context, s *store) error {
	m, err := r.member(ctx)
	if err != nil {
		return err
	}
	ids, err := s.members(ctx)
	if err != nil {
		return err
	}
	return s.adopt(ctx, m, ids)
}
