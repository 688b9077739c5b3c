package siteimport

import (
	"slices"
	"strings"
)

// fixed are the differences that come from what both programs are, as far as the site
// has what they are about.
func (c *comparison) addFixed() {
	add := func(when bool, class, effect, what, why string) {
		if when {
			c.list = append(c.list, Difference{Class: class, Effect: effect, What: what, Why: why})
		}
	}
	s := c.site
	open := s.Elsewhere && s.Uncovered.IsEveryone() && !s.ReadOnly
	add(open, Elsewhere, Refused, "writes to everything besides /v2/keys: members, etcd's own users, /config, /v3, /debug",
		"nginx passed them on for everyone, without a password; they are closed, and open to named users by [surfaces]")
	add(!open && len(s.OpenElsewhere) > 0, Elsewhere, Refused, "writes to what begins with "+strings.Join(s.OpenElsewhere, ", "), "nginx passed them on for everyone")
	add(s.Elsewhere, Elsewhere, Refused, "reads besides /v2/keys, but for /v2/members, /v2/machines, /v2/stats/{self,store,leader}, /version, /health and /metrics",
		"nginx passed them on; what has no name here is closed")
	add(s.Redirects, Redirect, Answered, "/v2/keys without a slash at its end, with any method",
		"nginx redirected it to a host of the client's choice, without asking who it is; it is the root key, and the table decides")
	for _, rule := range s.Rules {
		if rule.Below && rule.Prefix != "/" {
			c.list = append(c.list, Difference{Class: Redirect, Effect: Answered, Key: string(rule.Prefix), What: string(rule.Prefix) + " without a slash at its end",
				Why: "nginx redirected it, or took another rule; it is that key, and its rule decides"})
		}
	}
	add(true, Reserved, Refused, "writes of keys that contain /0/members/<hex>/attributes, root's included",
		"etcd takes them for its own membership, and each member stops for good when it applies one")
	add(true, Spelling, Refused, "paths with . or .. segments, encoded slashes, backslashes, control bytes, or bytes that are not UTF-8, in any encoding: 400",
		"nginx resolved or forwarded them; what two readers could read differently is refused")
	add(true, Methods, Answered, "methods that etcd's v2 API does not have (405 before a password is asked for), and OPTIONS, which the proxy answers",
		"nginx passed them on, or asked for a password first")
	add(true, Credentials, Refused, "Basic credentials with something behind the base64, or with a NUL in the password; and addresses with many wrong passwords in a row: 429",
		"nginx read the beginning of malformed ones, and hashed as many as came")
	add(true, Limits, Refused, "bodies above limits.body_bytes (413) and targets above limits.target_bytes (414)",
		"etcd refuses larger forms, and resets connections over longer lines")
	add(slices.ContainsFunc(s.Endpoints, func(e string) bool { return strings.HasPrefix(e, "https://") }), Upstream, Answered, "everything, if etcd's certificate does not verify",
		"nginx did not look at it; set upstream.ca and upstream.server_name, or upstream.insecure_skip_verify")
}
