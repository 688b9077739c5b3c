package snapshot

import (
	"context"
	"errors"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/members"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// readState returns the description of the tree in a running etcd and its log, as of the newest revision.
func readState(ctx context.Context, client *rpc.Client, keys layout.Keys) (*layout.Meta, *mvccpb.KeyValue, *pb.ResponseHeader, error) {
	var found [2]*mvccpb.KeyValue
	var header *pb.ResponseHeader
	for i, key := range [][]byte{keys.Meta(), keys.Log()} {
		answer, err := client.Range(ctx, &pb.RangeRequest{Key: key})
		if err != nil {
			return nil, nil, nil, fmt.Errorf("reading the state of the tree: %s", rpc.Reason(err))
		}
		if len(answer.Kvs) == 0 {
			return nil, nil, nil, fmt.Errorf("%w: the key %q is missing (hint: the tree is where the configuration says, in upstream.endpoints and upstream.prefix)", ErrNoTree, key)
		}
		found[i], header = answer.Kvs[0], answer.Header
	}
	meta, err := layout.DecodeMeta(found[0].Value)
	if err == nil {
		err = meta.Readable(layout.Schema)
	}
	return meta, found[1], header, err
}

// pageKeys bounds the keys of a response. A page with large values is made smaller.
const pageKeys = 10_000

// readStore summarizes the tree in a running etcd.
func readStore(ctx context.Context, client *rpc.Client, keys layout.Keys) (*Tree, error) {
	s := newSummary(keys)
	start, end := keys.Range()
	r := &pb.RangeRequest{Key: start, RangeEnd: end, Limit: pageKeys}
	for {
		answer, err := client.Range(ctx, r)
		switch {
		case rpc.TooLarge(err) && r.Limit > 1:
			r.Limit = max(r.Limit/8, 1)
			continue
		case err != nil:
			return nil, fmt.Errorf("reading the tree: %s", rpc.Reason(err))
		}
		r.Revision = max(r.Revision, answer.Header.Revision)
		for _, kv := range answer.Kvs {
			if err := s.add(kv); err != nil {
				return nil, err
			}
		}
		if !answer.More {
			return s.finish(r.Revision)
		}
		if len(answer.Kvs) == 0 {
			return nil, errors.New("reading the tree: an answer has no keys, and more would follow")
		}
		r.Key = layout.Behind(answer.Kvs[len(answer.Kvs)-1].Key)
	}
}

// Tree summarizes the tree at the first endpoint.
func (s *Store) Tree(ctx context.Context) (*Tree, error) {
	client, err := rpc.New(s.Endpoints, s.User, s.Password)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	return readStore(ctx, client, layout.Keys(s.Prefix))
}

// Check reads the state of the tree with a quorum.
func (s *Store) Check(ctx context.Context) error {
	client, err := rpc.New(s.Endpoints, s.User, s.Password)
	if err != nil {
		return err
	}
	defer client.Close()
	_, _, _, err = readState(ctx, client, layout.Keys(s.Prefix))
	return err
}

// Members returns the members of the cluster that the first endpoint knows, also without a quorum.
func (s *Store) Members(ctx context.Context) ([]members.Member, error) {
	client, err := rpc.New(s.Endpoints, s.User, s.Password)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	return members.List(ctx, client)
}
