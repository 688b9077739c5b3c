package siteimport

import (
	"fmt"
	"slices"
	"strings"

	"etcd-tlsproxy/acl"
)

// openings compares the rules with nginx's own choice of locations. It returns one
// conflict for each location behind which the rules, or the surfaces that are always open,
// would allow what nginx refuses.
//
// Reading a site finds its rules; this comparison does not depend on that, so that a
// mistake there shows as a conflict and not as an open door.
func (s *Site) openings(rules *acl.Rules) []string {
	o := &openingList{site: s, byGroup: map[string]*opening{}}
	keys := s.nginx.sampleKeys()
	if rules.Match() == acl.MatchSegments {
		keys = nil // these rules open some keys on purpose, and the differences list them
	}
	for _, key := range keys {
		for _, a := range []acl.Access{acl.Read, acl.Write} {
			if s.ReadOnly && a == acl.Write {
				continue
			}
			o.compare(a, keysPath+strings.TrimSuffix(string(key), "/"), rules.Allowed(a, key))
		}
	}
	for _, path := range append(s.nginx.sampleMembers(), openPaths...) {
		o.compare(acl.Read, path, acl.Everyone())
	}
	return o.texts()
}

// opening is a set of requests that are opened for the same reason.
type opening struct {
	access      acl.Access
	keys        bool
	at          *location
	before, now acl.Group
	paths       []string
}

// openingList collects openings.
type openingList struct {
	site    *Site
	byGroup map[string]*opening
	list    []*opening
}

// compare adds a path if more users are allowed now than nginx allows. This proxy removes a
// slash at the end, so that spelling counts too.
func (o *openingList) compare(a acl.Access, path string, now acl.Group) {
	for _, spelling := range []string{path, path + "/"} {
		l := o.site.nginx.serving(spelling)
		before := l.group(a)
		if l != nil && l.passed != o.site.target {
			before = acl.Only()
		}
		if !contains(before, now) {
			o.add(spelling, opening{access: a, keys: strings.HasPrefix(path, keysPath), at: l, before: before, now: now})
		}
	}
}

func (o *openingList) add(path string, found opening) {
	group := fmt.Sprint(found.access, found.keys, found.where(), "|", nameGroup(found.before), "|", nameGroup(found.now))
	known := o.byGroup[group]
	if known == nil {
		known = &found
		o.byGroup[group] = known
		o.list = append(o.list, known)
	}
	if !slices.Contains(known.paths, strings.TrimSuffix(path, "/")) {
		known.paths = append(known.paths, path)
	}
}

func (o *opening) where() string {
	if o.at == nil {
		return "no location"
	}
	return o.at.name()
}

// texts returns one conflict for each opening.
func (o *openingList) texts() []string {
	var texts []string
	for _, one := range o.list {
		hint := "this proxy cannot restrict these reads; block them in front of it, if they matter"
		if one.keys {
			hint = "add a rule for these keys to [acls]"
		}
		texts = append(texts, fmt.Sprintf("%ss of %s: nginx allowed %s (%s), and this proxy would allow %s (hint: %s)",
			one.access, strings.Join(one.paths, ", "), nameGroup(one.before), one.where(), nameGroup(one.now), hint))
	}
	return texts
}

// contains reports whether every user of inner is in outer.
func contains(outer, inner acl.Group) bool {
	if inner.IsEveryone() {
		return outer.IsEveryone()
	}
	return !slices.ContainsFunc(inner.Names(), func(user string) bool { return !outer.Has(user) })
}

func nameGroup(g acl.Group) string {
	switch {
	case g.IsEveryone():
		return "everyone"
	case isNobody(g):
		return "no one"
	}
	return strings.Join(g.Names(), ", ")
}

// fresh returns a segment of one character that no location contains.
func (all locations) fresh() string {
	for c := '~'; ; c++ {
		if c != '\x7f' && !slices.ContainsFunc(all, func(l *location) bool { return strings.ContainsRune(l.path, c) }) {
			return string(c)
		}
	}
}

// sampleKeys returns keys of every kind that locations or rules can tell apart: each
// location's own key and those above it, a key beside each of them, and one below.
func (all locations) sampleKeys() []acl.Key {
	fresh := all.fresh()
	keys := []acl.Key{acl.Root, acl.Key("/" + fresh)}
	for _, l := range all {
		text, isKey := strings.CutPrefix(l.path, keysPath+"/")
		if !isKey || text == "" {
			continue
		}
		key, err := acl.NewKey("/" + strings.TrimSuffix(text, "/"))
		if err != nil {
			continue // reported where the location is read
		}
		for ; key != acl.Root; key = parent(key) {
			keys = append(keys, key, key+acl.Key(fresh), key+acl.Key("/"+fresh))
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// sampleMembers returns paths of members of every kind that locations can tell apart.
func (all locations) sampleMembers() []string {
	fresh := all.fresh()
	paths := []string{membersPath, membersPath + "/" + fresh}
	for _, l := range all {
		if path := strings.TrimSuffix(l.path, "/"); strings.HasPrefix(path, membersPath+"/") {
			paths = append(paths, path, path+fresh, path+"/"+fresh)
		}
	}
	return paths
}
