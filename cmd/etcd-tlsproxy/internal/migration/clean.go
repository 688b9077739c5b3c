package migration

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3/layout"
)

// Clean removes the tree of a rehearsal, and returns the number of its nodes. It holds no lock, which a store that
// is full would not take, but deletes nothing while somebody else holds it.
func (r *Rehearsal) Clean(ctx context.Context) (nodes int, err error) {
	s, err := r.open(ctx)
	if err != nil {
		return 0, err
	}
	defer s.client.Close()
	if s.meta == 0 {
		return 0, nil
	}
	add, done := r.Progress("nodes removed", -1)
	defer done()
	nodes, err = s.remove(ctx, add)
	if errors.Is(err, errLost) {
		err = errRunning
	}
	return nodes, err
}

// pageOfKeys is the number of keys that are read at a time. Each is deleted by its name: a range
// could contain keys of other programs that were put meanwhile.
const pageOfKeys = 10_000

// remove removes a tree that is not served, its description last, so that an attempt that is interrupted
// can be repeated. It returns the number of nodes.
func (s *store) remove(ctx context.Context, add func(int64)) (nodes int, err error) {
	for _, start := range [][]byte{s.keys.File(""), s.keys.Dir("")} {
		n, err := s.removeKeys(ctx, start, func(ctx context.Context, records []v2store.Record) error { return s.delete(ctx, records, add) })
		if err != nil {
			return nodes, fmt.Errorf("removing the rehearsal: %w", err)
		}
		nodes += n
	}
	// A tree that was served has queues as well.
	if _, err := s.removeKeys(ctx, s.keys.Queue(""), s.deleteQueues); err != nil {
		return nodes, fmt.Errorf("removing the queues: %w", err)
	}
	t := layout.Txn{Keys: s.keys}
	t.Delete(s.keys.Log())
	t.Delete(s.keys.Meta())
	if _, err := s.txn(ctx, &t); err != nil {
		return nodes, fmt.Errorf("removing the description of the rehearsal: %w", err)
	}
	s.meta = 0
	return nodes, nil
}

// removeKeys removes what the keys that begin with start stand for, and returns how many there were.
func (s *store) removeKeys(ctx context.Context, start []byte, remove func(context.Context, []v2store.Record) error) (n int, err error) {
	for end := layout.End(start); ; {
		var page *pb.RangeResponse
		err := s.call(ctx, func(ctx context.Context) (err error) {
			page, err = s.client.Range(ctx, &pb.RangeRequest{Key: start, RangeEnd: end, Limit: pageOfKeys, KeysOnly: true})
			return err
		})
		if err != nil {
			return n, err
		}
		var records []v2store.Record
		for _, kv := range page.Kvs {
			kind, key := s.keys.Parse(kv.Key)
			records = append(records, v2store.Record{Key: key, Dir: kind == layout.Dir})
		}
		if err := remove(ctx, records); err != nil {
			return n, err
		}
		n += len(records)
		if !page.More || len(records) == 0 {
			return n, nil
		}
		start = append(bytes.Clone(page.Kvs[len(page.Kvs)-1].Key), 0)
	}
}
