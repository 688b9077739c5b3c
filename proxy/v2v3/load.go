package v2v3

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/mirror"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// load reads the tree at a revision. What came later is applied from the stream of events.
func (s *Store) load(ctx context.Context, st *state, revision int64) (*mirror.Mirror, error) {
	l := mirror.NewLoading(s.keys, s.o.known, st.cluster, st.meta, st.metaAt, revision)
	size := 0
	err := s.loadKeys(ctx, revision, func(kvs []*mvccpb.KeyValue) error {
		for _, kv := range kvs {
			size += len(kv.Key) + len(kv.Value) + keyBytes
		}
		if err := s.fits(size); err != nil {
			return err
		}
		return l.Add(kvs)
	})
	if err != nil {
		return nil, err
	}
	m, broken, err := l.Finish()
	if err != nil {
		return nil, fmt.Errorf("loading the tree at the revision %d: %w", revision, err)
	}
	if len(broken) > 0 {
		s.o.Log.Error("the tree in the store is damaged: nodes without a parent or a value are left out", "nodes", len(broken), "one of them", broken[0])
	}
	return m, nil
}

// LoadCopy loads a tree that a command has made, in the way of a store that would serve it.
func LoadCopy(ctx context.Context, o Options) (*mirror.Mirror, error) {
	client, err := rpc.New(o.Endpoints, o.User, o.Password)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	o.unserved, o.known = true, layout.Schema
	s := &Store{o: o, keys: layout.Keys(o.Prefix), client: client}
	for at := range o.Endpoints {
		var st *state
		if err = client.Use(at); err == nil {
			st, err = s.readState(ctx)
		}
		if err == nil {
			return s.load(ctx, st, st.revision)
		}
	}
	return nil, err
}

// keyBytes is about what a key in the store needs in memory besides itself and its value. Each file
// has two keys.
const keyBytes = 100

// errOversize means that the tree does not fit in the memory of the process.
var errOversize = errors.New("the tree needs more memory than limits.memory")

// fits returns an error if a tree of that size must not be loaded.
func (s *Store) fits(size int) error {
	if s.o.MaxBytes > 0 && int64(size) > 2*s.o.MaxBytes {
		return fmt.Errorf("%w of %d bytes; raise it, or remove keys", errOversize, 2*s.o.MaxBytes)
	}
	return nil
}

// tellSize warns of a tree that needs so much of the memory that little is left for clients, or for a
// second copy while it is loaded again.
func (s *Store) tellSize(size int) {
	if s.o.MaxBytes > 0 && int64(size) > s.o.MaxBytes {
		s.o.Log.Warn("the tree needs more than half of limits.memory; raise it, or remove keys", "bytes", size, "half", s.o.MaxBytes)
	}
}

// loadKeys reads all keys of the tree. The records of files come last, each page with the values of these
// files, so that few of both are in memory. The server counts all keys of a range for each page of it, so
// the ranges of values are short.
func (s *Store) loadKeys(ctx context.Context, revision int64, add func([]*mvccpb.KeyValue) error) error {
	start, end := s.keys.Range()
	value, _ := s.keys.Values()
	file := s.keys.File("")
	behind := layout.End(file)
	keys := func(start, end []byte) *pb.RangeRequest {
		return &pb.RangeRequest{Key: start, RangeEnd: end, Revision: revision}
	}
	for _, r := range []*pb.RangeRequest{keys(start, file), keys(behind, value)} {
		if err := s.pages(ctx, r, add); err != nil {
			return err
		}
	}
	err := s.pagesAhead(ctx, keys(file, behind), func(files []*mvccpb.KeyValue) error {
		if err := add(files); err != nil || len(files) == 0 {
			return err
		}
		_, last := s.keys.Parse(files[len(files)-1].Key)
		from := value
		value = append(s.keys.Data(last), 0)
		return s.pagesAhead(ctx, keys(from, value), add)
	})
	if err != nil {
		return err
	}
	return s.pages(ctx, keys(value, end), add)
}

const (
	// firstPage and maxPage are numbers of keys. The server builds each page in memory.
	firstPage, maxPage = 2000, 100000
	// minPageBytes and maxPageBytes bound the size that a page should have. It grows with the range, because the
	// server counts the keys that are left for each page.
	minPageBytes, maxPageBytes = 1 << 20, 8 << 20
)

// pages reads a range at a revision, part by part.
func (s *Store) pages(ctx context.Context, r *pb.RangeRequest, add func([]*mvccpb.KeyValue) error) error {
	r.Limit, r.Serializable = firstPage, true
	for read := 0; ; {
		page, cancel := context.WithTimeout(ctx, s.o.Timeout)
		answer, err := s.client.Range(page, r)
		cancel()
		switch {
		case rpc.TooLarge(err) && r.Limit > 1:
			r.Limit = max(r.Limit/8, 1)
			continue
		case err != nil:
			return fmt.Errorf("reading the tree: %w", err)
		}
		size, last := answer.Size(), len(answer.Kvs)-1
		if answer.More && last >= 0 {
			r.Key = layout.Behind(answer.Kvs[last].Key)
		}
		if err := add(answer.Kvs); err != nil {
			return fmt.Errorf("reading the tree: %w", err)
		}
		if !answer.More || last < 0 {
			return nil
		}
		read += size
		want := int64(min(max(read/4, minPageBytes), maxPageBytes))
		r.Limit = min(maxPage, 4*r.Limit, max(1, r.Limit*want/int64(size+1)))
	}
}

// pagesAhead is pages, but reads the next page while the last one is added.
func (s *Store) pagesAhead(ctx context.Context, r *pb.RangeRequest, add func([]*mvccpb.KeyValue) error) error {
	ctx, cancel := context.WithCancel(ctx)
	next := make(chan []*mvccpb.KeyValue)
	var failed error
	go func() {
		defer close(next)
		failed = s.pages(ctx, r, func(kvs []*mvccpb.KeyValue) error {
			select {
			case next <- kvs:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	var err error
	for kvs := range next {
		if err == nil {
			err = add(kvs)
		}
		if err != nil {
			cancel()
		}
	}
	cancel()
	return cmp.Or(err, failed)
}

// maxPast is the number of events that a loaded mirror applies again, so that all proxies have
// the same history.
const maxPast = 1000

// pastRevision returns the revision that is a number of events ago, or the oldest one that is left.
func (s *Store) pastRevision(ctx context.Context, st *state, events int64) (int64, error) {
	// The version of the log counts the events since it was created.
	want := max(st.log.Version-events, 1)
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
