package acl

import (
	"slices"
	"strings"
)

// Group is the set of users that a rule admits: everyone, with or without an
// identity, or named users only. The zero Group is empty. A Group is immutable.
type Group struct {
	everyone bool
	names    map[string]struct{}
}

// Everyone returns the group that needs no identity.
func Everyone() Group { return Group{everyone: true} }

// Only returns the group of the named users. Without names the group is empty.
func Only(names ...string) Group {
	g := Group{names: make(map[string]struct{}, len(names))}
	for _, name := range names {
		g.names[name] = struct{}{}
	}
	return g
}

// ShownName returns the name of a user as texts for people show it. It is quoted if it could be
// read as something else: no one, everyone, or several users.
func ShownName(name string) string {
	switch name {
	case "everyone", "nobody", "no one", "anonymous":
		return quoted(name)
	}
	if strings.ContainsAny(name, ` ,;()"`) {
		return quoted(name)
	}
	return name
}

func quoted(name string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
}

// ShownNames applies [ShownName] to all names.
func ShownNames(names []string) []string {
	shown := make([]string, 0, len(names))
	for _, name := range names {
		shown = append(shown, ShownName(name))
	}
	return shown
}

// IsEveryone reports whether the group needs no identity.
func (g Group) IsEveryone() bool { return g.everyone }

// Has reports whether the named user is in the group. The empty name stands for
// a client without an identity, which only Everyone contains.
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

// Names returns the users in alphabetical order, or nil for Everyone.
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

// isSubset reports whether every member of g is a member of h.
func (g Group) isSubset(h Group) bool {
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

// Intersect returns the group of the users who are in both g and h.
func (g Group) Intersect(h Group) Group {
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
		return g // share the map: a table of thousands of rules repeats the same group
	}
	return Group{names: both}
}
