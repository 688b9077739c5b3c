package v2store

// Event is a change as watches receive it, and the answer to an operation. It must not be
// changed once it is published.
type Event struct {
	Action   Action `json:"action"`
	Node     *Node  `json:"node,omitempty"`
	PrevNode *Node  `json:"prevNode,omitempty"`
	// Index is the index of the change, or of the tree that was read.
	Index uint64 `json:"-"`
	// Refresh means that no watch receives the event.
	Refresh bool `json:"-"`
	// Removed are the keys of all nodes that the change removed.
	Removed []string `json:"-"`
}

// Created reports whether the answer has status 201.
func (e *Event) Created() bool {
	return e.Action == Create || e.Action == Set && e.PrevNode == nil
}

// removesDir reports whether the event is the removal of a directory.
func (e *Event) removesDir() bool {
	return (e.Action == Delete || e.Action == Expire) && e.PrevNode.Dir
}
