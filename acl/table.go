package acl

import (
	"maps"
	"slices"
)

// All returns the rules in the order of keys: each before those below it. A table
// without a rule for "/" begins with the implied one, which lets everyone read and
// no one write; see [Rule.Implied].
func (t *Rules) All() []*Rule {
	return slices.Clone(t.list)
}

// list appends the rules at and below n to table. The rule above is already in it.
func (n *node) list(above *Rule, table []*Rule) []*Rule {
	if n.governing != above {
		table = append(table, n.governing)
	}
	for _, segment := range slices.Sorted(maps.Keys(n.children)) {
		table = n.children[segment].list(n.governing, table)
	}
	return table
}

// Equal reports whether both rules have the same prefix and the same groups.
func (r *Rule) Equal(other *Rule) bool {
	return r.Prefix == other.Prefix && r.Read.equal(other.Read) && r.Write.equal(other.Write)
}

func (g Group) equal(h Group) bool {
	return g.everyone == h.everyone && maps.Equal(g.names, h.names)
}

// HasUser reports whether a rule names the user.
func (t *Rules) HasUser(name string) bool {
	_, ok := t.users[name]
	return ok
}
