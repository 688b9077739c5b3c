package v2store

import (
	"fmt"
	"time"
)

// minExpires is the year 2000. Etcd takes earlier times in create and set for mistakes of a client.
var minExpires = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()

// Plan returns the change that a write makes, or the error that etcd answers. It does not
// change the tree.
func Plan(o *Operation, t *Tree, now time.Time) (*Change, *Error) {
	c := &Change{Action: o.Action, Key: o.Key, Time: now.UnixNano()}
	var err *Error
	switch o.Action {
	case Set:
		err = c.set(o, t)
	case Create:
		err = c.create(o, t)
	case Update, CompareAndSwap:
		err = c.modify(o, t)
	case Delete:
		err = c.delete(o, t)
	case CompareAndDelete:
		err = c.compareAndDelete(o, t)
	default:
		panic(fmt.Sprintf("BUG: %q is not a write", o.Action))
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Change) set(o *Operation, t *Tree) *Error {
	n, err := t.find(o.Key)
	if err != nil && (err.Code != CodeKeyNotFound || o.Refresh) {
		return err
	}
	if err := c.parents(t); err != nil {
		return err
	}
	if n != nil && n.dir() {
		return newError(CodeNotFile, c.Key, t.index)
	}
	c.put(o)
	c.Refresh, c.KeepValue = o.Refresh, o.Refresh && !o.Dir
	c.DropFile = o.Dir && n != nil
	switch {
	case n == nil && o.Dir:
		c.rest(Fact{Kind: Absent, Key: c.Key})
	case n != nil && (o.Dir || o.Refresh):
		c.rest(Fact{Kind: FileExists, Key: c.Key})
	default:
		// Whether there is a file does not matter: writers of one file do not conflict.
		c.rest(Fact{Kind: NoDir, Key: c.Key})
	}
	return nil
}

func (c *Change) create(o *Operation, t *Tree) *Error {
	if o.InOrder {
		c.Key += fmt.Sprintf("/%020d", max(o.After, t.index)+1)
		c.rest(Fact{Kind: LastIndex, Index: t.index})
	}
	if err := c.parents(t); err != nil {
		return err
	}
	if _, err := t.find(c.Key); err == nil {
		return newError(CodeNodeExist, c.Key, t.index)
	}
	c.put(o)
	c.rest(Fact{Kind: Absent, Key: c.Key})
	return nil
}

// put plans a new node.
func (c *Change) put(o *Operation) {
	c.Put = &Record{Key: c.Key, Dir: o.Dir, Expires: o.Expires}
	if o.Expires < minExpires {
		c.Put.Expires = 0
	}
	if !o.Dir {
		c.Put.Value = o.Value
	}
}

// parents walks to the directory of the key and plans what is missing there.
func (c *Change) parents(t *Tree) *Error {
	if c.Key == "" {
		return newError(CodeRootReadOnly, "/", t.index)
	}
	dir := t.root
	for end := nextEnd(c.Key, 1); end < len(c.Key); end = nextEnd(c.Key, end+1) {
		key := c.Key[:end]
		if len(c.Dirs) > 0 {
			c.Dirs = append(c.Dirs, key)
			continue
		}
		child := dir.child(key[len(dir.key)+1:])
		switch {
		case child == nil:
			c.Dirs = append(c.Dirs, key)
			c.rest(Fact{Kind: Absent, Key: key})
		case !child.dir():
			return newError(CodeNotDir, key, t.index)
		default:
			dir = child
		}
	}
	if dir != t.root {
		c.rest(Fact{Kind: DirExists, Key: dir.key})
	}
	return nil
}

// modify plans an update or a compareAndSwap.
func (c *Change) modify(o *Operation, t *Tree) *Error {
	n, err := t.writable(o.Key)
	if err != nil {
		return err
	}
	if n.dir() && (o.Action == CompareAndSwap || o.Value != "") {
		return newError(CodeNotFile, o.Key, t.index)
	}
	if o.Action == CompareAndSwap {
		if err := t.compare(n, o); err != nil {
			return err
		}
	}
	c.Refresh = o.Refresh
	c.Put = &Record{Key: o.Key, Dir: n.dir(), Created: n.created, Expires: o.Expires}
	switch {
	case n.dir():
		c.Put.Modified = n.modified
	case o.Refresh:
		c.KeepValue = true
	default:
		c.Put.Value = o.Value
	}
	c.rest(Fact{Kind: Recorded, Key: n.key, Dir: n.dir(), Index: n.recorded})
	return nil
}

// writable finds a node that may be changed.
func (t *Tree) writable(key string) (*node, *Error) {
	if key == "" {
		return nil, newError(CodeRootReadOnly, "/", t.index)
	}
	return t.find(key)
}
