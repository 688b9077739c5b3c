package mirror

import (
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3/layout"
)

// Mirror is the tree at one revision. It has no lock: its users may read it at the same time while
// none changes it. Only its user changes the fields.
type Mirror struct {
	Keys    layout.Keys
	Cluster uint64
	Meta    *layout.Meta
	// known is the version of the layout that the program knows.
	known int
	// MetaRevision and LogRevision are those at which the keys were put.
	MetaRevision, LogRevision int64
	Log                       []byte
	// Applied is the revision up to which the mirror is complete.
	Applied int64

	Tree    *v2store.Tree
	History *v2store.History
	Watches *v2store.Watches
	// Queues are the last names that POST chose, by directory.
	Queues map[string]Queue
	// Extras are the unknown fields of records, by kind and key.
	Extras map[Node]layout.Extra
	// Foreign are the keys of values without a record.
	Foreign map[string]struct{}
	// Control are the keys of sessions and of the keeper, by their key in the store.
	Control map[string]*mvccpb.KeyValue
	// Witness sees the batches that are applied; nil if nobody does.
	Witness Witness
	// Replaying means that the mirror is not in use yet. Doubtful means that it may differ from the
	// store, because a client of v3 has changed a node, or for a reason that its user has.
	Replaying, Doubtful bool

	// broken are the keys of nodes that were left out when the tree was loaded. The revisions
	// are those of values that are newer than the record of their file.
	broken     map[string]struct{}
	overwrites map[string]int64
	// touched are the keys that changed since a comparison began; nil if there is none.
	touched map[string]struct{}

	rendered      map[uint64]*Event
	renderedBytes int
}

// Queue is the last name that a POST chose in a directory, and the revision at which it was put.
type Queue struct {
	Name     uint64
	Revision int64
}

// Node is a record.
type Node struct {
	Kind layout.Kind
	Key  string
}

// Apply applies a revision. If it returns an error, the mirror is not usable any more.
func (m *Mirror) Apply(r *layout.Revision) (*v2store.Event, error) {
	if r.Number <= m.Applied {
		return nil, fmt.Errorf("found the revision %d after %d", r.Number, m.Applied)
	}
	for _, e := range r.Other {
		if err := m.applyOther(e); err != nil {
			return nil, err
		}
	}
	for _, e := range r.Strange {
		if m.applyStrange(e) && m.Replaying {
			return nil, fmt.Errorf("a client of v3 has changed %q, which the tree needs", e.Kv.Key)
		}
	}
	m.Applied = r.Number
	if r.Entry == nil {
		return nil, nil
	}
	if r.Batch != nil {
		return nil, m.applyBatch(r)
	}
	if r.Change == nil {
		return nil, fmt.Errorf("a command has changed the tree as a whole")
	}
	return m.applyChange(r)
}

func (m *Mirror) applyChange(r *layout.Revision) (*v2store.Event, error) {
	c := r.Change
	e, err := m.Tree.Apply(c, m.Meta.Index(r.Number))
	if err != nil {
		return nil, err
	}
	if c.Put == nil && len(e.Removed) != r.Removed {
		return nil, fmt.Errorf("applying %s of %q: the mirror had %d nodes there, and the store %d", c.Action, c.Key, len(e.Removed), r.Removed)
	}
	m.LogRevision, m.Log = r.Number, r.Log
	m.note(c, e)
	for _, key := range r.Gone {
		m.touch(key)
		delete(m.Foreign, key)
	}
	if c.Put != nil {
		m.keepExtra(c.Key, c.Put.Dir, r.Extra)
		if !c.Put.Dir {
			delete(m.Foreign, c.Key)
		}
	} else if len(m.Extras) > 0 {
		for _, key := range e.Removed {
			m.keepExtra(key, false, nil)
		}
	}
	m.History.Add(e)
	m.Watches.Notify(e)
	return e, nil
}

