package migration

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"golang.org/x/sync/errgroup"

	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

const (
	// maxOperations is what etcd allows in a transaction unless it is told otherwise.
	maxOperations = 128
	// maxBatch bounds the bytes of a transaction. Etcd allows 1.5 MiB unless it is told otherwise. A node that
	// is larger has a transaction of its own.
	maxBatch = 1 << 20
	// maxWriters is how many transactions are under way. Etcd writes them to its disk together.
	maxWriters = 8
)

// write writes all nodes, and then the log and the description of the tree, so that the index of the log is
// that of the v2 store.
func (s *store) write(ctx context.Context, c *Content, add func(int64)) error {
	meta, err := s.begin(ctx)
	if err == nil {
		err = s.put(ctx, c.records, add)
	}
	if err != nil {
		return err
	}
	revision, err := s.putLog(ctx)
	if err != nil {
		return err
	}
	meta.Offset, meta.Copied = int64(c.Index)-revision, c.Index
	return s.putMeta(ctx, meta)
}

// begin describes a tree whose nodes follow.
func (s *store) begin(ctx context.Context) (*layout.Meta, error) {
	meta := &layout.Meta{Schema: layout.Schema, MinRead: layout.Schema, MinWrite: layout.Schema, State: s.state, Generation: rand.Text()}
	return meta, s.putMeta(ctx, meta)
}

// put writes nodes.
func (s *store) put(ctx context.Context, records []v2store.Record, add func(int64)) error {
	return s.inBatches(ctx, records, add, func(t *layout.Txn, r *v2store.Record) {
		record := layout.EncodeRecord(r, nil)
		if r.Dir {
			t.Put(s.keys.Dir(r.Key), record)
			return
		}
		t.Put(s.keys.File(r.Key), record)
		t.Put(s.keys.Data(r.Key), []byte(r.Value))
	})
}

// delete removes nodes.
func (s *store) delete(ctx context.Context, records []v2store.Record, add func(int64)) error {
	return s.inBatches(ctx, records, add, func(t *layout.Txn, r *v2store.Record) {
		if r.Dir {
			t.Delete(s.keys.Dir(r.Key))
			return
		}
		t.Delete(s.keys.File(r.Key))
		t.Delete(s.keys.Data(r.Key))
	})
}

// deleteQueues removes the last names that were chosen in directories.
func (s *store) deleteQueues(ctx context.Context, dirs []v2store.Record) error {
	return s.inBatches(ctx, dirs, func(int64) {}, func(t *layout.Txn, r *v2store.Record) { t.Delete(s.keys.Queue(r.Key)) })
}

// putLog puts a log that is no event, and returns its revision.
func (s *store) putLog(ctx context.Context) (int64, error) {
	t := layout.Txn{Keys: s.keys}
	mark := layout.Entry{Action: layout.Mark, Time: time.Now().UnixNano()}
	t.Put(s.keys.Log(), mark.Encode())
	put, err := s.txn(ctx, &t)
	if err != nil {
		return 0, fmt.Errorf("putting the log: %w", err)
	}
	return put.Header.Revision, nil
}

func (s *store) putMeta(ctx context.Context, meta *layout.Meta) error {
	return s.putMetaIf(ctx, meta, &layout.Txn{Keys: s.keys})
}

// putMetaIf puts the description of the tree if what a transaction compares holds.
func (s *store) putMetaIf(ctx context.Context, meta *layout.Meta, t *layout.Txn) error {
	t.Put(s.keys.Meta(), meta.Encode())
	put, err := s.txn(ctx, t)
	if err != nil {
		return fmt.Errorf("putting the description of the tree: %w", err)
	}
	s.meta = put.Header.Revision
	return nil
}

// conclude puts the description that ends a move, if the log is as it was put at a revision.
func (s *store) conclude(ctx context.Context, meta *layout.Meta, log int64) error {
	err := s.putMetaAfter(ctx, meta, log)
	if err != nil && !s.describedAs(ctx, meta) {
		return fmt.Errorf("%w (hint: etcd-tlsproxy migrate status says which API has the keys now)", err)
	}
	return nil
}

