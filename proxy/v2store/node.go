package v2store

import (
	"strings"
	"time"
)

// node is a file or a directory.
type node struct {
	key      string
	value    string
	parent   *node
	contents *contents // nil for a file
	created  uint64
	modified uint64
	recorded uint64 // the index of the last change; differs from modified for directories
	expires  int64  // 0 for a permanent node
	place    int    // in the heap of the tree, if it expires
	size     int    // the most bytes that an answer needs for the node itself
}

func (n *node) dir() bool { return n.contents != nil }

// name returns the last segment of the key.
func (n *node) name() string { return n.key[strings.LastIndexByte(n.key, '/')+1:] }

func (n *node) hidden() bool { return n.name()[0] == '_' }

// Node is a node as clients see it.
type Node struct {
	Key           string     `json:"key,omitempty"`
	Value         *string    `json:"value,omitempty"`
	Dir           bool       `json:"dir,omitempty"`
	Expiration    *time.Time `json:"expiration,omitempty"`
	TTL           int64      `json:"ttl,omitempty"`
	Nodes         []*Node    `json:"nodes,omitempty"`
	ModifiedIndex uint64     `json:"modifiedIndex,omitempty"`
	CreatedIndex  uint64     `json:"createdIndex,omitempty"`
}

// view returns the node without what is below it, as of a time.
func (n *node) view(now time.Time) *Node {
	v := &Node{Key: n.key, Dir: n.dir(), ModifiedIndex: n.modified, CreatedIndex: n.created}
	if !n.dir() {
		value := n.value
		v.Value = &value
	}
	v.expire(n.expires, now)
	return v
}

// expire sets the fields about the expiry of the node.
func (v *Node) expire(expires int64, now time.Time) {
	if expires == 0 {
		return
	}
	at := time.Unix(0, expires).UTC()
	left := at.Sub(now)
	v.Expiration, v.TTL = &at, int64(left/time.Second)
	if left%time.Second > 0 {
		v.TTL++
	}
}

// list adds the nodes below n to its view, sorted and without hidden ones.
func (n *node) list(v *Node, recursive bool, now time.Time) {
	if !n.dir() {
		return
	}
	for _, child := range n.contents.nodes {
		if child.hidden() {
			continue
		}
		below := child.view(now)
		if recursive {
			child.list(below, true, now)
		}
		v.Nodes = append(v.Nodes, below)
	}
}
