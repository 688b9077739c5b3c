package acl

import (
	"slices"
)

// Group is the set of users a rule lets in: everyone, known or not, or the
// named. The zero Group is nobody. A Group is immutable.
type Group struct {
	everyone bool
	names    map[string]struct{}
}

// Everyone is the group that needs no identity.
func Everyone() Group { return Group{everyone: true} }

// Only is the group of the named users; without names it is nobody.
func Only(names ...string) Group {
	g := Group{names: make(map[string]struct{}, len(names))}
	for _, name := range names {
		g.names[name] = struct{}{}
	}
	return g
}

// IsEveryone reports whether the group needs no identity.
func (g Group) IsEveryone() bool { return g.everyone }

// Has reports whether the named user is in the group. The empty name is an
// unknown client: only Everyone has it.
func (g Group) Has(name string) bool {
	if g.everyone {
		return true
	}
	if name == "" {
		return false
	}
	_, ok := g.names[name]
	return ok
}

// Names lists the users in order; nil for Everyone.
func (g Group) Names() []string {
	if g.everyone {
		return nil
	}
	names := make([]string, 0, len(g.names))
	for name := range g.names {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// within reports whether all who are in g are in h.
func (g Group) within(h Group) bool {
	if g.everyone || h.everyone {
		return h.everyone
	}
	for name := range g.names {
		if _, ok := h.names[name]; !ok {
			return false
		}
	}
	return true
}

// and is the group of those who are in both.
func (g Group) and(h Group) Group {
	if g.everyone {
		return h
	}
	if h.everyone {
		return g
	}
	if len(h.names) < len(g.names) {
		g, h = h, g
	}
	both := make(map[string]struct{}, len(g.names))
	for name := range g.names {
		if _, ok := h.names[name]; ok {
			both[name] = struct{}{}
		}
	}
	if len(both) == len(g.names) {
		return g // shared, not copied: tables of thousands of rules repeat one group
	}
	return Group{names: both}
}
