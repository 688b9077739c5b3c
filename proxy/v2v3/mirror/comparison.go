package mirror

import (
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"etcd-tlsproxy/proxy/v2v3/layout"
)

// Comparison compares a mirror with what the store has at a revision, while the mirror goes on.
type Comparison struct {
	m *Mirror
	// Revision is the revision at which to read the keys of the store.
	Revision int64
	log      int64 // the revision of the last event
	// nodes is the number of nodes of the mirror at the revision, with those that were left out.
	nodes int
	// records, files and values count what the store has.
	records, files, values int
	difference             string
}

// StartComparison begins to compare. From now on the mirror remembers what changes. There is one comparison
// at a time.
func (m *Mirror) StartComparison() *Comparison {
	m.touched = map[string]struct{}{}
	return &Comparison{m: m, Revision: m.Applied, log: m.LogRevision, nodes: m.Tree.Len() + len(m.broken)}
}

// Stop ends the comparison.
func (a *Comparison) Stop() { a.m.touched = nil }

// Compare compares keys of the store with the mirror as it is now.
func (a *Comparison) Compare(kvs []*mvccpb.KeyValue) {
	for _, kv := range kvs {
		kind, key := a.m.Keys.Parse(kv.Key)
		switch kind {
		case layout.Dir, layout.File:
			a.record(kind == layout.Dir, key, kv.ModRevision)
		case layout.Data:
			a.value(key, kv.ModRevision)
		case layout.Log:
			if kv.ModRevision != a.log {
				a.differs("the last event is another one in the store", string(kv.Key))
			}
		}
	}
}

// unsure reports whether a key cannot be compared, because it has changed since, or because it was
// left out.
func (a *Comparison) unsure(key string) bool {
	_, touched := a.m.touched[key]
	_, broken := a.m.broken[key]
	return touched || broken
}

func (a *Comparison) record(dir bool, key string, revision int64) {
	a.records++
	if _, broken := a.m.broken[key]; !dir && !broken {
		a.files++
	}
	index, isDir, found := a.m.Tree.Recorded(key)
	if (!found || isDir != dir || index != a.m.Meta.Index(revision)) && !a.unsure(key) {
		a.differs("the record of a node is another one in the store", key)
	}
}

func (a *Comparison) value(key string, revision int64) {
	index, dir, found := a.m.Tree.Recorded(key)
	_, foreign := a.m.Foreign[key]
	switch {
	case a.unsure(key):
		a.values++ // it counts as right
	case found && !dir:
		a.values++
		if a.m.Meta.Index(revision) > index && a.m.overwrites[key] != revision {
			a.differs("the value of a file was changed by a client of v3", key)
		}
	case !foreign:
		a.differs("the store has a value that the mirror does not know", key)
	}
}

func (a *Comparison) differs(what, key string) {
	if a.difference == "" {
		a.difference = fmt.Sprintf("%s: %q", what, key)
	}
}

// Difference returns a difference, or "" if all keys of the store were compared and there is none.
func (a *Comparison) Difference() string {
	switch {
	case a.difference != "":
		return a.difference
	case a.records != a.nodes:
		return fmt.Sprintf("the mirror has %d nodes, and the store %d", a.nodes, a.records)
	case a.values < a.files:
		return fmt.Sprintf("the store has %d files, and values of %d", a.files, a.values)
	}
	return ""
}
