package explain

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/gate"
)

// Diff lists the decisions that differ between two tables.
type Diff struct {
	Keys int `json:"keys"`
	// Examples is the number of further keys, which stand for a rule: its prefix, and a key
	// below it. They are compared even if no such key exists.
	Examples  int `json:"examples"`
	Users     int `json:"users"` // including the anonymous one
	Decisions int `json:"decisions"`
	// Changed is the number of decisions that differ.
	Changed int       `json:"changed"`
	Changes []*Change `json:"changes"`
	// Unread lists keys that no request through the proxy can name, whatever the table.
	Unread []string `json:"unread,omitempty"`
}

// Change is a group of decisions with the same cause: one user and the same two rules.
type Change struct {
	Cause
	// Keys are the keys of the decisions. It is empty for a surface.
	Keys []string `json:"keys,omitempty"`
}

// Cause is the common cause of changed decisions.
type Cause struct {
	User    string `json:"user"` // "" is an anonymous client
	Access  string `json:"access"`
	Surface string `json:"surface,omitempty"` // empty for keys
	Now     string `json:"now"`               // "allowed" or "refused" by the second table
	// RuleBefore and RuleNow are the prefixes of the deciding rules.
	RuleBefore string `json:"rule_before,omitempty"`
	RuleNow    string `json:"rule_now,omitempty"`
	// ReasonBefore and ReasonNow are the reasons of refusals that no rule and no missing right
	// decides, such as read_only.
	ReasonBefore string `json:"reason_before,omitempty"`
	ReasonNow    string `json:"reason_now,omitempty"`
}

// Compare compares the decisions of two tables about all keys and surfaces, for every user
// that a table names and for an anonymous client. It also compares those about the prefixes
// of both tables and a key below each, so that a rule counts before its keys exist.
func Compare(before, after *gate.Policy, keys []acl.Key, unread []string) *Diff {
	c := &comparison{before: before, after: after, users: usersOf(before, after), groups: make(map[Cause]*Change)}
	existing := len(keys)
	keys = withExamples(keys, before, after)
	c.diff = &Diff{Keys: existing, Examples: len(keys) - existing, Users: len(c.users), Changes: []*Change{}, Unread: unread}
	for _, key := range keys {
		for _, a := range accesses {
			c.decide(a.method, target(key), Cause{Access: a.access.String()}, string(key))
		}
	}
	for _, surface := range surfaces {
		c.decide(http.MethodGet, surface.path, Cause{Access: acl.Read.String(), Surface: surface.name}, "")
		c.decide(http.MethodPost, surface.path, Cause{Access: acl.Write.String(), Surface: surface.name}, "")
	}
	slices.SortStableFunc(c.diff.Changes, func(a, b *Change) int {
		// New refusals come before new permissions, and larger changes first.
		return cmp.Or(cmp.Compare(b.Now, a.Now), cmp.Compare(len(b.Keys), len(a.Keys)), cmp.Compare(a.User, b.User), cmp.Compare(a.Access, b.Access), cmp.Compare(a.RuleNow, b.RuleNow))
	})
	return c.diff
}

// withExamples adds the keys that stand for the rules of the tables, and sorts.
func withExamples(keys []acl.Key, tables ...*gate.Policy) []acl.Key {
	prefixes := []acl.Key{acl.Root}
	bytewise := false // a rule is also about keys that begin with the bytes of its prefix
	for _, table := range tables {
		bytewise = bytewise || table.Rules.Match() == acl.MatchBoth
		for _, rule := range table.Rules.All() {
			prefixes = append(prefixes, rule.Prefix)
		}
	}
	all := slices.Concat(keys, prefixes)
	for _, prefix := range prefixes {
		all = append(all, below(prefix, prefixes))
		if bytewise && prefix != acl.Root {
			all = append(all, unruled(prefix+"-", prefixes))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// below returns a key below a prefix to which no longer prefix applies.
func below(prefix acl.Key, prefixes []acl.Key) acl.Key {
	return unruled(acl.Key(strings.TrimSuffix(string(prefix), "/")+"/"), prefixes)
}

// unruled returns a key that begins with some bytes and to which, by segments, no prefix
// applies that is longer than these.
func unruled(begin acl.Key, prefixes []acl.Key) acl.Key {
	key := begin + "example"
	related := func(p acl.Key) bool { return key.Covers(p) || len(p) > len(begin) && p.Covers(key) }
	for n := 2; slices.ContainsFunc(prefixes, related); n++ { // ends, because each prefix has only one name there
		key = begin + acl.Key("example"+strconv.Itoa(n))
	}
	return key
}

// comparison is the state of a Compare.
type comparison struct {
	before, after *gate.Policy
	users         []string
	groups        map[Cause]*Change
	diff          *Diff
}

// decide compares the decisions of both tables about one operation, for each user.
func (c *comparison) decide(method, target string, cause Cause, key string) {
	c.diff.Decisions += len(c.users)
	was, refusedBefore := allowedUsers(c.before, method, target)
	is, refusedNow := allowedUsers(c.after, method, target)
	if refusedBefore == refusedNow && was.Everyone == is.Everyone && slices.Equal(was.Users, is.Users) {
		return // a shortcut for the common case that nothing changes for any user
	}
	for _, user := range c.users {
		old, now := c.before.Explain(method, target, user), c.after.Explain(method, target, user)
		if old.Allowed == now.Allowed {
			continue
		}
		c.diff.Changed++
		cause := cause
		cause.User, cause.RuleBefore, cause.RuleNow, cause.Now = user, old.Rule, now.Rule, "refused"
		cause.ReasonBefore, cause.ReasonNow = otherReason(old), otherReason(now)
		if now.Allowed {
			cause.Now = "allowed"
		}
		change := c.groups[cause]
		if change == nil {
			change = &Change{Cause: cause}
			c.groups[cause] = change
			c.diff.Changes = append(c.diff.Changes, change)
		}
		if key != "" {
			change.Keys = append(change.Keys, key)
		}
	}
}

// otherReason returns the reason of a refusal whoever asks.
func otherReason(e *gate.Explanation) string {
	if e.Reason == gate.RefuseIdentity.Reason {
		return ""
	}
	return e.Reason
}

// usersOf returns the anonymous user and all users that the tables name.
func usersOf(snapshots ...*gate.Policy) []string {
	names := map[string]struct{}{"": {}}
	add := func(group acl.Group) {
		for _, name := range group.Names() {
			names[name] = struct{}{}
		}
	}
	for _, s := range snapshots {
		for _, rule := range s.Rules.All() {
			add(rule.Read)
			add(rule.Write)
		}
		for _, group := range s.Surfaces {
			add(group)
		}
	}
	return slices.Sorted(maps.Keys(names))
}
