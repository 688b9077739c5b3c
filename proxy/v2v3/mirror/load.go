package mirror

import (
	"bytes"
	"errors"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3/layout"
)

// Loading builds a mirror from keys: the records of directories, the log and the other keys, and then the
// records of files with their values. Each kind is in order. The record of a file precedes its value.
type Loading struct {
	m     *Mirror
	dirs  []v2store.Record
	files []v2store.Record // whose values are still to come
	left  []string         // the keys of nodes that were left out
}

// NewLoading returns a mirror without nodes, as of a revision.
func NewLoading(keys layout.Keys, known int, cluster uint64, meta *layout.Meta, metaRevision, revision int64) *Loading {
	return &Loading{m: &Mirror{Keys: keys, known: known, Cluster: cluster, Meta: meta, MetaRevision: metaRevision, Applied: revision, Replaying: true,
		Watches: v2store.NewWatches(), Queues: map[string]Queue{}, Extras: map[Node]layout.Extra{}, Foreign: map[string]struct{}{},
		Control: map[string]*mvccpb.KeyValue{}, broken: map[string]struct{}{}, overwrites: map[string]int64{}, rendered: map[uint64]*Event{}}}
}

// Finish returns the mirror, and the keys of nodes that were left out because they have no parent
// or no value.
func (l *Loading) Finish() (m *Mirror, left []string, err error) {
	if l.m.Tree == nil {
		return nil, nil, errNoLog
	}
	l.miss(len(l.files))
	return l.m, l.left, nil
}

// errNoLog means that the log is missing, or behind the values of files.
var errNoLog = errors.New("the tree has no log")

// Add adds keys of the store. They may be parts of a large buffer, so none of them is kept.
func (l *Loading) Add(kvs []*mvccpb.KeyValue) error {
	for _, kv := range kvs {
		if err := l.addOne(kv); err != nil {
			return err
		}
	}
	return nil
}

func (l *Loading) addOne(kv *mvccpb.KeyValue) error {
	m := l.m
	kind, key := m.Keys.Parse(kv.Key)
	switch kind {
	case layout.Dir, layout.File:
		r := v2store.Record{Key: key, Dir: kind == layout.Dir, Recorded: m.Meta.Index(kv.ModRevision)}
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
		return l.addValue(key, kv)
	case layout.Queue:
		return m.applyQueue(kv, key, true)
	case layout.Session, layout.Keeper, layout.Lock:
		kept := *kv
		kept.Key, kept.Value = bytes.Clone(kv.Key), bytes.Clone(kv.Value)
		m.Control[string(kv.Key)] = &kept
	}
	return nil
}

// addLog makes the tree, with the directories. Their records precede the log.
func (l *Loading) addLog(kv *mvccpb.KeyValue) error {
	m := l.m
	m.Log, m.LogRevision = bytes.Clone(kv.Value), kv.ModRevision
	index := m.Meta.Index(kv.ModRevision)
	m.Tree, m.History = v2store.New(index), v2store.NewHistory(index+1)
	for _, r := range l.dirs {
		l.put(r)
	}
	l.dirs = nil
	return nil
}

// addValue adds the value of the next file, or one that no client of v2 put.
func (l *Loading) addValue(key string, kv *mvccpb.KeyValue) error {
	if l.m.Tree == nil {
		return errNoLog
	}
	n := 0
	for n < len(l.files) && l.files[n].Key < key {
		n++
	}
	l.miss(n)
	if len(l.files) == 0 || l.files[0].Key != key {
		l.m.Foreign[key] = struct{}{}
		return nil
	}
	r := l.files[0]
	l.files = l.files[1:]
	r.Value = string(kv.Value)
	l.put(r)
	if l.m.Meta.Index(kv.ModRevision) > r.Recorded {
		l.m.overwrites[key] = kv.ModRevision
	}
	return nil
}

// miss leaves out files that have no value.
func (l *Loading) miss(n int) {
	for _, r := range l.files[:n] {
		l.leaveOut(r.Key)
	}
	l.files = l.files[n:]
}

func (l *Loading) put(r v2store.Record) {
	if err := l.m.Tree.Load(r); err != nil {
		l.leaveOut(r.Key)
	}
}

func (l *Loading) leaveOut(key string) {
	l.m.broken[key] = struct{}{}
	l.left = append(l.left, key)
}
