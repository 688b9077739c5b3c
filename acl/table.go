package acl

import (
	"maps"
	"slices"
)

// All lists the rules as a table reads: each before those below it. Where no rule is
// given for the root, the one that then governs is listed too: all read, nobody writes.
func (t *Rules) All() []*Rule {
	return t.root.list(nil, nil)
}

func (n *node) list(above *Rule, table []*Rule) []*Rule {
	if n.governing != above {
		table = append(table, n.governing)
	}
	for _, segment := range slices.Sorted(maps.Keys(n.children)) {
		table = n.children[segment].list(n.governing, table)
	}
	return table
}

// Equal reports whether both rules say the same of the same keys.
func (r *Rule) Equal(other *Rule) bool {
	return r.Prefix == other.Prefix && r.Read.equal(other.Read) && r.Write.equal(other.Write)
}

func (g Group) equal(h Group) bool {
	return g.everyone == h.everyone && maps.Equal(g.names, h.names)
}
