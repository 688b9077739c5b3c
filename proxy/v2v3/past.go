package v2v3

import (
	"context"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// maxPast is the number of events that a loaded mirror applies again, so that all proxies have
// the same history.
const maxPast = 1000

// pastRevision returns a revision that is as many events ago, or the oldest one that is left.
func (s *Store) pastRevision(ctx context.Context, st *state) (int64, error) {
	// The version of the log counts the events since it was created.
	want := max(st.log.Version-maxPast, 1)
	// The revision low is too old, and the version of the log at high is want or more.
	low, high := int64(0), st.log.ModRevision
	for step := st.log.Version - want; low+1 < high; {
		at := (low + high) / 2
		if low == 0 {
			// Usually each event has the revision after that of the event before.
			at = max(high-max(step, 1), 1)
			step *= 2
		}
		log, err := s.at(ctx, s.keys.Log(), at)
		switch {
		case rpc.Compacted(err):
			low = at
		case err != nil:
			return 0, err
		case log == nil || log.Version < want:
			low = at
		case log.Version == want:
			return s.sinceMeta(ctx, st, at)
		default:
			high = at
		}
	}
	return s.sinceMeta(ctx, st, high)
}

// sinceMeta returns the revision, or a later one if the tree had another past then.
func (s *Store) sinceMeta(ctx context.Context, st *state, revision int64) (int64, error) {
	kv, err := s.at(ctx, s.keys.Meta(), revision)
	if err != nil {
		return 0, err
	}
	if kv != nil {
		old, err := layout.DecodeMeta(kv.Value)
		if err == nil && old.Offset == st.meta.Offset && old.Generation == st.meta.Generation {
			return revision, nil
		}
	}
	return max(revision, st.metaAt), nil
}

// at returns a key as it was at a revision, or nil.
func (s *Store) at(ctx context.Context, key []byte, revision int64) (*mvccpb.KeyValue, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	answer, err := s.client.Range(ctx, &pb.RangeRequest{Key: key, Revision: revision, Serializable: true})
	if err != nil {
		return nil, fmt.Errorf("reading a key at the revision %d: %w", revision, err)
	}
	if len(answer.Kvs) == 0 {
		return nil, nil
	}
	return answer.Kvs[0], nil
}
