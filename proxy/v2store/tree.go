package v2store

import (
	"container/heap"
	"fmt"
	"iter"
	"path"
	"strings"
	"time"
)

// Tree holds all nodes. Several goroutines may read it while none changes it.
type Tree struct {
	root  *node
	index uint64
	due   due
	nodes int
	bytes int // of keys and values
	kept  kept
}

// New returns an empty tree whose last change had the given index.
func New(index uint64) *Tree {
	return &Tree{root: &node{contents: &contents{}, size: nodeFrame + len(`""`)}, index: index}
}

// Index returns the index of the last change.
func (t *Tree) Index() uint64 { return t.index }

// Len returns the number of nodes, without the root.
func (t *Tree) Len() int { return t.nodes }

// nodeBytes is about what a node needs besides its key and value: its fields, and its place in its
// directory.
const nodeBytes = 200

// Bytes returns about how much memory the tree needs.
func (t *Tree) Bytes() int { return t.bytes + t.nodes*nodeBytes + t.kept.size() }

// Record is the state of a node that was stored elsewhere, or will be.
type Record struct {
	Key   string
	Dir   bool
	Value string
	// Created and Modified are 0 if they are the index of the change that stores the record.
	Created, Modified uint64
	// Recorded is the index of the change that stored the record.
	Recorded uint64
	// Expires is in nanoseconds since 1970; 0 means that the node is permanent.
	Expires int64
}

// Load adds a node without an event. Directories are loaded before what is below them.
func (t *Tree) Load(r Record) error {
	parent, err := t.vacancy(r.Key)
	if err != nil {
		return fmt.Errorf("loading %q: %w", r.Key, err)
	}
	t.add(parent, &r)
	return nil
}

// vacancy returns the directory in which a node could be created.
func (t *Tree) vacancy(key string) (*node, error) {
	if key == "" || key == "/" {
		return nil, fmt.Errorf("found the root, want a key below it")
	}
	if path.Clean(key) != key || key[0] != '/' {
		return nil, fmt.Errorf("found a key that is not canonical, want one like /a/b")
	}
	parent, err := t.find(above(key))
	switch {
	case err != nil:
		return nil, fmt.Errorf("finding its parent: %w", err)
	case !parent.dir():
		return nil, fmt.Errorf("its parent is a file, want a directory")
	case parent.child(key[len(parent.key)+1:]) != nil:
		return nil, fmt.Errorf("the key exists, want it to be absent")
	}
	return parent, nil
}

// add creates a node in a directory that has none of that name.
func (t *Tree) add(parent *node, r *Record) *node {
	n := &node{key: r.Key, value: r.Value, parent: parent, expires: r.Expires, recorded: r.Recorded,
		created: orIndex(r.Created, r.Recorded), modified: orIndex(r.Modified, r.Recorded)}
	if r.Dir {
		n.value, n.contents = "", &contents{}
	}
	parent.attach(n)
	n.changed()
	n.resize()
	n.count(1)
	t.nodes++
	t.bytes += len(n.key) + len(n.value)
	if n.expires != 0 {
		heap.Push(&t.due, n)
	}
	return n
}

func orIndex(index, otherwise uint64) uint64 {
	if index == 0 {
		return otherwise
	}
	return index
}

// remove removes a node with everything below it, and returns their keys appended to keys.
func (t *Tree) remove(n *node, keys []string) []string {
	n.changed()
	n.unshow()
	n.count(-1 - n.below())
	n.parent.detach(n)
	return t.discard(n, keys)
}

// discard counts a removed node off, and what is below it.
func (t *Tree) discard(n *node, keys []string) []string {
	if n.dir() {
		for _, child := range n.contents.nodes {
			keys = t.discard(child, keys)
		}
	}
	t.nodes--
	t.bytes -= len(n.key) + len(n.value)
	if n.expires != 0 {
		heap.Remove(&t.due, n.place)
	}
	return append(keys, n.key)
}

// above returns the key of the directory that holds a node.
func above(key string) string { return key[:strings.LastIndexByte(key, '/')] }

// find walks to a node. The error names the component at which the walk ends.
func (t *Tree) find(key string) (*node, *Error) {
	n := t.root
	for end := 0; end < len(key); {
		if !n.dir() {
			return nil, newError(CodeNotDir, n.key, t.index)
		}
		start := end + 1
		end = nextEnd(key, start)
		child := n.child(key[start:end])
		if child == nil {
			return nil, newError(CodeKeyNotFound, key[:end], t.index)
		}
		n = child
	}
	return n, nil
}

// nextEnd returns where the segment that begins at start ends.
func nextEnd(key string, start int) int {
	if i := strings.IndexByte(key[start:], '/'); i >= 0 {
		return start + i
	}
	return len(key)
}

// Below returns the records of all nodes below a directory, hidden ones included. A directory precedes
// what is below it.
func (t *Tree) Below(key string) iter.Seq[Record] {
	return func(yield func(Record) bool) {
		if n, err := t.find(key); err == nil && n.dir() {
			n.each(yield)
		}
	}
}

// each calls yield for each node below a directory, until it returns false.
func (n *node) each(yield func(Record) bool) bool {
	for _, child := range n.contents.nodes {
		r := child.record()
		if !yield(r) || r.Dir && !child.each(yield) {
			return false
		}
	}
	return true
}

func (n *node) record() Record {
	return Record{Key: n.key, Dir: n.dir(), Value: n.value, Created: n.created, Modified: n.modified, Recorded: n.recorded, Expires: n.expires}
}

// Get answers a read as of a time.
func (t *Tree) Get(o *Operation, now time.Time) (*Event, *Error) {
	n, err := t.find(o.Key)
	if err != nil {
		return nil, err
	}
	v := n.view(now)
	n.list(v, o.Recursive, now)
	return &Event{Action: Get, Node: v, Index: t.index}, nil
}
