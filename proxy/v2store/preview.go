package v2store

import "time"

// Preview returns the event that [Tree.Apply] would return for a change that fits the tree, without
// changing the tree. It does not say what a removal removes below the node.
func (t *Tree) Preview(c *Change, index uint64) *Event {
	now := time.Unix(0, c.Time)
	e := &Event{Action: c.Action, Index: index, Refresh: c.Refresh}
	old, err := t.find(c.Key)
	if err == nil {
		e.PrevNode = old.view(now)
	} else {
		old = nil
	}
	if c.Put == nil {
		e.Node = &Node{Key: c.Key, ModifiedIndex: index}
		if old != nil {
			e.Node.Dir, e.Node.CreatedIndex = old.dir(), old.created
		}
		return e
	}
	e.Node = &Node{Key: c.Key, Dir: c.Put.Dir, ModifiedIndex: index, CreatedIndex: orIndex(c.Put.Created, index)}
	if !c.Put.Dir {
		value := c.Put.Value
		if c.KeepValue && old != nil {
			value = old.value
		}
		e.Node.Value = &value
	}
	e.Node.expire(c.Put.Expires, now)
	return e
}
