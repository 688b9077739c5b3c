package v2v3

import (
	"context"
	"errors"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/mirror"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// readTimeout bounds a read at a member that may be dead.
const readTimeout = 3 * time.Second

// errNoTree means that the store has no tree.
var errNoTree = errors.New("the store has no tree; make an empty one with \"etcd-tlsproxy migrate init\"")

// errUnserved means that the store has a tree that is not for clients.
var errUnserved = errors.New("the tree is not for clients")

// served returns an error if the tree is not for clients. The commands that made it may remove it at any time.
func served(m *layout.Meta) error {
	switch {
	case m.State == layout.Rehearsal:
		return fmt.Errorf("%w: it is that of a rehearsal; use another upstream.prefix", errUnserved)
	case m.State == layout.Unfinished, m.State == layout.Frozen && m.Before == "":
		return fmt.Errorf("%w: the v2 API has the keys, or they are being moved; see etcd-tlsproxy migrate status", errUnserved)
	}
	return nil
}

// state is what a store says about its tree, as of one revision.
type state struct {
	cluster  uint64
	revision int64
	log      *mvccpb.KeyValue
	metaAt   int64
	meta     *layout.Meta
	control  map[string]*mvccpb.KeyValue
}

func get(key []byte, end []byte) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: key, RangeEnd: end}}}
}

// readState reads the state of the tree as of now.
func (s *Store) readState(ctx context.Context) (*state, error) {
	ctx, cancel := context.WithTimeout(rpc.RequireLeader(ctx), readTimeout)
	defer cancel()
	sessions := s.keys.Session("")
	answer, err := s.client.Txn(ctx, &pb.TxnRequest{Success: []*pb.RequestOp{get(s.keys.Log(), nil), get(s.keys.Meta(), nil),
		get(s.keys.Keeper(), nil), get(sessions, layout.End(sessions))}})
	if err != nil {
		return nil, fmt.Errorf("reading the state of the tree: %s", rpc.Reason(err))
	}
	s.header(answer.Header)
	st := &state{cluster: answer.Header.ClusterId, revision: answer.Header.Revision, control: map[string]*mvccpb.KeyValue{}}
	var found [4][]*mvccpb.KeyValue
	for i, r := range answer.Responses {
		found[i] = r.GetResponseRange().Kvs
	}
	if len(found[1]) == 0 {
		if s.o.Rehearsal != nil {
			return nil, errNoCopy
		}
		return nil, errNoTree
	}
	if len(found[0]) == 0 {
		return nil, errors.New("the store has a tree without a log")
	}
	st.log, st.metaAt = found[0][0], found[1][0].ModRevision
	if st.meta, err = layout.DecodeMeta(found[1][0].Value); err != nil {
		return nil, err
	}
	if err := st.meta.Readable(s.o.known); err != nil {
		return nil, err
	}
	switch {
	case s.o.unserved:
	case s.o.Rehearsal != nil:
		err = rehearsed(st.meta)
	default:
		err = served(st.meta)
	}
	if err != nil {
		return nil, err
	}
	for _, kv := range append(found[2], found[3]...) {
		st.control[string(kv.Key)] = kv
	}
	return st, nil
}

// continues reports whether the store has the past of the mirror, and returns the revision after
// which the mirror goes on.
func (s *Store) continues(ctx context.Context, m *mirror.Mirror, st *state) (after int64, ok bool, err error) {
	if m.Cluster != st.cluster || m.Meta.Generation != st.meta.Generation || m.Meta.Offset != st.meta.Offset || st.revision < m.Applied {
		return 0, false, nil
	}
	at, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	answer, err := s.client.Range(at, &pb.RangeRequest{Key: s.keys.Log(), Revision: m.Applied})
	switch {
	case rpc.Compacted(err) && isLog(m, st.log):
		// No event was missed, but perhaps what clients of v3 did.
		return st.revision, true, s.readForeign(ctx, m, st.revision)
	case rpc.Compacted(err):
		return 0, false, nil
	case err != nil:
		return 0, false, fmt.Errorf("reading the log at the revision %d: %s", m.Applied, rpc.Reason(err))
	}
	return m.Applied, len(answer.Kvs) == 1 && isLog(m, answer.Kvs[0]), nil
}

// isLog reports whether a log is that of the last event of a mirror.
func isLog(m *mirror.Mirror, log *mvccpb.KeyValue) bool {
	return log.ModRevision == m.LogRevision && string(log.Value) == string(m.Log)
}

// readForeign finds the keys of clients of v3 anew: those that they put meanwhile must not be
// removed with a directory.
func (s *Store) readForeign(ctx context.Context, m *mirror.Mirror, revision int64) error {
	found := map[string]struct{}{}
	start, end := s.keys.Values()
	err := s.pages(ctx, &pb.RangeRequest{Key: start, RangeEnd: end, Revision: revision, KeysOnly: true}, func(kvs []*mvccpb.KeyValue) error {
		for _, kv := range kvs {
			if _, key := s.keys.Parse(kv.Key); !m.Tree.Holds(v2store.Fact{Kind: v2store.FileExists, Key: key}) {
				found[key] = struct{}{}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m.Foreign = found
	m.Doubtful = true // they may have changed nodes too
	return nil
}
