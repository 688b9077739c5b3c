package acl

import (
	"fmt"
	"strings"
)

// Access is what an operation does to a key: it reads or writes.
type Access int

// Reads are GET, HEAD and watches; Writes are everything that changes a key.
const (
	Read Access = iota
	Write
)

func (a Access) String() string { return [...]string{"read", "write"}[a] }

// Rule is one line of the table.
type Rule struct {
	// Prefix is the key the rule begins at; it covers that key and what is below.
	Prefix Key
	// Read and Write are who may.
	Read, Write Group

	implied bool
}

// Implied reports whether the rule stands in for the rule for "/" that a table lacks.
func (r *Rule) Implied() bool { return r.implied }

// Group is who may.
func (r *Rule) Group(a Access) Group {
	if a == Write {
		return r.Write
	}
	return r.Read
}

// Match is how prefixes are compared with keys.
type Match int

const (
	// MatchSegments compares whole path segments.
	MatchSegments Match = iota
	// MatchBoth allows only what both MatchSegments and the byte-wise prefixes
	// of an nginx site allow: nothing that the site refused opens, and nothing
	// that only its reading allowed stays open.
	MatchBoth
)

// Rules is a compiled table.
type Rules struct {
	match   Match
	list    []*Rule // in the order of keys, the implied rule included
	root    *node
	byText  map[string]*Rule // MatchBoth only: rules by their prefix
	longest int              // length of the longest prefix in byText
}

// node is a key on the way to a rule's prefix.
type node struct {
	children map[string]*node
	// governing is the rule of the deepest prefix at or above this key.
	governing *Rule
	// reach is, for each Access, who may do it here and at every rule below:
	// worked out once, so that a decision does not walk the table.
	reach [2]Group
}

// NewRules compiles a table. It fails if two rules have the same prefix.
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
			t.longest = max(t.longest, len(rule.Prefix))
		}
	}
	if t.root.governing == nil {
		t.root.governing = &Rule{Prefix: Root, Read: Everyone(), implied: true}
	}
	t.root.compile(t.root.governing)
	t.list = t.root.list(nil, make([]*Rule, 0, len(rules)+1))
	return t, nil
}

// compile hands the governing rule down and brings the reach up.
func (n *node) compile(above *Rule) {
	if n.governing == nil {
		n.governing = above
	}
	n.reach = [2]Group{Read: n.governing.Read, Write: n.governing.Write}
	for _, child := range n.children {
		child.compile(n.governing)
		for a := range n.reach {
			n.reach[a] = n.reach[a].and(child.reach[a])
		}
	}
}

// find walks to the deepest node on the way to key, and reports whether that
// node is key itself: only then can there be rules below it.
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

// Allowed is who may do a to key: everyone, or the users that the governing
// rule and all rules below the key let in. It does not allocate unless the table
// was compiled with [MatchBoth].
func (t *Rules) Allowed(a Access, key Key) Group {
	n, exact := t.find(key)
	g := n.governing.Group(a)
	if exact {
		g = n.reach[a]
	}
	if t.match == MatchBoth {
		g = g.and(t.byPrefix(key).Group(a))
	}
	return g
}

// byPrefix is the rule whose prefix is the longest that key begins with, byte
// by byte.
func (t *Rules) byPrefix(key Key) *Rule {
	for i := min(len(key), t.longest); i > 0; i-- {
		if rule, ok := t.byText[string(key[:i])]; ok {
			return rule
		}
	}
	return t.root.governing
}

// Governing is the rule of the deepest prefix that covers key.
func (t *Rules) Governing(key Key) *Rule {
	n, _ := t.find(key)
	return n.governing
}

// Refusing is the rule that refuses user the access to key: the governing one
// if it does, else one of a prefix below the key, the first in the order of
// keys; with [MatchBoth] it can be the one nginx would have taken. It is nil if
// the access is allowed.
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

// Match is how the table compares prefixes.
func (t *Rules) Match() Match { return t.match }

// Narrowing lists the rules that take from the governing one's group: rules of
// prefixes below the key and, with [MatchBoth], the one nginx would have taken.
func (t *Rules) Narrowing(a Access, key Key) []Rule {
	governing := t.Governing(key)
	var narrowing []Rule
	add := func(rule *Rule) {
		if rule != governing && !governing.Group(a).within(rule.Group(a)) {
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

func segments(key Key) func(yield func(string) bool) {
	if key == Root {
		return func(func(string) bool) {}
	}
	return strings.SplitSeq(string(key[1:]), "/")
}
