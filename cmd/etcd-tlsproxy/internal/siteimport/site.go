package siteimport

import (
	"maps"
	"slices"
	"strings"

	"etcd-tlsproxy/acl"
)

// Site is an nginx site in front of etcd.
type Site struct {
	// Listen is the HTTPS address in the form of our configuration.
	Listen string
	// IPv4 and IPv6 are set if nginx listens on all addresses of the family. If hiera is the
	// source, neither is known.
	IPv4, IPv6 bool
	// Balancers are the load balancers whose headers of the PROXY protocol name the clients.
	Balancers []string
	// Certificates and Keys are PEM files, one key for each certificate.
	Certificates, Keys []string
	// Endpoints are etcd's client URLs.
	Endpoints []string
	// ReadOnly refuses all writes.
	ReadOnly bool
	// Redirects is set if /v2/keys is redirected to /v2/keys/.
	Redirects bool
	// Verbatim is set if the site passes on paths as clients write them.
	Verbatim bool
	// Elsewhere is set if the site passes on paths that are not keys: members, users, v3.
	Elsewhere bool
	// OpenElsewhere are prefixes of such paths whose writes the site passes on for
	// everyone, in addition to those of Uncovered.
	OpenElsewhere []string
	// Uncovered is the group that can write keys that no rule covers, and the rest of
	// etcd's port.
	Uncovered acl.Group
	// Rules is the table.
	Rules []Rule
	// MaxBody is the largest body that nginx accepts, 0 if there is no limit or none is known.
	MaxBody int64
	// AnyBody is set if the limit of bodies is not known, because the source lacks what
	// surrounds the site.
	AnyBody bool
	// Verifies is set if nginx verifies etcd's certificate, by the PEM file CA and for the
	// name ServerName.
	Verifies       bool
	CA, ServerName string
	// ProxyCertificate and ProxyKey are the PEM files with which nginx identifies itself to
	// etcd, or "".
	ProxyCertificate, ProxyKey string
	// HTTP2 is set if the site offers HTTP/2.
	HTTP2 bool
	// Assumed lists defaults that were used for missing values.
	Assumed []string
	// Conflicts lists properties that our configuration cannot express, or that
	// check-config refuses. A person must resolve them.
	Conflicts []string

	nginx  locations    // those of the site; nil if the source is hiera
	target string       // where nginx passes requests for keys
	noted  []Difference // those of directives that change answers
}

// Rule is the rule for the keys of one prefix.
type Rule struct {
	Prefix acl.Key
	// Whole is set if the site compares whole segments. Most sites compare bytes, so that
	// the rule of /a also covers /ab.
	Whole bool
	// Below is set if the prefix ends with a slash, so that nginx redirects the key itself.
	Below bool
	// Read and Write are the users with access.
	Read, Write acl.Group
	// File is the htpasswd file of the rule, "" if it needs none.
	File string
}

// Files returns the htpasswd files, each once, in the order of the rules.
func (s *Site) Files() []string {
	var files []string
	for _, rule := range s.Rules {
		if rule.File != "" && !slices.Contains(files, rule.File) {
			files = append(files, rule.File)
		}
	}
	return files
}

// rules returns the table as rules of this proxy.
func (s *Site) rules(match acl.Match) (*acl.Rules, error) {
	list := make([]acl.Rule, len(s.Rules))
	for i, rule := range s.Rules {
		list[i] = acl.Rule{Prefix: rule.Prefix, Read: rule.Read, Write: rule.Write}
	}
	return acl.NewRules(match, list...)
}

// governing returns the rule that nginx applies to a key, which is the longest prefix of
// the key. It is nil if there is none.
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

// allowedByNginx returns the users whom nginx allows an access to a key.
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

// foldersOfRules returns the prefixes and all keys above them.
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