// describedAs reports whether the tree has the description of this command although the answer to the put was an
// error. That of another one may be the same, but it has taken the lock for it.
func (s *store) describedAs(ctx context.Context, meta *layout.Meta) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	t := layout.Txn{Keys: s.keys}
	t.Modified(s.keys.Lock(), s.lock)
	t.Value(s.keys.Meta(), meta.Encode())
	t.Success = append(t.Success, &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: s.keys.Meta(), KeysOnly: true}}})
	var found *pb.TxnResponse
	err := s.call(ctx, func(ctx context.Context) (err error) {
		found, err = s.client.Txn(ctx, &pb.TxnRequest{Compare: t.Compare, Success: t.Success})
		return err
	})
	if err != nil || !found.Succeeded {
		return false
	}
	s.meta = found.Responses[0].GetResponseRange().Kvs[0].ModRevision
	return true
}

// putMetaAfter is putMeta, but only if the log is the one of a revision.
func (s *store) putMetaAfter(ctx context.Context, meta *layout.Meta, log int64) error {
	t := layout.Txn{Keys: s.keys}
	t.Modified(s.keys.Log(), log)
	return s.putMetaIf(ctx, meta, &t)
}

// inBatches executes what is to be done for each node, at most two operations, in transactions that are
// as large as etcd allows. Their order does not matter.
func (s *store) inBatches(ctx context.Context, records []v2store.Record, add func(int64), operate func(*layout.Txn, *v2store.Record)) error {
	writers, ctx := errgroup.WithContext(ctx)
	writers.SetLimit(maxWriters)
	finished := make(chan int64, maxWriters)
	reported := make(chan struct{})
	go func() { // only one goroutine may report
		defer close(reported)
		for n := range finished {
			add(n)
		}
	}()
	for len(records) > 0 && ctx.Err() == nil {
		t := &layout.Txn{Keys: s.keys}
		n, size := 0, 0
		for n < len(records) && len(t.Success)+2 <= maxOperations {
			r := &records[n]
			if size += 2*len(s.keys) + 2*len(r.Key) + len(r.Value) + 100; n > 0 && size > maxBatch {
				break
			}
			operate(t, r)
			n++
		}
		batch := records[:n]
		writers.Go(func() error {
			_, err := s.txn(ctx, t)
			if rpc.TooLarge(err) {
				return tooLarge(batch)
			}
			if err == nil {
				finished <- int64(len(batch))
			}
			return err
		})
		records = records[n:]
	}
	err := writers.Wait()
	close(finished)
	<-reported
	return err
}

// tooLarge says which node does not fit in a request.
func tooLarge(batch []v2store.Record) error {
	largest := &batch[0]
	for i := range batch {
		if len(batch[i].Value) > len(largest.Value) {
			largest = &batch[i]
		}
	}
	return fmt.Errorf("the value of %s has %d bytes, which etcd does not take in one request of its v3 API (hint: raise etcd's --max-request-bytes, or make the value smaller)", largest.Key, len(largest.Value))
}

// size returns the bytes of all keys and values of a copy.
func (s *store) size(c *Content) (bytes int64) {
	for i := range c.records {
		r := &c.records[i]
		bytes += int64(len(s.keys.Dir(r.Key)) + len(layout.EncodeRecord(r, nil)))
		if !r.Dir {
			bytes += int64(len(s.keys.Data(r.Key)) + len(r.Value))
		}
	}
	return bytes
}

// inFile is how many bytes etcd's file needs at most for each byte of keys and values, if they are small. It
// was measured.
const inFile = 2

// room returns an error unless the store has room for a copy.
func (s *store) room(ctx context.Context, bytes, quota int64) error {
	var size rpc.Size
	err := s.call(ctx, func(ctx context.Context) (err error) {
		size, err = s.client.Size(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("reading the size of the store: %w", err)
	}
	if size.Quota > 0 {
		quota = size.Quota
	}
	if quota > 0 && size.InUse+inFile*bytes > quota {
		return fmt.Errorf("etcd's v3 store has %d bytes and needs about %d more, but its quota is %d (hint: raise etcd's --quota-backend-bytes and upstream.quota_bytes, or compact and defragment the store)", size.InUse, inFile*bytes, quota)
	}
	return nil
}
