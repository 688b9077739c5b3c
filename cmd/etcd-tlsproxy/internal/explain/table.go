package explain

import (
	"fmt"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/gate"
)

// Table holds everything in a snapshot that decisions depend on: prefixes and names, but
// no secrets. A running proxy publishes it.
type Table struct {
	ReadOnly bool `json:"read_only"`
	// Bytewise is set for match = "both".
	Bytewise bool             `json:"bytewise"`
	Target   int              `json:"target_bytes"`
	Rules    []TableRule      `json:"rules"`
	Surfaces map[string]Group `json:"surfaces"`
}

// TableRule is one rule.
type TableRule struct {
	Prefix string `json:"prefix"`
	Read   Group  `json:"read"`
	Write  Group  `json:"write"`
}

// TableOf returns the table of a snapshot.
func TableOf(s *gate.Policy) *Table {
	t := &Table{ReadOnly: s.ReadOnly, Bytewise: s.Rules.Match() == acl.MatchBoth, Target: s.MaxTarget, Rules: []TableRule{}, Surfaces: map[string]Group{}}
	for _, rule := range s.Rules.All() {
		if rule.Implied() {
			continue
		}
		t.Rules = append(t.Rules, TableRule{Prefix: string(rule.Prefix), Read: groupOf(rule.Read), Write: groupOf(rule.Write)})
	}
	for surface, group := range s.Surfaces {
		t.Surfaces[surface.String()] = groupOf(group)
	}
	return t
}

// Snapshot returns a snapshot that decides like the table.
func (t *Table) Snapshot() (*gate.Policy, error) {
	match := acl.MatchSegments
	if t.Bytewise {
		match = acl.MatchBoth
	}
	var rules []acl.Rule
	for _, rule := range t.Rules {
		prefix, err := acl.NewKey(rule.Prefix)
		if err != nil {
			return nil, fmt.Errorf("reading a table: prefix %q: %w", rule.Prefix, err)
		}
		rules = append(rules, acl.Rule{Prefix: prefix, Read: rule.Read.acl(), Write: rule.Write.acl()})
	}
	compiled, err := acl.NewRules(match, rules...)
	if err != nil {
		return nil, fmt.Errorf("reading a table: %w", err)
	}
	s := &gate.Policy{Rules: compiled, ReadOnly: t.ReadOnly, MaxTarget: t.Target, Surfaces: map[gate.Surface]acl.Group{}}
	for name, group := range t.Surfaces {
		surface, ok := gate.ParseSurface(name)
		if !ok {
			return nil, fmt.Errorf("reading a table: there is no surface %q (hint: the running proxy may have another version)", name)
		}
		s.Surfaces[surface] = group.acl()
	}
	return s, nil
}

func (g Group) acl() acl.Group {
	if g.Everyone {
		return acl.Everyone()
	}
	return acl.Only(g.Users...)
}
