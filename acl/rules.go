package acl

import (
	"fmt"
	"maps"
	"strings"
)

// Access is what an operation does to a key: read it or write it.
type Access int

// Read covers GET, HEAD and watches. Write covers every operation that changes a
// key.
const (
	Read Access = iota
	Write
)

// String returns "read" or "write".
func (a Access) String() string { return [...]string{"read", "write"}[a] }

// Rule is one line of the table.
type Rule struct {
	// Prefix is the key at which the rule begins. The rule covers that key and all
	// keys below it.
	Prefix Key
	// Read and Write are the groups that may read and write.
	Read, Write Group

	implied bool
}

// Implied reports whether the rule is not from the table but the default for "/",
// which a table without a rule for "/" gets.
func (r *Rule) Implied() bool { return r.implied }

// Name returns the prefix of the rule, or "" for the implied rule, which nobody has written.
func (r *Rule) Name() Key {
	if r.implied {
		return ""
	}
	return r.Prefix
}

// Group returns the group that the rule admits for the access.
func (r *Rule) Group(a Access) Group {
	if a == Write {
		return r.Write
	}
	return r.Read
}

// Match is the way prefixes are compared with keys.
type Match int

const (
	// MatchSegments compares whole path segments.
	MatchSegments Match = iota
	// MatchBoth allows an operation only if both MatchSegments and the byte-wise prefixes
	// of an nginx site allow it. After a migration it allows nothing that the nginx site
	// refused, and nothing that only the byte-wise prefixes allowed.
	MatchBoth
)

// Rules is a compiled table.
type Rules struct {
	match Match
	list  []*Rule // in the order of keys, the implied rule included
	root  *node
	// byText and maxPrefixLen are for MatchBoth only: the rules by their prefix,
	// and the length of the longest prefix.
	byText       map[string]*Rule
	maxPrefixLen int
	users        map[string]struct{} // in any group
}

// node is a rule's prefix or one of its ancestors.
type node struct {
	children map[string]*node
	// governing is the rule of the deepest prefix at or above this key.
	governing *Rule
	// reach is, for each Access, the group that this rule and every rule below
	// admit. It is computed once, so that a decision does not walk the table.
	reach [2]Group
}

// NewRules compiles a table. It returns an error if two rules have the same prefix.
func NewRules(match Match, rules ...Rule) (*Rules, error) {
	t := &Rules{match: match, root: &node{}}
	if match == MatchBoth {
		t.byText = make(map[string]*Rule, len(rules))
	}
	for i := range rules {
		rule := &rules[i]
		n := t.root
		for segment := range segments(rule.Prefix) {
			child := n.children[segment]
			if child == nil {
				if n.children == nil {
					n.children = make(map[string]*node)
				}
				child = &node{}
				n.children[segment] = child
			}
			n = child
		}
		if n.governing != nil {
			return nil, fmt.Errorf("compiling rules: two rules for %v", rule.Prefix)
		}
		n.governing = rule
		if match == MatchBoth {
			t.byText[string(rule.Prefix)] = rule
			t.maxPrefixLen = max(t.maxPrefixLen, len(rule.Prefix))
		}
	}
	if t.root.governing == nil {
		t.root.governing = &Rule{Prefix: Root, Read: Everyone(), implied: true}
	}
	t.root.compile(t.root.governing)
	t.list = t.root.list(nil, make([]*Rule, 0, len(rules)+1))
	t.users = make(map[string]struct{})
	for _, rule := range t.list {
		maps.Copy(t.users, rule.Read.names)
		maps.Copy(t.users, rule.Write.names)
	}
	return t, nil
}

// compile passes the governing rule down to nodes without a rule, and collects the
// reach from the nodes below.
func (n *node) compile(above *Rule) {
	if n.governing == nil {
		n.governing = above
	}
	n.reach = [2]Group{Read: n.governing.Read, Write: n.governing.Write}
	for _, child := range n.children {
		child.compile(n.governing)
		for a := range n.reach {
			n.reach[a] = n.reach[a].Intersect(child.reach[a])
		}
	}
}

// find returns the deepest node at or above key, and reports whether that node is
// key itself. Only then can there be rules below the key.
func (t *Rules) find(key Key) (n *node, exact bool) {
	n = t.root
	rest := string(key[1:])
	for rest != "" {
		segment, after, _ := strings.Cut(rest, "/")
		child := n.children[segment]
		if child == nil {
			return n, false
		}
		n, rest = child, after
	}
	return n, true
}

// Allowed returns the group that may access key: everyone, or the users that the
// governing rule and all rules below the key admit. It does not allocate unless
// the table was compiled with [MatchBoth].
func (t *Rules) Allowed(a Access, key Key) Group {
	n, exact := t.find(key)
	g := n.governing.Group(a)
	if exact {
		g = n.reach[a]
	}
	if t.match == MatchBoth {
		g = g.Intersect(t.byPrefix(key).Group(a))
	}
	return g
}

// byPrefix returns the rule with the longest prefix that key begins with, compared
// byte by byte.
func (t *Rules) byPrefix(key Key) *Rule {
	for i := min(len(key), t.maxPrefixLen); i > 0; i-- {
		if rule, ok := t.byText[string(key[:i])]; ok {
			return rule
		}
	}
	return t.root.governing
}

// Governing returns the rule with the deepest prefix that covers key.
func (t *Rules) Governing(key Key) *Rule {
	n, _ := t.find(key)
	return n.governing
}

// Refusing returns the rule that refuses user the access to key, or nil if the
// access is allowed. It is the governing rule if that refuses, otherwise the first
// refusing rule below the key in the order of keys. With [MatchBoth] it can also
// be the rule that an nginx site would have applied.
func (t *Rules) Refusing(a Access, key Key, user string) *Rule {
	n, exact := t.find(key)
	if !n.governing.Group(a).Has(user) {
		return n.governing
	}
	if exact && !n.reach[a].Has(user) {
		return n.refusingBelow(a, user)
	}
	if t.match == MatchBoth {
		if rule := t.byPrefix(key); !rule.Group(a).Has(user) {
			return rule
		}
	}
	return nil
}

// Match returns the way the table compares prefixes.
func (t *Rules) Match() Match { return t.match }

// Narrowing returns the rules that admit fewer users than the governing rule does:
// rules below the key and, with [MatchBoth], the rule that an nginx site would have
// applied.
func (t *Rules) Narrowing(a Access, key Key) []Rule {
	governing := t.Governing(key)
	var narrowing []Rule
	add := func(rule *Rule) {
		if !governing.Group(a).isSubset(rule.Group(a)) {
			narrowing = append(narrowing, *rule)
		}
	}
	if t.match == MatchBoth {
		add(t.byPrefix(key))
	}
	for _, rule := range t.list {
		if key.Covers(rule.Prefix) {
			add(rule)
		}
	}
	return narrowing
}

// refusingBelow returns the first rule at or below n that refuses user. The caller
// knows that there is one, from n's reach.
func (n *node) refusingBelow(a Access, user string) *Rule {
	if !n.governing.Group(a).Has(user) {
		return n.governing
	}
	first := ""
	for segment, child := range n.children {
		if !child.reach[a].Has(user) && (first == "" || segment < first) {
			first = segment
		}
	}
	return n.children[first].refusingBelow(a, user)
}
