package v2store

// Change is a write that is ready to be applied. A caller that stores the tree elsewhere
// stores the change if all of its facts hold there. It may then apply the same change or one
// that it rebuilt from what was stored.
type Change struct {
	// Action, Key and Time say which event it is. Time is in nanoseconds since 1970, and is
	// the moment for which the event shows the remaining time of nodes.
	Action Action
	Key    string
	Time   int64
	// Refresh means that no watch receives the event.
	Refresh bool

	// Dirs are the missing parents of Key, from the top. They are created first.
	Dirs []string
	// Put is the new state of the node, or nil if the change removes it.
	Put *Record
	// KeepValue means that the file keeps its value, which Put does not have.
	KeepValue bool
	// DropFile means that a directory replaces the file at Key.
	DropFile bool
	// Below means that a removal includes everything below Key.
	Below bool

	// Facts are what the change rests on. [Tree.Apply] does not need them.
	Facts []Fact
}

// FactKind is a kind of [Fact].
type FactKind int

const (
	// DirExists: a directory is at Key. It vouches for all directories above it.
	DirExists FactKind = iota + 1
	// FileExists: a file is at Key.
	FileExists
	// NoDir: no directory is at Key.
	NoDir
	// Absent: nothing is at Key, and so nothing is below it.
	Absent
	// Empty: nothing is below Key, hidden nodes included.
	Empty
	// Recorded: the last change of the node was at Index. Dir is its kind.
	Recorded
	// LastIndex: the last change of the tree was at Index.
	LastIndex
)

// String returns the name of the kind.
func (k FactKind) String() string {
	return [...]string{"", "DirExists", "FileExists", "NoDir", "Absent", "Empty", "Recorded", "LastIndex"}[k]
}

// Fact is a statement about the tree. A plan is valid as long as all of its facts hold.
type Fact struct {
	Kind  FactKind
	Key   string
	Dir   bool
	Index uint64
}

// Recorded returns the index of the last change of a node, and which kind of node it is.
func (t *Tree) Recorded(key string) (index uint64, dir, found bool) {
	n, err := t.find(key)
	if err != nil || n == t.root {
		return 0, false, false
	}
	return n.recorded, n.dir(), true
}

// Record returns the state of a node. The root has none.
func (t *Tree) Record(key string) (r Record, found bool) {
	n, err := t.find(key)
	if err != nil || n == t.root {
		return Record{}, false
	}
	return n.record(), true
}

func (c *Change) rest(facts ...Fact) { c.Facts = append(c.Facts, facts...) }

// Holds reports whether a fact is true of a tree.
func (t *Tree) Holds(f Fact) bool {
	if f.Kind == LastIndex {
		return t.index == f.Index
	}
	n, err := t.find(f.Key)
	found := err == nil
	switch f.Kind {
	case DirExists:
		return found && n.dir()
	case FileExists:
		return found && !n.dir()
	case NoDir:
		return !found || !n.dir()
	case Absent:
		return !found
	case Empty:
		return !found || !n.dir() || n.empty()
	case Recorded:
		return found && n.dir() == f.Dir && n.recorded == f.Index
	}
	panic("BUG: a fact has no kind")
}

// Growth returns about how many bytes more the tree needs after the change; see [Tree.Bytes].
func (c *Change) Growth(t *Tree) (bytes int) {
	if c.Put == nil {
		return 0
	}
	for _, dir := range c.Dirs {
		bytes += len(dir) + nodeBytes
	}
	switch n, err := t.find(c.Key); {
	case err != nil:
		return bytes + len(c.Key) + len(c.Put.Value) + nodeBytes
	case c.KeepValue:
		return bytes
	default:
		return bytes + len(c.Put.Value) - len(n.value)
	}
}
