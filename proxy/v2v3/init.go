package v2v3

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// Init makes an empty tree whose last event has the given index. It refuses to do so where there
// is a tree, where the range of the tree has keys of clients of v3, and where that range lies in the
// range of another tree.
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
	if err := Vacant(ctx, client, keys); err != nil {
		return err
	}
	return create(ctx, client, keys, index)
}

// Vacant returns an error unless there is room for a tree: no tree, no keys of clients of v3, and no other
// tree around it.
func Vacant(ctx context.Context, client *rpc.Client, keys layout.Keys) error {
	if err := vacant(ctx, client, keys); err != nil {
		return err
	}
	return apart(ctx, client, keys)
}

// vacant returns an error unless the range of the tree has only what proxies that wait for it, and an
// attempt that was interrupted, leave there.
func vacant(ctx context.Context, client *rpc.Client, keys layout.Keys) error {
	if found, err := first(ctx, client, keys.Meta(), nil); err != nil || found != nil {
		return cmp.Or(err, errors.New("the store has a tree already"))
	}
	start, end := keys.Range()
	for {
		key, err := first(ctx, client, start, end)
		if key == nil || err != nil {
			return err
		}
		switch kind, _ := keys.Parse(key); kind {
		case layout.Session:
			start = layout.End(keys.Session(""))
		case layout.Keeper, layout.Lock, layout.Log:
			start = append(key, 0)
		case layout.File, layout.Dir, layout.Queue:
			return fmt.Errorf("the store has %q, which belongs to a tree whose description %q is missing; restore the store from a backup, or use another prefix",
				key, keys.Meta())
		default:
			return fmt.Errorf("the store has the key %q in the range of the tree; use another prefix, or remove what is there", key)
		}
	}
}

// apart returns an error if the range of the tree lies in that of another tree, whose clients could
// remove it with a directory.
func apart(ctx context.Context, client *rpc.Client, keys layout.Keys) error {
	start, _ := keys.Range()
	for i := range len(keys) {
		outer := keys[:i]
		from, to := outer.Range()
		if bytes.Compare(start, from) < 0 || bytes.Compare(start, to) >= 0 {
			continue
		}
		switch found, err := first(ctx, client, outer.Meta(), nil); {
		case errors.Is(err, errDenied): // etcd keeps the user away from everything else
		case err != nil:
			return err
		case found != nil:
			return fmt.Errorf("the prefix %q lies in the range of the tree with the prefix %q; use a prefix that does not", string(keys), string(outer))
		}
	}
	return nil
}

// errDenied means that the user of etcd may not read a key.
var errDenied = errors.New("the user may not read it")

// first returns the first key of a range, or nil.
func first(ctx context.Context, client *rpc.Client, start, end []byte) ([]byte, error) {
	answer, err := client.Range(ctx, &pb.RangeRequest{Key: start, RangeEnd: end, Limit: 1, KeysOnly: true})
	switch {
	case rpc.Denied(err):
		return nil, fmt.Errorf("reading the key %q: %w", start, errDenied)
	case err != nil:
		return nil, fmt.Errorf("reading the key %q: %s", start, rpc.Reason(err))
	case len(answer.Kvs) == 0:
		return nil, nil
	}
	return answer.Kvs[0].Key, nil
}

// create puts the log, unless there is one, and the description of a tree whose last event has the given
// index. The offset depends on the revision of the log, so that there are two transactions.
func create(ctx context.Context, client *rpc.Client, keys layout.Keys, index uint64) error {
	mark := layout.Entry{Action: layout.Mark, Time: time.Now().UnixNano()}
	t := layout.Txn{Keys: keys}
	t.Modified(keys.Meta(), 0)
	t.Put(keys.Log(), mark.Encode())
	put, err := client.Txn(ctx, &pb.TxnRequest{Compare: t.Compare, Success: t.Success})
	if err != nil {
		return fmt.Errorf("putting the log: %s", rpc.Reason(err))
	}
	if !put.Succeeded {
		return errOther
	}
	revision := put.Header.Revision
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
