package v2store

import "fmt"

func (c *Change) delete(o *Operation, t *Tree) *Error {
	n, err := t.writable(o.Key)
	switch {
	case err != nil:
		return err
	case !n.dir():
		c.rest(Fact{Kind: FileExists, Key: n.key})
	case !o.Dir && !o.Recursive:
		return newError(CodeNotFile, n.key, t.index)
	case !n.empty() && !o.Recursive:
		return newError(CodeDirNotEmpty, n.key, t.index)
	default:
		c.Below = o.Recursive
		c.rest(Fact{Kind: DirExists, Key: n.key})
		if !o.Recursive {
			c.rest(Fact{Kind: Empty, Key: n.key})
		}
	}
	return nil
}

func (c *Change) compareAndDelete(o *Operation, t *Tree) *Error {
	// The root is not refused here: etcd finds that it is a directory.
	n, err := t.find(o.Key)
	if err != nil {
		return err
	}
	if n.dir() {
		return newError(CodeNotFile, n.key, t.index)
	}
	if err := t.compare(n, o); err != nil {
		return err
	}
	c.rest(Fact{Kind: Recorded, Key: n.key, Index: n.recorded})
	return nil
}

// compare checks the conditions of an operation. The cause names the value before the index.
func (t *Tree) compare(n *node, o *Operation) *Error {
	cause := ""
	if o.PrevValue != "" && o.PrevValue != n.value {
		cause = fmt.Sprintf("[%s != %s]", o.PrevValue, n.value)
	}
	if o.PrevIndex != 0 && o.PrevIndex != n.modified {
		if cause != "" {
			cause += " "
		}
		cause += fmt.Sprintf("[%d != %d]", o.PrevIndex, n.modified)
	}
	if cause == "" {
		return nil
	}
	return newError(CodeTestFailed, cause, t.index)
}
