package exact

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"etcd-tlsproxy/proxy/v2store"
)

// Tree is the nodes of a history at an index, by key.
type Tree map[string]Node

// Node is what answers show of a node.
type Node struct {
	Dir               bool
	Value             string
	Created, Modified uint64
}

// NewTree returns the tree of the answer to a recursive read.
func NewTree(root *v2store.Node) Tree {
	t := Tree{}
	t.add(root)
	return t
}

func (t Tree) add(n *v2store.Node) {
	t[n.Key] = newNode(n)
	for _, child := range n.Nodes {
		t.add(child)
	}
}

func newNode(n *v2store.Node) Node {
	node := Node{Dir: n.Dir, Created: n.CreatedIndex, Modified: n.ModifiedIndex}
	if n.Value != nil {
		node.Value = *n.Value
	}
	return node
}

// below returns the nodes at and below a key.
func (t Tree) below(key string) Tree {
	found := Tree{}
	for k, n := range t {
		if k == key || strings.HasPrefix(k, key+"/") {
			found[k] = n
		}
	}
	return found
}

// apply makes the change of an event. The parents of a new node are made with it.
func (t Tree) apply(e *v2store.Event) {
	key := e.Node.Key
	switch e.Action {
	case v2store.Delete, v2store.CompareAndDelete, v2store.Expire:
		for k := range t.below(key) {
			delete(t, k)
		}
		return
	}
	t[key] = newNode(e.Node)
	for i := strings.LastIndexByte(key, '/'); i > 0; i = strings.LastIndexByte(key[:i], '/') {
		if _, found := t[key[:i]]; !found {
			t[key[:i]] = Node{Dir: true, Created: e.Node.ModifiedIndex, Modified: e.Node.ModifiedIndex}
		}
	}
}

// continues returns why an event cannot be the next one, or "".
func (t Tree) continues(e *v2store.Event) string {
	before, found := t[e.Node.Key]
	prev := e.PrevNode
	switch {
	case prev == nil && found:
		return fmt.Sprintf("it has no previous node, and the events before it have left %+v", before)
	case prev != nil && !found:
		return fmt.Sprintf("its previous node is %+v, and the events before it have left none", newNode(prev))
	case prev != nil && newNode(prev) != before:
		return fmt.Sprintf("its previous node is %+v, and the events before it have left %+v", newNode(prev), before)
	case prev == nil && e.Action != v2store.Set && e.Action != v2store.Create:
		return "it has no previous node"
	case prev != nil && e.Action == v2store.Create:
		return "it has a previous node"
	}
	return ""
}

// difference describes where a tree differs from the one that is wanted, or returns "".
func (t Tree) difference(want Tree) string {
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if n, found := t[key]; !found {
			return fmt.Sprintf("%s is missing, want %+v", key, want[key])
		} else if n != want[key] {
			return fmt.Sprintf("%s is %+v, want %+v", key, n, want[key])
		}
	}
	for _, key := range slices.Sorted(maps.Keys(t)) {
		if _, found := want[key]; !found {
			return fmt.Sprintf("%s is %+v, want none", key, t[key])
		}
	}
	return ""
}
