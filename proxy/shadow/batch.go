package shadow

import (
	"fmt"
	"strings"

	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3/layout"
)

const (
	// maxOps bounds the operations of a transaction, of which etcd allows 128, and maxBatchBytes the bytes of its keys and
	// values, of which etcd allows 1.5 MiB. One event alone may need more.
	maxOps, maxBatchBytes = 100, 512 << 10
	// opsOfNode is how many operations a node needs at most: a directory replaces a file by three.
	opsOfNode = 3
)

// batch collects events that one transaction applies. An event that depends on another one of the batch in any other way
// than that it changes the same file waits for the next batch, so that the order in the transaction does not matter.
type batch struct {
	tree *v2store.Tree
	list []layout.Batched
	// nodes are those that the batch has changed, as they are then; nil for one that it removes.
	nodes      map[string]*v2store.Record
	ops, bytes int
	// full means that nothing may follow. misfits say in what the tree is unlike the v2 store.
	full    bool
	misfits []misfit
}

// misfit is an event that does not fit the tree.
type misfit struct{ key, what string }

func newBatch(t *v2store.Tree) *batch {
	return &batch{tree: t, nodes: map[string]*v2store.Record{}}
}

// record returns a node as it is behind the batch.
func (b *batch) record(key string) (r v2store.Record, found bool) {
	if n, changed := b.nodes[key]; changed {
		if n == nil {
			return v2store.Record{}, false
		}
		return *n, true
	}
	return b.tree.Record(key)
}

// add adds an event, unless it has to wait for the next batch.
func (b *batch) add(e *event) (added bool) {
	key := e.node.Key
	size := e.size()
	if b.full || len(b.list) > 0 && (b.ops+opsOfNode+strings.Count(key, "/") > maxOps || b.bytes+size > maxBatchBytes || !b.beside(e)) {
		return false
	}
	b.bytes += size
	if e.removes() {
		b.remove(e)
		return true
	}
	for end := strings.IndexByte(key[1:], '/') + 1; end > 0; {
		switch above, there := b.record(key[:end]); {
		case !there:
			b.put(e, v2store.Create, v2store.Record{Key: key[:end], Dir: true})
		case !above.Dir:
			b.mismatch(e, "the shadow has a file above the key")
			b.drop(e, v2store.Delete, &above)
			continue
		}
		next := strings.IndexByte(key[end+1:], '/')
		if next < 0 {
			break
		}
		end += 1 + next
	}
	b.final(e)
	return true
}

// beside reports whether an event does not depend on those of the batch, except on those that change the same file.
func (b *batch) beside(e *event) bool {
	key := e.node.Key
	if e.node.Dir && e.removes() {
		return false
	}
	n, changed := b.nodes[key]
	if changed && (e.node.Dir || n != nil && n.Dir) {
		return false
	}
	if old, found := b.tree.Record(key); found && old.Dir != e.node.Dir {
		return false
	}
	for end := strings.LastIndexByte(key, '/'); end > 0; end = strings.LastIndexByte(key[:end], '/') {
		if n, changed := b.nodes[key[:end]]; changed && (n == nil || !n.Dir) {
			return false
		}
		if old, found := b.tree.Record(key[:end]); found && !old.Dir {
			return false
		}
	}
	return true
}

// remove adds the removal of a node with everything below it.
func (b *batch) remove(e *event) {
	old, found := b.record(e.node.Key)
	switch {
	case !found:
		b.mismatch(e, "the shadow does not have the node that is removed")
		return
	case old.Dir != e.node.Dir:
		b.mismatch(e, "the shadow has a node of another kind")
	}
	b.drop(e, e.action, &old)
}

// drop adds the removal of a node. A directory takes what is below it with it, so that nothing may follow.
func (b *batch) drop(e *event, action v2store.Action, old *v2store.Record) {
	b.list = append(b.list, layout.Batched{Index: e.index, Action: action, Key: old.Key, Dir: old.Dir})
	b.nodes[old.Key] = nil
	b.full = b.full || old.Dir
	b.ops += opsOfNode
}

// final adds the change of the node itself, whose directory exists.
func (b *batch) final(e *event) {
	n := e.node
	r := v2store.Record{Key: n.Key, Dir: n.Dir, Created: n.CreatedIndex, Modified: e.index}
	if n.Value != nil {
		r.Value = *n.Value
	}
	if n.Expiration != nil {
		r.Expires = n.Expiration.UnixNano()
	}
	old, found := b.record(n.Key)
	if found && old.Dir && !n.Dir {
		b.mismatch(e, "the shadow has a directory at the key")
		b.drop(e, v2store.Delete, &old)
		found = false
	}
	action := e.action
	modifies := action == v2store.Update || action == v2store.CompareAndSwap
	switch {
	case modifies && !found:
		b.mismatch(e, "the shadow does not have the node")
		action = v2store.Set
	case action == v2store.Create && found:
		b.mismatch(e, "the shadow has the node already")
		action = v2store.Set
	case modifies && old.Dir != n.Dir:
		b.mismatch(e, "the shadow has a node of another kind")
		action = v2store.Set
	}
	if found && old.Dir { // a directory is never replaced, and its update does not change its index
		action, r.Modified = v2store.Update, old.Modified
	}
	b.put(e, action, r)
	b.list[len(b.list)-1].DropFile = found && !old.Dir && n.Dir
}

func (b *batch) put(e *event, action v2store.Action, r v2store.Record) {
	if r.Created == 0 {
		r.Created = e.index
	}
	if r.Modified == 0 {
		r.Modified = e.index
	}
	c := layout.Batched{Index: e.index, Action: action, Key: r.Key, Dir: r.Dir, Put: true, Created: r.Created, Modified: r.Modified, Expires: r.Expires}
	if !r.Dir {
		c.Value = &r.Value
	}
	b.list = append(b.list, c)
	b.nodes[r.Key] = &r
	b.ops += opsOfNode
}

// mismatch takes note of an event that does not fit. Nothing may follow it.
func (b *batch) mismatch(e *event, what string) {
	b.misfits = append(b.misfits, misfit{e.node.Key, fmt.Sprintf("before the event at the index %d %s", e.index, what)})
	b.full = true
}

// size returns about how many bytes an event needs in a transaction.
func (e *event) size() int {
	n := 4*len(e.node.Key) + 300
	if e.node.Value != nil {
		n += len(*e.node.Value)
	}
	return n
}
