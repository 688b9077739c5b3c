package v2v3

import (
	"context"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// load reads the tree at a revision. What came later is applied from the stream of events.
func (s *Store) load(ctx context.Context, st *state, revision int64) (*mirror, error) {
	m := &mirror{keys: s.keys, cluster: st.cluster, meta: st.meta, metaRevision: st.metaAt, applied: revision, replaying: true,
		watches: v2store.NewWatches(), queues: map[string]queue{}, extras: map[node]layout.Extra{},
		foreign: map[string]struct{}{}, broken: map[string]struct{}{}, overwrites: map[string]int64{},
		control: map[string]*mvccpb.KeyValue{}, rendered: map[uint64]*Event{}}
	l := &loading{m: m}
	start, end := s.keys.Range()
	if err := s.pages(ctx, start, end, revision, l.add); err != nil {
		return nil, err
	}
	if m.tree == nil {
		return nil, fmt.Errorf("loading the tree: there is no log at the revision %d", revision)
	}
	l.miss(len(l.files))
	if len(m.broken) > 0 {
		s.o.Log.Error("the tree in the store is damaged: nodes without a parent or a value are left out", "nodes", len(m.broken), "one of them", l.example)
	}
	return m, nil
}

const (
	// firstPage and maxPage are numbers of keys. The server builds each page in memory.
	firstPage, maxPage = 2000, 100000
	// pageBytes is the size that a page should have.
	pageBytes = 8 << 20
)

// pages reads a range at a revision, part by part.
func (s *Store) pages(ctx context.Context, start, end []byte, revision int64, add func([]*mvccpb.KeyValue) error) error {
	for limit := int64(firstPage); ; {
		page, cancel := context.WithTimeout(ctx, s.o.Timeout)
		answer, err := s.client.Range(page, &pb.RangeRequest{Key: start, RangeEnd: end, Revision: revision, Limit: limit, Serializable: true})
		cancel()
		switch {
		case rpc.TooLarge(err) && limit > 1:
			limit = max(limit/8, 1)
			continue
		case err != nil:
			return fmt.Errorf("reading the tree: %w", err)
		}
		if err := add(answer.Kvs); err != nil {
			return fmt.Errorf("reading the tree: %w", err)
		}
		if !answer.More || len(answer.Kvs) == 0 {
			return nil
		}
		start = append(answer.Kvs[len(answer.Kvs)-1].Key, 0)
		limit = min(maxPage, 4*limit, max(1, limit*pageBytes/int64(answer.Size()+1)))
	}
}

// loading builds a mirror from keys in their order: the records of directories, those of files,
// keeper, log, meta, queues, sessions, and at last the values of files.
type loading struct {
	m       *mirror
	dirs    []v2store.Record
	files   []v2store.Record // whose values are still to come
	example string
}

func (l *loading) add(kvs []*mvccpb.KeyValue) error {
	for _, kv := range kvs {
		if err := l.addOne(kv); err != nil {
			return err
		}
	}
	return nil
}

func (l *loading) addOne(kv *mvccpb.KeyValue) error {
	m := l.m
	kind, key := m.keys.Parse(kv.Key)
	switch kind {
	case layout.Dir, layout.File:
		r := v2store.Record{Key: key, Dir: kind == layout.Dir, Recorded: m.meta.Index(kv.ModRevision)}
		extra, err := layout.DecodeRecord(kv.Value, &r)
		if err != nil {
			return err
		}
		m.keepExtra(key, r.Dir, extra)
		if r.Dir {
			l.dirs = append(l.dirs, r)
		} else {
			l.files = append(l.files, r)
		}
	case layout.Log:
		return l.addLog(kv)
	case layout.Data:
		l.addValue(key, kv)
	case layout.Queue:
		return m.applyQueue(kv, key, true)
	case layout.Session, layout.Keeper, layout.Lock:
		m.control[string(kv.Key)] = kv
	}
	return nil
}

// addLog makes the tree, with the directories. Their records precede the log.
func (l *loading) addLog(kv *mvccpb.KeyValue) error {
	m := l.m
	m.log, m.logRevision = kv.Value, kv.ModRevision
	index := m.meta.Index(kv.ModRevision)
	m.tree, m.history = v2store.New(index), v2store.NewHistory(index+1)
	for _, r := range l.dirs {
		l.put(r)
	}
	l.dirs = nil
	return nil
}

// addValue adds the value of the next file, or one that no client of v2 put.
func (l *loading) addValue(key string, kv *mvccpb.KeyValue) {
	n := 0
	for n < len(l.files) && l.files[n].Key < key {
		n++
	}
	l.miss(n)
	if len(l.files) == 0 || l.files[0].Key != key {
		l.m.foreign[key] = struct{}{}
		return
	}
	r := l.files[0]
	l.files = l.files[1:]
	r.Value = string(kv.Value)
	l.put(r)
	if l.m.meta.Index(kv.ModRevision) > r.Recorded {
		l.m.overwrites[key] = kv.ModRevision
	}
}

// miss leaves out files that have no value.
func (l *loading) miss(n int) {
	for _, r := range l.files[:n] {
		l.leaveOut(r.Key)
	}
	l.files = l.files[n:]
}

func (l *loading) put(r v2store.Record) {
	if err := l.m.tree.Load(r); err != nil {
		l.leaveOut(r.Key)
	}
}

func (l *loading) leaveOut(key string) {
	l.m.broken[key] = struct{}{}
	l.example = key
}
