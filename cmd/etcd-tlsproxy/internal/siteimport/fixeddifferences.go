package siteimport

import (
	"slices"
	"strconv"
	"strings"

	"etcd-tlsproxy/acl"
)

// addFixed adds the differences between the two programs that do not depend on the rules,
// as far as they apply to the site.
func (c *comparison) addFixed() {
	add := func(when bool, class, effect, what, why string) {
		if when {
			c.list = append(c.list, Difference{Class: class, Effect: effect, What: what, Why: why})
		}
	}
	s := c.site
	open := s.Elsewhere && s.Uncovered.IsEveryone() && !s.ReadOnly
	add(open, Elsewhere, Refused, "writes to everything besides /v2/keys: members, etcd's own users, /config, /v3, /debug",
		"nginx passed them on for everyone, without a password; here they are closed, and [surfaces] opens them to named users")
	if users := s.Uncovered.Names(); s.Elsewhere && !s.ReadOnly && len(users) > 0 {
		c.list = append(c.list, Difference{Class: Elsewhere, Effect: Refused, What: "writes to everything besides /v2/keys: members, etcd's own users, /config, /v3, /debug", Users: users,
			Why: "nginx passed them on for these users; here they are closed, and [surfaces] opens them to named users"})
	}
	add(!open && len(s.OpenElsewhere) > 0, Elsewhere, Refused, "writes to paths that begin with "+strings.Join(s.OpenElsewhere, ", "), "nginx passed them on for everyone")
	add(s.Elsewhere, Elsewhere, Refused, "reads outside of /v2/keys, except /v2/members, /v2/machines, /v2/stats/{self,store,leader}, /version, /health and /metrics",
		"nginx passed them on; here all other paths are closed")
	add(s.Redirects, Redirect, Answered, "/v2/keys without a trailing slash, with any method",
		"nginx redirected it to a host that the client chose, without a password; here it is the root key, and the rules decide")
	for _, rule := range s.Rules {
		if rule.Below && rule.Prefix != "/" {
			c.list = append(c.list, Difference{Class: Redirect, Effect: Answered, Key: string(rule.Prefix), What: string(rule.Prefix) + " without a trailing slash",
				Why: "nginx redirected it, or applied another rule; here it is that key, and its rule decides"})
		}
	}
	add(true, Reserved, Refused, "writes of keys that contain /0/members/<hex>/attributes, also by root",
		"etcd reads them as its own membership, and each member that applies such a write stops for good")
	add(true, Spelling, Refused, "paths with . or .. segments, encoded slashes, backslashes, control bytes, or bytes that are not UTF-8, in any encoding: 400",
		"nginx resolved or forwarded them; here a path that two parsers could read differently is refused")
	add(true, Methods, Answered, "methods that etcd's v2 API does not have (405 before any 401), and OPTIONS, which the proxy answers itself",
		"nginx passed them on, or required a password first")
	add(true, Credentials, Refused, "Basic credentials with text after the base64 or a NUL in the password; and addresses with many wrong passwords in a row: 429",
		"nginx read malformed ones up to the error, and checked any number of passwords")
	add(true, Limits, Refused, "bodies above limits.body_bytes (413) and targets above limits.target_bytes (414)",
		"etcd refuses larger forms, and resets connections over longer lines")
	add(true, Limits, Refused, "reads and writes of keys of more than "+strconv.Itoa(acl.MaxDepth)+" segments: 400",
		"etcd's answers about deep keys are far larger than the keys, and its snapshots of them cannot always be read back")
	add(!s.HTTP2, Protocol, Answered, "connections of clients that can use HTTP/2", "nginx did not offer HTTP/2; here it is offered beside HTTP/1.1, and header names are in lower case in it")
	add(true, Protocol, Refused, "connections below TLS 1.2, and those with CBC suites", "nginx accepted them, depending on ssl_protocols and ssl_ciphers")
	add(true, Credentials, Refused, "passwords above 72 bytes, if the hash is bcrypt", "bcrypt ignores what follows, and nginx accepted any text there")
	add(true, Spelling, Refused, "requests with a bare LF, chunk extensions, a second Content-Type, or a Host with a path or a user: 400",
		"nginx accepted or ignored these; here a request that two programs could read differently is refused")
	add(!s.Verifies && slices.ContainsFunc(s.Endpoints, func(e string) bool { return strings.HasPrefix(e, "https://") }), Upstream, Answered, "everything, if etcd's certificate cannot be verified",
		"nginx did not verify it; set upstream.ca and upstream.server_name, or upstream.insecure_skip_verify")
}
