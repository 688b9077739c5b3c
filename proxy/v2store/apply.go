package v2store

import (
	"fmt"
	"strings"
	"time"
)

// Apply makes a change and returns its event. The index must be larger than that of the tree.
// If the change does not fit the tree, the tree stays as it is: whoever follows a store has
// missed something then, and needs to load the tree again.
func (t *Tree) Apply(c *Change, index uint64) (*Event, error) {
	if index <= t.index {
		return nil, fmt.Errorf("applying %s of %q at index %d: the tree has index %d, want a larger index than that", c.Action, c.Key, index, t.index)
	}
	return t.applyAt(c, index)
}

// ApplyBeside is [Tree.Apply] for one more change that has the index of the tree.
func (t *Tree) ApplyBeside(c *Change, index uint64) (*Event, error) {
	if index != t.index {
		return nil, fmt.Errorf("applying %s of %q at index %d: the tree has index %d, want the same", c.Action, c.Key, index, t.index)
	}
	return t.applyAt(c, index)
}

func (t *Tree) applyAt(c *Change, index uint64) (*Event, error) {
	e, err := t.apply(c, index)
	if err != nil {
		return nil, fmt.Errorf("applying %s of %q at index %d: %w", c.Action, c.Key, index, err)
	}
	t.index = index
	return e, nil
}

func (t *Tree) apply(c *Change, index uint64) (*Event, error) {
	e := &Event{Action: c.Action, Index: index, Refresh: c.Refresh}
	now := time.Unix(0, c.Time)
	switch c.Action {
	case Set, Create:
		return e, t.applyNew(c, e, now)
	case Update, CompareAndSwap:
		return e, t.applyModify(c, e, now)
	case Delete, CompareAndDelete, Expire:
		return e, t.applyRemove(c, e, now)
	}
	return nil, fmt.Errorf("it is not an action that changes the tree")
}

func (t *Tree) applyNew(c *Change, e *Event, now time.Time) error {
	if c.Put == nil {
		return fmt.Errorf("it has no record")
	}
	if c.Put.Key != c.Key {
		return fmt.Errorf("the record has another key: %q", c.Put.Key)
	}
	parent, old, err := t.site(c)
	if err != nil {
		return err
	}
	r := *c.Put
	r.Recorded = e.Index
	if old != nil {
		e.PrevNode = old.view(now)
		if c.KeepValue {
			r.Value = old.value
		}
		t.remove(old, nil)
	}
	for _, key := range c.Dirs {
		parent = t.add(parent, &Record{Key: key, Dir: true, Recorded: e.Index})
	}
	e.Node = t.add(parent, &r).view(now)
	return nil
}

// site returns the directory in which a change creates its first node, and the file that it
// replaces.
func (t *Tree) site(c *Change) (parent, old *node, err error) {
	if len(c.Dirs) > 0 {
		for i, key := range c.Dirs {
			next := c.Key
			if i+1 < len(c.Dirs) {
				next = c.Dirs[i+1]
			}
			if !strings.HasPrefix(next, "/") || above(next) != key {
				return nil, nil, fmt.Errorf("the directory %q is not the parent of %q", key, next)
			}
		}
		parent, err = t.vacancy(c.Dirs[0])
		return parent, nil, err
	}
	if n, findErr := t.writable(c.Key); findErr == nil && c.Action == Set {
		if n.dir() {
			return nil, nil, fmt.Errorf("found a directory, want a file")
		}
		return n.parent, n, nil
	}
	if c.KeepValue {
		return nil, nil, fmt.Errorf("the file whose value is kept is missing")
	}
	parent, err = t.vacancy(c.Key)
	return parent, nil, err
}

func (t *Tree) applyModify(c *Change, e *Event, now time.Time) error {
	n, findErr := t.writable(c.Key)
	if findErr != nil {
		return findErr
	}
	if c.Put == nil || n.dir() != c.Put.Dir {
		return fmt.Errorf("the record is not of the same kind as the node")
	}
	e.PrevNode = n.view(now)
	if !n.dir() && !c.KeepValue {
		t.bytes += len(c.Put.Value) - len(n.value)
		n.value = c.Put.Value
	}
	n.created = orIndex(c.Put.Created, e.Index)
	n.modified = orIndex(c.Put.Modified, e.Index)
	n.recorded = e.Index
	t.setExpiry(n, c.Put.Expires)
	n.changed()
	n.resize()
	e.Node = n.view(now)
	// The event of a directory shows an index that the directory itself does not get.
	e.Node.ModifiedIndex = e.Index
	return nil
}

func (t *Tree) applyRemove(c *Change, e *Event, now time.Time) error {
	n, findErr := t.writable(c.Key)
	if findErr != nil {
		return findErr
	}
	if n.dir() && !n.empty() && !c.Below {
		return fmt.Errorf("the directory is not empty")
	}
	e.PrevNode = n.view(now)
	e.Node = &Node{Key: n.key, Dir: n.dir(), ModifiedIndex: e.Index, CreatedIndex: n.created}
	e.Removed = t.remove(n, nil)
	return nil
}

// Preview returns the event that [Tree.Apply] would return for a change that fits the tree, without
// changing the tree. It does not say what a removal removes below the node.
func (t *Tree) Preview(c *Change, index uint64) *Event {
	now := time.Unix(0, c.Time)
	e := &Event{Action: c.Action, Index: index, Refresh: c.Refresh}
	old, _ := t.find(c.Key) // nil if there is none
	if old != nil {
		e.PrevNode = old.view(now)
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
