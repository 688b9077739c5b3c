package changeover

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// Thaw gives a tree the state that it had before it was frozen, if what compare demands holds, and reports whether
// that was done. A store that is full takes nothing but removals. Without a state before, the description is removed
// then; nobody has ever served the tree.
func Thaw(ctx context.Context, client *rpc.Client, keys layout.Keys, frozen *layout.Meta, compare func(*layout.Txn)) (done bool, err error) {
	for _, change := range []func(*layout.Txn){func(t *layout.Txn) { t.Thaw(frozen) }, remove} {
		t := layout.Txn{Keys: keys}
		compare(&t)
		change(&t)
		answer, err := client.Txn(ctx, &pb.TxnRequest{Compare: t.Compare, Success: t.Success})
		if err == nil {
			return answer.Succeeded, nil
		}
		if !rpc.NoSpace(err) || frozen.Before != "" {
			return false, err
		}
	}
	return false, err
}

// remove removes the description of a tree, and the log that the tree cannot be loaded without.
func remove(t *layout.Txn) {
	t.Delete(t.Keys.Meta())
	t.Delete(t.Keys.Log())
}
