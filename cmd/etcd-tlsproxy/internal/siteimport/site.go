package siteimport

import (
	"maps"
	"slices"
	"strings"

	"etcd-tlsproxy/acl"
)

// Site is an nginx site before etcd.
type Site struct {
	// Listen is the HTTPS address, as our configuration writes it.
	Listen string
	// Certificate and Key are PEM files.
	Certificate, Key string
	// Endpoints are etcd's client URLs.
	Endpoints []string
	// ReadOnly refuses all writes.
	ReadOnly bool
	// Redirects is set if /v2/keys is redirected to /v2/keys/.
	Redirects bool
	// Elsewhere is set if the site passes on what is no key: members, users, v3.
	Elsewhere bool
	// OpenElsewhere are prefixes of such paths whose writes it passes on for everyone,
	// besides those of Uncovered.
	OpenElsewhere []string
	// Uncovered is who may write keys that no rule covers, and the rest of etcd's port.
	Uncovered acl.Group
	// Rules is the table.
	Rules []Rule
	// Assumed is what was not said, and is taken to be as usual.
	Assumed []string
	// Conflicts is what no configuration of ours can express, or check-config refuses:
	// they must be resolved by a person.
	Conflicts []string
}

// Rule is what holds for the keys of one prefix.
type Rule struct {
	Prefix acl.Key
	// Whole is set if the site compares whole segments. Most compare bytes: the rule of
	// /a is that of /ab as well.
	Whole bool
	// Below is set if the site's prefix ends with a slash: the key itself is redirected.
	Below bool
	// Read and Write are who may.
	Read, Write acl.Group
	// File is the htpasswd file of the rule, "" if it needs none.
	File string
}

// Files are the htpasswd files, each once, in the order of the rules.
func (s *Site) Files() []string {
	var files []string
	for _, rule := range s.Rules {
		if rule.File != "" && !slices.Contains(files, rule.File) {
			files = append(files, rule.File)
		}
	}
	return files
}

// rules is the table as our gate reads it.
func (s *Site) rules(match acl.Match) (*acl.Rules, error) {
	list := make([]acl.Rule, len(s.Rules))
	for i, rule := range s.Rules {
		list[i] = acl.Rule{Prefix: rule.Prefix, Read: rule.Read, Write: rule.Write}
	}
	return acl.NewRules(match, list...)
}

// governing is the rule that nginx takes for a key: the longest that the key begins
// with. It is nil if there is none.
func (s *Site) governing(key acl.Key) *Rule {
	var found *Rule
	for i := range s.Rules {
		rule := &s.Rules[i]
		covers := rule.Prefix.Covers(key)
		if !rule.Whole && !rule.Below {
			covers = strings.HasPrefix(string(key), string(rule.Prefix))
		}
		if covers && (found == nil || len(rule.Prefix) > len(found.Prefix)) {
			found = rule
		}
	}
	return found
}

// may is who may do something to a key by nginx's reading.
func (s *Site) allowedByNginx(a acl.Access, key acl.Key) acl.Group {
	rule := s.governing(key)
	switch {
	case a == acl.Write && s.ReadOnly:
		return acl.Only()
	case rule == nil && a == acl.Write:
		return s.Uncovered
	case rule == nil:
		return acl.Everyone()
	case a == acl.Write:
		return rule.Write
	}
	return rule.Read
}

// nodes are the prefixes and all keys above them: where rules lie below.
func (s *Site) foldersOfRules() []acl.Key {
	nodes := map[acl.Key]struct{}{acl.Root: {}}
	for _, rule := range s.Rules {
		for key := rule.Prefix; key != acl.Root; key = parent(key) {
			nodes[key] = struct{}{}
		}
	}
	return slices.Sorted(maps.Keys(nodes))
}

func parent(key acl.Key) acl.Key { return key[:max(1, strings.LastIndexByte(string(key), '/'))] }
