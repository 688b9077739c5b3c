package migration

import (
	"context"
	"errors"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3"
	"etcd-tlsproxy/proxy/v2v3/layout"
)

// Result says how the rehearsal went.
type Result struct {
	Prefix string `json:"prefix"`
	*Content
	Nodes int `json:"nodes"`
	// Imported, Loaded and Compared are how long the steps took.
	Imported Seconds `json:"import_seconds"`
	Loaded   Seconds `json:"load_seconds"`
	Compared Seconds `json:"compare_seconds"`
	// Stored are the bytes of the keys and values of the copy.
	Stored int64 `json:"stored_bytes"`
	// Imports are the differences between the imported tree and the member.
	Imports Differences `json:"import_differences"`
	// Behind is how far the member has gone on meanwhile.
	Behind uint64 `json:"index_since"`
}

// Earlier reports whether the prefix has the tree of an earlier rehearsal. It is an error if it has anything else.
func (r *Rehearsal) Earlier(ctx context.Context) (bool, error) {
	s, err := r.open(ctx)
	if err != nil {
		return false, err
	}
	defer s.client.Close()
	return s.meta != 0, nil
}

// Run imports the content, and compares what was imported. The tree of an earlier rehearsal is removed first.
func (r *Rehearsal) Run(ctx context.Context, c *Content) (*Result, error) {
	s, err := r.open(ctx)
	if err != nil {
		return nil, err
	}
	defer s.client.Close()
	ctx, release, err := s.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer release(false)
	if err := c.belongs(s.cluster); err != nil {
		return nil, err
	}
	if err := r.belongs(ctx, s); err != nil {
		return nil, err
	}
	if err := r.removeEarlier(ctx, s); err != nil {
		return nil, err
	}
	result := &Result{Prefix: r.Store.Prefix, Content: c, Nodes: c.Nodes(), Stored: s.size(c)}
	if err := s.room(ctx, result.Stored, r.Store.QuotaBytes); err != nil {
		return nil, err
	}
	start := time.Now()
	add, done := r.Progress("nodes imported", int64(c.Nodes()))
	err = s.write(ctx, c, add)
	done()
	if err != nil {
		return nil, fmt.Errorf("importing: %w (hint: the command can be run again, and --clean removes what was imported)", err)
	}
	result.Imported = since(start)
	if err := r.prove(ctx, c, result); err != nil {
		return nil, err
	}
	if result.Behind, err = r.Since(ctx, c); err != nil {
		return nil, err
	}
	return result, nil
}

func (r *Rehearsal) removeEarlier(ctx context.Context, s *store) error {
	if s.meta == 0 {
		return nil
	}
	add, done := r.Progress("nodes of the earlier rehearsal removed", -1)
	defer done()
	_, err := s.remove(ctx, add)
	return err
}

// prove loads the imported tree, and compares it with what the files have, which was compared with the
// answer of the member already.
func (r *Rehearsal) prove(ctx context.Context, c *Content, result *Result) error {
	start := time.Now()
	m, err := v2v3.LoadCopy(ctx, r.Store)
	if err != nil {
		return fmt.Errorf("loading the imported tree: %w", err)
	}
	result.Loaded = since(start)
	start = time.Now()
	result.Imports = compare(c.records, m.Tree.Below(""))
	for key := range m.Foreign {
		result.Imports.add(key, "is a key of another program")
	}
	if got := m.Tree.Index(); got != c.Index {
		result.Imports.add("/", fmt.Sprintf("the tree has the index %d, want %d", got, c.Index))
	}
	result.Compared = since(start)
	return nil
}

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
		start = layout.Behind(page.Kvs[len(page.Kvs)-1].Key)
	}
}
