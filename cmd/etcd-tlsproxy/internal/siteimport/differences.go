package siteimport

import (
	"fmt"
	"slices"
	"strings"

	"etcd-tlsproxy/acl"
)

// Difference describes requests whose outcome will differ.
type Difference struct {
	// Class is the kind: one of the constants below.
	Class string `json:"class"`
	// Effect is Refused, Allowed or Answered.
	Effect string `json:"effect"`
	// What describes the requests, Why gives the reason.
	What string `json:"what"`
	Why  string `json:"why"`
	// Key is the prefix, if the difference is about one.
	Key string `json:"key,omitempty"`
	// Rules are the prefixes of the rules that decide in this proxy.
	Rules []string `json:"rules,omitempty"`
	// Everyone or Users says for whom the outcome differs. If neither is set, it does not
	// depend on the user.
	Everyone bool     `json:"everyone,omitempty"`
	But      []string `json:"but,omitempty"` // exceptions from Everyone
	Users    []string `json:"users,omitempty"`
}

// The effects.
const (
	Refused  = "refused now"
	Allowed  = "allowed now"
	Answered = "answered differently"
)

// The classes.
const (
	RawPrefix   = "raw-prefix"    // keys next to a prefix that begin with its bytes
	RulesBelow  = "rules-below"   // keys at or above a rule
	Uncovered   = "uncovered"     // keys that no rule covers
	Elsewhere   = "outside-keys"  // etcd's port besides /v2/keys
	Redirect    = "keys-redirect" // a prefix without the slash that nginx redirects to
	Reserved    = "reserved-key"  // keys that etcd reads as its own membership
	Spelling    = "path-spelling" // paths that could be read in two ways
	Methods     = "methods"       // OPTIONS, and methods that etcd's v2 API does not have
	Credentials = "credentials"   // malformed credentials, and many wrong ones
	Limits      = "limits"        // large heads and bodies, long targets, and deep keys
	Lines       = "head-lines"    // the lines of the head
	Fields      = "head-fields"   // fields that two programs could read differently
	Repeated    = "repeated"      // fields that occur more than once
	Bodies      = "bodies"        // the framing of bodies
	Upstream    = "upstream"      // the connection to etcd
	Protocol    = "protocol"      // TLS and HTTP below the requests
	Addresses   = "addresses"     // where the proxy listens and nginx did not
	Directives  = "directives"    // directives that changed answers
)

// Differences compares the site with the configuration that [Site.Config] writes.
func (s *Site) Differences(match acl.Match) ([]Difference, error) {
	rules, err := s.rules(match)
	if err != nil {
		return nil, err
	}
	c := &comparison{site: s, rules: rules}
	c.compareBeside()
	c.compareAbove()
	c.compareUncovered()
	c.addFixed()
	c.list = append(c.list, s.noted...)
	return c.list, nil
}

type comparison struct {
	site  *Site
	rules *acl.Rules
	list  []Difference
}

// allowedNow returns the users whom this proxy allows an access.
func (c *comparison) allowedNow(a acl.Access, key acl.Key) acl.Group {
	if a == acl.Write && c.site.ReadOnly {
		return acl.Only()
	}
	return c.rules.Allowed(a, key)
}

// compare records for whom the access to a key differs.
func (c *comparison) compare(d Difference, key acl.Key, a acl.Access) {
	before, now := c.site.allowedByNginx(a, key), c.allowedNow(a, key)
	d.What = a.String() + "s of " + d.What
	differ := func(effect string, from, to acl.Group) {
		d := d
		d.Effect = effect
		switch {
		case to.IsEveryone():
			return
		case from.IsEveryone():
			d.Everyone, d.But = true, to.Names()
		default:
			for _, user := range from.Names() {
				if !to.Has(user) {
					d.Users = append(d.Users, user)
				}
			}
			if d.Users == nil {
				return
			}
		}
		c.list = append(c.list, d)
	}
	differ(Refused, before, now)
	differ(Allowed, now, before)
}

// compareBeside compares the keys that begin with the bytes of a prefix but are not below
// it.
func (c *comparison) compareBeside() {
	for _, rule := range c.site.Rules {
		key := c.site.beside(rule.Prefix)
		d := Difference{
			Class: RawPrefix, Key: string(rule.Prefix), What: fmt.Sprintf("keys that begin with %s and continue without a slash, such as %[1]sX", rule.Prefix),
			Why:   "nginx compares bytes, so a rule also covered keys next to its prefix; here a rule covers whole segments",
			Rules: []string{string(c.rules.Governing(key).Prefix)},
		}
		if rule.Whole || rule.Below {
			d.Why = "match = \"both\" also applies a rule to keys next to its prefix, which this site did not"
		}
		c.compare(d, key, acl.Read)
		c.compare(d, key, acl.Write)
	}
}

// beside returns a key that begins with the bytes of a prefix and with those of no longer one.
func (s *Site) beside(prefix acl.Key) acl.Key {
	for c := '~'; ; c++ {
		key := prefix + acl.Key(c)
		if c != '\x7f' && !slices.ContainsFunc(s.Rules, func(r Rule) bool { return strings.HasPrefix(string(r.Prefix), string(key)) }) {
			return key
		}
	}
}

// compareAbove compares the keys that have rules below them.
func (c *comparison) compareAbove() {
	for _, key := range c.site.foldersOfRules() {
		for _, a := range []acl.Access{acl.Read, acl.Write} {
			narrowing := c.rules.Narrowing(a, key)
			if len(narrowing) == 0 && c.site.governing(key) != nil && c.site.governing(key).Prefix == c.rules.Governing(key).Prefix {
				continue
			}
			d := Difference{
				Class: RulesBelow, Key: string(key), What: "the folder " + string(key) + " itself",
				Why: "an operation on a folder can reach everything in it, so every rule below it must allow it too",
			}
			for _, rule := range narrowing {
				d.Rules = append(d.Rules, string(rule.Prefix))
			}
			if d.Rules == nil {
				d.Rules = []string{string(c.rules.Governing(key).Prefix)}
			}
			c.compare(d, key, a)
		}
	}
}

// compareUncovered compares the keys that no rule covers.
func (c *comparison) compareUncovered() {
	hasRoot := slices.ContainsFunc(c.site.Rules, func(r Rule) bool { return r.Prefix == acl.Root })
	if hasRoot || c.site.ReadOnly || !c.site.Uncovered.IsEveryone() {
		return
	}
	c.list = append(c.list, Difference{Class: Uncovered, Effect: Refused, What: "writes of keys that no rule covers", Everyone: true,
		Why: "without a rule for / nginx let everyone write them; here no one can"})
}
