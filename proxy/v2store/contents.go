package v2store

import (
	"slices"
	"strings"
	"sync/atomic"
)

// contents are the nodes in a directory, and the bodies of answers about it.
type contents struct {
	nodes []*node // sorted by name
	// bodies are those of a read, and of a recursive read. They are nil if there is none, or if
	// something has changed since.
	bodies [2]atomic.Pointer[[]byte]
	sizes  [2]atomic.Int64 // of the last bodies
	// changes counts what has changed the bodies.
	changes uint64
	// shown is the most bytes that a read needs for the nodes, and below the same of a recursive
	// read. Hidden nodes need none.
	shown, below int
	// count is the number of nodes below, with hidden ones.
	count int
}

// search returns where a name is, or would be.
func (d *node) search(name string) (int, bool) {
	// Siblings have the same beginning.
	skip := len(d.key) + 1
	return slices.BinarySearchFunc(d.contents.nodes, name, func(n *node, name string) int { return strings.Compare(n.key[skip:], name) })
}

// child returns a node in a directory, or nil.
func (d *node) child(name string) *node {
	i, found := d.search(name)
	if !found {
		return nil
	}
	return d.contents.nodes[i]
}

// attach adds a node to its directory, which has none of that name.
func (d *node) attach(n *node) {
	i, _ := d.search(n.name())
	d.contents.nodes = slices.Insert(d.contents.nodes, i, n)
}

// detach removes a node from its directory.
func (d *node) detach(n *node) {
	if i, found := d.search(n.name()); found {
		d.contents.nodes = slices.Delete(d.contents.nodes, i, i+1)
	}
}

// empty reports whether a directory has no nodes.
func (d *node) empty() bool { return len(d.contents.nodes) == 0 }
