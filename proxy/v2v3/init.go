package v2v3

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// Init makes an empty tree whose last event has the given index. It refuses to do so where there
// is a tree, or where the range of the tree has keys of clients of v3.
func Init(ctx context.Context, o Options, index uint64) error {
	client, err := rpc.New(o.Endpoints, o.User, o.Password)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := initialize(ctx, client, layout.Keys(o.Prefix), index); err != nil {
		return fmt.Errorf("making an empty tree: %w", err)
	}
	return nil
}

// initialize makes a tree in a range that has none.
func initialize(ctx context.Context, client *rpc.Client, keys layout.Keys, index uint64) error {
	found, err := firstKeys(ctx, client, keys)
	if err != nil {
		return err
	}
	for _, kv := range found {
		switch kind, _ := keys.Parse(kv.Key); kind {
		case layout.Stored:
			return fmt.Errorf("the store has a tree already")
		case layout.Session, layout.Keeper, layout.Lock, layout.Log:
			// Proxies wait for the tree. A log without a tree is left by an attempt that was interrupted.
		default:
			return fmt.Errorf("the store has the key %q in the range of the tree; use another prefix, or remove what is there", kv.Key)
		}
	}
	return create(ctx, client, keys, index)
}

// firstKeys returns a key of each kind that has one.
func firstKeys(ctx context.Context, client *rpc.Client, keys layout.Keys) ([]*mvccpb.KeyValue, error) {
	var found []*mvccpb.KeyValue
	start, end := keys.Range()
	for {
		answer, err := client.Range(ctx, &pb.RangeRequest{Key: start, RangeEnd: end, Limit: 1, KeysOnly: true})
		if err != nil {
			return nil, fmt.Errorf("reading the range of the tree: %s", rpc.Reason(err))
		}
		if len(answer.Kvs) == 0 {
			return found, nil
		}
		key := answer.Kvs[0].Key
		found = append(found, answer.Kvs[0])
		start = append(key, 0)
		if kind, _ := keys.Parse(key); kind == layout.Session {
			start = layout.End(keys.Session(""))
		}
	}
}

// create puts the log, unless there is one, and the description of a tree whose last event has the given
// index. The offset depends on the revision of the log, so that there are two transactions.
func create(ctx context.Context, client *rpc.Client, keys layout.Keys, index uint64) error {
	mark := layout.Entry{Action: layout.Mark, Time: time.Now().UnixNano()}
	t := layout.Txn{Keys: keys}
	t.Modified(keys.Meta(), 0)
	t.Put(keys.Log(), mark.Encode())
	first, err := client.Txn(ctx, &pb.TxnRequest{Compare: t.Compare, Success: t.Success})
	if err != nil {
		return fmt.Errorf("putting the log: %s", rpc.Reason(err))
	}
	if !first.Succeeded {
		return errOther
	}
	revision := first.Header.Revision
	meta := layout.Meta{Schema: layout.Schema, MinRead: layout.Schema, MinWrite: layout.Schema, State: layout.Live,
		Offset: int64(index) - revision, Generation: randomName()}
	t = layout.Txn{Keys: keys}
	t.Modified(keys.Log(), revision)
	t.Modified(keys.Meta(), 0)
	t.Put(keys.Meta(), meta.Encode())
	second, err := client.Txn(ctx, &pb.TxnRequest{Compare: t.Compare, Success: t.Success})
	if err != nil {
		return fmt.Errorf("putting the description of the tree: %s", rpc.Reason(err))
	}
	if !second.Succeeded {
		return errOther
	}
	return nil
}

var errOther = errors.New("somebody else makes a tree at the same time")

// randomName returns a name that is never used again.
func randomName() string {
	name := make([]byte, 8)
	_, _ = rand.Read(name) // it never fails
	return hex.EncodeToString(name)
}
