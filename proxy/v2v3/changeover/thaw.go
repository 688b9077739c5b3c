package changeover

import (
	"context"
	"errors"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"golang.org/x/sync/errgroup"

	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// Thaw gives a tree the state that it had before it was frozen, if what compare demands holds, and reports whether
// that was done. Whoever froze the tree must not be able to go on.
//
// A store that is full takes nothing but removals. If there is no state before, all of the tree is removed then:
// nobody has ever served it, and it may be what has filled the store. What was removed when ctx ends need not be
// removed again. A tree whose layout this program may not write is not removed.
func Thaw(ctx context.Context, client *rpc.Client, keys layout.Keys, frozen *layout.Meta, compare func(*layout.Txn)) (done bool, err error) {
	r := removal{client: client, keys: keys, compare: compare}
	done, err = r.txn(ctx, func(t *layout.Txn) { t.Thaw(frozen) })
	if !rpc.NoSpace(err) || frozen.Before != "" || frozen.Writable(layout.Schema) != nil {
		return done, err
	}
	// A full store does not compare before it refuses.
	if done, err = r.txn(ctx, func(*layout.Txn) {}); !done || err != nil {
		return false, err
	}
	if done, err = r.removeFiles(ctx); !done || err != nil {
		return false, err
	}
	return r.txn(ctx, func(t *layout.Txn) {
		t.DeleteRange(layout.Below(keys.Dir("")))
		t.DeleteRange(layout.Below(keys.Queue("")))
		t.Delete(keys.Queue(""))
		// The tree cannot be loaded without its log.
		t.Delete(keys.Log())
		t.Delete(keys.Meta())
	})
}

// removal is the removal of a tree that is frozen.
type removal struct {
	client  *rpc.Client
	keys    layout.Keys
	compare func(*layout.Txn)
}

const (
	// maxFiles is the number of files that one transaction removes, with one operation for each value and one for all
	// records. Etcd allows 128 unless it is told otherwise.
	maxFiles = 127
	// maxNames is how many names are read at a time, and maxRemovals how many transactions are under way. Etcd writes
	// them to its disk together.
	maxNames, maxRemovals = 10_000, 8
)

// removeFiles removes all files. The record of each names the key of its value, among which may be keys of other
// programs.
func (r *removal) removeFiles(ctx context.Context) (done bool, err error) {
	start, end := layout.Below(r.keys.File(""))
	for {
		page, err := r.client.Range(ctx, &pb.RangeRequest{Key: start, RangeEnd: end, Limit: maxNames, KeysOnly: true})
		if err != nil {
			return false, err
		}
		if len(page.Kvs) == 0 {
			return true, nil
		}
		files := make([][]byte, 0, len(page.Kvs))
		for _, kv := range page.Kvs {
			files = append(files, kv.Key)
		}
		if done, err := r.removePage(ctx, files); !done || err != nil {
			return false, err
		}
		start = layout.Behind(files[len(files)-1])
	}
}

// removePage removes files whose records follow each other.
func (r *removal) removePage(ctx context.Context, files [][]byte) (done bool, err error) {
	removing, ctx := errgroup.WithContext(ctx)
	removing.SetLimit(maxRemovals)
	for len(files) > 0 {
		some := files[:min(maxFiles, len(files))]
		files = files[len(some):]
		removing.Go(func() error {
			done, err := r.txn(ctx, func(t *layout.Txn) {
				for _, file := range some {
					_, key := r.keys.Parse(file)
					t.Delete(r.keys.Data(key))
				}
				t.DeleteRange(some[0], layout.Behind(some[len(some)-1]))
			})
			if err == nil && !done {
				err = errChanged
			}
			return err
		})
	}
	err = removing.Wait()
	if errors.Is(err, errChanged) {
		return false, nil
	}
	return err == nil, err
}

// errChanged means that what compare demands does not hold.
var errChanged = errors.New("the state of the tree has changed")

// txn changes the tree if what compare demands holds, and reports whether that was so.
func (r *removal) txn(ctx context.Context, change func(*layout.Txn)) (done bool, err error) {
	t := layout.Txn{Keys: r.keys}
	r.compare(&t)
	change(&t)
	answer, err := r.client.Txn(ctx, &pb.TxnRequest{Compare: t.Compare, Success: t.Success})
	if err != nil {
		return false, err
	}
	return answer.Succeeded, nil
}
