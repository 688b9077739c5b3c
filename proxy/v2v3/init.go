package v2v3

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

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

func initialize(ctx context.Context, client *rpc.Client, keys layout.Keys, index uint64) error {
	start, end := keys.Range()
	found, err := client.Range(ctx, &pb.RangeRequest{Key: start, RangeEnd: end, Limit: 1, KeysOnly: true})
	if err != nil {
		return fmt.Errorf("reading the range of the tree: %s", rpc.Reason(err))
	}
	for _, kv := range found.Kvs {
		return fmt.Errorf("the store has the key %q in the range of the tree; use another prefix, or remove what is there", kv.Key)
	}
	// The offset depends on the revision of the log, so that there are two transactions.
	mark := layout.Entry{Action: layout.Mark, Time: time.Now().UnixNano()}
	t := layout.Txn{Keys: keys}
	t.Vacant(start, end)
	t.Put(keys.Log(), mark.Encode())
	first, err := client.Txn(ctx, &pb.TxnRequest{Compare: t.Compare, Success: t.Success})
	if err != nil {
		return fmt.Errorf("putting the log: %s", rpc.Reason(err))
	}
	if !first.Succeeded {
		return fmt.Errorf("somebody has put a key into the range of the tree")
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
		return fmt.Errorf("somebody else makes a tree at the same time")
	}
	return nil
}

// randomName returns a name that is never used again.
func randomName() string {
	name := make([]byte, 8)
	_, _ = rand.Read(name) // it never fails
	return hex.EncodeToString(name)
}
