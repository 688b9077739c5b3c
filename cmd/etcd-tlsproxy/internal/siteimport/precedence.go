package siteimport

import (
	"strings"

	"etcd-tlsproxy/acl"
)

// location is a location that can serve paths that this proxy serves.
type location struct {
	at *directive
	// kind is "", "=", "^~" or "~".
	kind string
	// path is the prefix, or the exact path for "=".
	path string
	// whole is set for an expression that compares whole segments.
	whole bool
	// redirects is set if every request is redirected to the path with a slash.
	redirects bool
	// passed is the scheme and host that requests are passed to, or "".
	passed string
	// read and write are the users with access.
	read, write acl.Group
}

// name returns the directive and its place.
func (l *location) name() string {
	return "location " + strings.Join(l.at.args(), " ") + " at " + l.at.place()
}

// group returns the users who have an access.
func (l *location) group(a acl.Access) acl.Group {
	switch {
	case l == nil || l.passed == "":
		return acl.Only()
	case a == acl.Write:
		return l.write
	}
	return l.read
}

// covers reports whether the location is for a path.
func (l *location) covers(path string) bool {
	switch {
	case l.kind == "=":
		return path == l.path
	case l.whole:
		return path == l.path || strings.HasPrefix(path, l.path+"/")
	}
	return strings.HasPrefix(path, l.path)
}

// locations are those of one server, in the order of the file.
type locations []*location

// find returns the location that nginx chooses for a path: the exact one; else the first
// expression that matches, unless the longest prefix has ^~; else the longest prefix. It
// returns nil if no location matches.
//
// redirected is set if nginx redirects the path to the one with a slash at its end, which
// it does if a location that passes requests on has that name. This comes before
// expressions.
func (all locations) find(path string) (found *location, redirected bool) {
	var longest, expression, slash *location
	for _, l := range all {
		switch {
		case l.kind == "=" && l.covers(path):
			return l, l.redirects
		case l.kind == "~":
			if expression == nil && l.covers(path) {
				expression = l
			}
			continue
		case l.kind != "=" && l.covers(path) && (longest == nil || len(l.path) > len(longest.path)):
			longest = l
		}
		if l.path == path+"/" && l.passed != "" {
			slash = l
		}
	}
	switch {
	case slash != nil && (longest == nil || longest.path != path):
		return slash, true
	case expression != nil && (longest == nil || longest.kind != "^~"):
		return expression, false
	}
	return longest, false
}

// serving returns the location that decides about a path in the end, after a redirect.
func (all locations) serving(path string) *location {
	l, redirected := all.find(path)
	if redirected {
		l, _ = all.find(path + "/")
	}
	return l
}