// note takes note of the keys of a change for an audit.
func (m *Mirror) note(c *v2store.Change, e *v2store.Event) {
	if m.touched == nil {
		return
	}
	m.touch(c.Key)
	for _, key := range append(c.Dirs[:len(c.Dirs):len(c.Dirs)], e.Removed...) {
		m.touch(key)
	}
}

// touch takes note of a change for an audit.
func (m *Mirror) touch(key string) {
	if m.touched != nil {
		m.touched[key] = struct{}{}
	}
}

// keepExtra remembers the unknown fields of the record of a node, and forgets those that it had.
func (m *Mirror) keepExtra(key string, dir bool, extra layout.Extra) {
	delete(m.Extras, Node{layout.File, key})
	delete(m.Extras, Node{layout.Dir, key})
	kind := layout.File
	if dir {
		kind = layout.Dir
	}
	if extra != nil {
		m.Extras[Node{kind, key}] = extra
	}
}

// Extra returns the unknown fields of the record of a node.
func (m *Mirror) Extra(key string, dir bool) layout.Extra {
	if dir {
		return m.Extras[Node{layout.Dir, key}]
	}
	return m.Extras[Node{layout.File, key}]
}

func (m *Mirror) applyOther(e *mvccpb.Event) error {
	kind, name := m.Keys.Parse(e.Kv.Key)
	put := e.Type == mvccpb.PUT
	switch kind {
	case layout.Stored:
		return m.applyMeta(e, put)
	case layout.Queue:
		return m.applyQueue(e.Kv, name, put)
	case layout.Session, layout.Keeper, layout.Lock:
		if put {
			m.Control[string(e.Kv.Key)] = e.Kv
		} else {
			delete(m.Control, string(e.Kv.Key))
		}
	}
	return nil
}

func (m *Mirror) applyMeta(e *mvccpb.Event, put bool) error {
	if !put {
		return fmt.Errorf("the description of the tree was deleted at the revision %d", e.Kv.ModRevision)
	}
	meta, err := layout.DecodeMeta(e.Kv.Value)
	if err != nil {
		return err
	}
	if meta.Generation != m.Meta.Generation || meta.Offset != m.Meta.Offset {
		return fmt.Errorf("the tree has another past since the revision %d", e.Kv.ModRevision)
	}
	if err := meta.Readable(m.known); err != nil {
		return err
	}
	m.Meta, m.MetaRevision = meta, e.Kv.ModRevision
	return nil
}

func (m *Mirror) applyQueue(kv *mvccpb.KeyValue, dir string, put bool) error {
	if !put {
		delete(m.Queues, dir)
		return nil
	}
	name, err := layout.DecodeQueue(kv.Value)
	if err != nil {
		return err
	}
	m.Queues[dir] = Queue{name, kv.ModRevision}
	return nil
}

// applyStrange takes note of a change that no client of v2 made. The tree does not follow it. It
// reports whether the change concerns a node: the tree is not that of the store any more then,
// and the next audit finds that.
func (m *Mirror) applyStrange(e *mvccpb.Event) bool {
	kind, key := m.Keys.Parse(e.Kv.Key)
	m.touch(key)
	delete(m.overwrites, key)
	if kind != layout.Data || m.Tree.Holds(v2store.Fact{Kind: v2store.FileExists, Key: key}) {
		m.Doubtful = true
		return true
	}
	if e.Type == mvccpb.PUT {
		m.Foreign[key] = struct{}{}
	} else {
		delete(m.Foreign, key)
	}
	return false
}

// Protects reports whether a change would replace or remove a value that is not of v2.
func (m *Mirror) Protects(c *v2store.Change) bool {
	if len(m.Foreign) == 0 {
		return false
	}
	if c.Put != nil {
		_, found := m.Foreign[c.Key]
		return found && !c.Put.Dir
	}
	if !c.Below {
		return false
	}
	for key := range m.Foreign {
		if strings.HasPrefix(key, c.Key+"/") {
			return true
		}
	}
	return false
}
