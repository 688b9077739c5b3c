package v2v3

import (
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3/layout"
)

// mirror is the tree at one revision. The lock of the store guards it.
type mirror struct {
	keys    layout.Keys
	cluster uint64
	meta    *layout.Meta
	// metaRevision and logRevision are those at which the keys were put.
	metaRevision, logRevision int64
	log                       []byte
	// applied is the revision up to which the mirror is complete.
	applied int64

	tree    *v2store.Tree
	history *v2store.History
	watches *v2store.Watches
	// queues are the last names that POST chose, by directory.
	queues map[string]queue
	// extras are the unknown fields of records, by kind and key.
	extras map[node]layout.Extra
	// foreign are the keys of values without a record.
	foreign map[string]struct{}
	// control are the keys of sessions and of the keeper, by their key in the store.
	control map[string]*mvccpb.KeyValue
	// broken are the keys of nodes that were left out when the tree was loaded. The revisions
	// are those of values that are newer than the record of their file.
	broken     map[string]struct{}
	overwrites map[string]int64
	// replaying means that the mirror is not in use yet. Doubtful means that a client of v3 has
	// changed a node.
	replaying, doubtful bool
	// touched are the keys that changed since an audit began; nil if there is none.
	touched map[string]struct{}

	rendered      map[uint64]*Event
	renderedBytes int
}

type queue struct {
	name     uint64
	revision int64
}

type node struct {
	kind layout.Kind
	key  string
}

// apply applies a revision. If it returns an error, the mirror is not usable any more.
func (m *mirror) apply(r *layout.Revision) (*v2store.Event, error) {
	if r.Number <= m.applied {
		return nil, fmt.Errorf("found the revision %d after %d", r.Number, m.applied)
	}
	for _, e := range r.Other {
		if err := m.applyOther(e); err != nil {
			return nil, err
		}
	}
	for _, e := range r.Strange {
		if m.applyStrange(e) && m.replaying {
			return nil, fmt.Errorf("a client of v3 has changed %q, which the tree needs", e.Kv.Key)
		}
	}
	m.applied = r.Number
	if r.Entry == nil {
		return nil, nil
	}
	if r.Change == nil {
		return nil, fmt.Errorf("a command has changed the tree as a whole")
	}
	return m.applyChange(r)
}

func (m *mirror) applyChange(r *layout.Revision) (*v2store.Event, error) {
	c := r.Change
	e, err := m.tree.Apply(c, m.meta.Index(r.Number))
	if err != nil {
		return nil, err
	}
	if c.Put == nil && len(e.Removed) != r.Removed {
		return nil, fmt.Errorf("applying %s of %q: the mirror had %d nodes there, and the store %d", c.Action, c.Key, len(e.Removed), r.Removed)
	}
	m.logRevision, m.log = r.Number, r.Log
	m.note(c, e)
	for _, key := range r.Gone {
		m.touch(key)
		delete(m.foreign, key)
	}
	if c.Put != nil {
		m.keepExtra(c.Key, c.Put.Dir, r.Extra)
		delete(m.foreign, c.Key)
	} else if len(m.extras) > 0 {
		for _, key := range e.Removed {
			m.keepExtra(key, false, nil)
		}
	}
	m.history.Add(e)
	m.watches.Notify(e)
	return e, nil
}

// note takes note of the keys of a change for an audit.
func (m *mirror) note(c *v2store.Change, e *v2store.Event) {
	if m.touched == nil {
		return
	}
	m.touch(c.Key)
	for _, key := range append(c.Dirs[:len(c.Dirs):len(c.Dirs)], e.Removed...) {
		m.touch(key)
	}
}

// touch takes note of a change for an audit.
func (m *mirror) touch(key string) {
	if m.touched != nil {
		m.touched[key] = struct{}{}
	}
}

// keepExtra remembers the unknown fields of the record of a node, and forgets those that it had.
func (m *mirror) keepExtra(key string, dir bool, extra layout.Extra) {
	delete(m.extras, node{layout.File, key})
	delete(m.extras, node{layout.Dir, key})
	kind := layout.File
	if dir {
		kind = layout.Dir
	}
	if extra != nil {
		m.extras[node{kind, key}] = extra
	}
}

// extra returns the unknown fields of the record of a node.
func (m *mirror) extra(key string, dir bool) layout.Extra {
	if dir {
		return m.extras[node{layout.Dir, key}]
	}
	return m.extras[node{layout.File, key}]
}

func (m *mirror) applyOther(e *mvccpb.Event) error {
	kind, name := m.keys.Parse(e.Kv.Key)
	put := e.Type == mvccpb.PUT
	switch kind {
	case layout.Stored:
		return m.applyMeta(e, put)
	case layout.Queue:
		return m.applyQueue(e.Kv, name, put)
	case layout.Session, layout.Keeper, layout.Lock:
		if put {
			m.control[string(e.Kv.Key)] = e.Kv
		} else {
			delete(m.control, string(e.Kv.Key))
		}
	}
	return nil
}

func (m *mirror) applyMeta(e *mvccpb.Event, put bool) error {
	if !put {
		return fmt.Errorf("the description of the tree was deleted at the revision %d", e.Kv.ModRevision)
	}
	meta, err := layout.DecodeMeta(e.Kv.Value)
	if err != nil {
		return err
	}
	if meta.Generation != m.meta.Generation || meta.Offset != m.meta.Offset {
		return fmt.Errorf("the tree has another past since the revision %d", e.Kv.ModRevision)
	}
	if meta.MinRead > layout.Schema {
		return newerError(meta)
	}
	m.meta, m.metaRevision = meta, e.Kv.ModRevision
	return nil
}

func (m *mirror) applyQueue(kv *mvccpb.KeyValue, dir string, put bool) error {
	if !put {
		delete(m.queues, dir)
		return nil
	}
	name, err := layout.DecodeQueue(kv.Value)
	if err != nil {
		return err
	}
	m.queues[dir] = queue{name, kv.ModRevision}
	return nil
}

// applyStrange takes note of a change that no client of v2 made. The tree does not follow it. It
// reports whether the change concerns a node: the tree is not that of the store any more then,
// and the next audit finds that.
func (m *mirror) applyStrange(e *mvccpb.Event) bool {
	kind, key := m.keys.Parse(e.Kv.Key)
	m.touch(key)
	delete(m.overwrites, key)
	if kind != layout.Data || m.tree.Holds(v2store.Fact{Kind: v2store.FileExists, Key: key}) {
		m.doubtful = true
		return true
	}
	if e.Type == mvccpb.PUT {
		m.foreign[key] = struct{}{}
	} else {
		delete(m.foreign, key)
	}
	return false
}

// protects reports whether a change would replace or remove a value that is not of v2.
func (m *mirror) protects(c *v2store.Change) bool {
	if len(m.foreign) == 0 {
		return false
	}
	if c.Put != nil {
		_, found := m.foreign[c.Key]
		return found && !c.Put.Dir
	}
	if !c.Below {
		return false
	}
	for key := range m.foreign {
		if strings.HasPrefix(key, c.Key) && key[len(c.Key):][0] == '/' {
			return true
		}
	}
	return false
}
