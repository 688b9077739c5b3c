package siteimport

import (
	"slices"
	"strconv"
	"strings"

	"etcd-tlsproxy/acl"
)

// fixedDifference is a difference between the two programs that does not depend on the
// rules.
type fixedDifference struct {
	class, effect, what, why string
	// applies limits it to some sites; nil means all.
	applies func(*Site) bool
}

// fixedDifferences is the table of these differences. A test sends odd requests to nginx
// and to this proxy; one that only one of them passes on must be of a class in the table.
var fixedDifferences = []fixedDifference{
	{Elsewhere, Refused, "writes to everything besides /v2/keys: members, etcd's own users, /config, /v3, /debug",
		"nginx passed them on for everyone, without a password; here they are closed, and [surfaces] opens them to named users",
		func(s *Site) bool { return s.opensElsewhere() }},
	{Elsewhere, Refused, "reads outside of /v2/keys, except /v2/members, /v2/machines, /v2/stats/{self,store,leader}, /version, /health and /metrics",
		"nginx passed them on; here all other paths are closed", func(s *Site) bool { return s.Elsewhere }},
	{Redirect, Answered, "/v2/keys without a trailing slash, with any method",
		"nginx redirected it to a host that the client chose, without a password; here it is the root key, and the rules decide",
		func(s *Site) bool { return s.Redirects }},
	{Reserved, Refused, "writes of keys that contain /0/members/<hex>/attributes, also by root",
		"etcd reads them as its own membership, and each member that applies such a write stops for good", nil},
	{Spelling, Refused, "paths with . or .. segments, encoded slashes, backslashes, a # or control bytes, or bytes that are not UTF-8, in any encoding: 400",
		"nginx resolved or forwarded them; here a path that two parsers could read differently is refused", nil},
	{Spelling, Refused, "queries with a #, a semicolon, a blank or a control byte that is not encoded: 400", "nginx cut or forwarded them, and some releases of etcd take a semicolon for an ampersand", nil},
	{Spelling, Answered, "paths with empty segments, such as /v2/keys//a", "nginx passed them on, and etcd redirected them to the path without; here the key is served",
		func(s *Site) bool { return s.Verbatim }},
	{Methods, Answered, "methods that etcd's v2 API does not have, such as PATCH (405 before any 401), and OPTIONS, which the proxy answers itself",
		"nginx passed them on, or required a password first", nil},
	{Credentials, Refused, "Basic credentials with text after the base64 or a NUL in the password; and addresses with many wrong passwords in a row: 429",
		"nginx read malformed ones up to the error, and checked any number of passwords", nil},
	{Credentials, Refused, "passwords above 72 bytes, if the hash is bcrypt", "bcrypt ignores what follows, and nginx accepted any text there", nil},
	{Limits, Refused, "bodies above limits.body_bytes (413) and targets above limits.target_bytes (414)",
		"etcd refuses larger forms, and resets connections over longer lines", nil},
	{Limits, Allowed, "bodies above nginx's client_max_body_size, which is 1 MiB if it is not set, up to limits.body_bytes",
		"the source does not say what surrounded the site, such as this limit (hint: set limits.body_bytes to it)", func(s *Site) bool { return s.AnyBody }},
	{Limits, Refused, "reads and writes of keys of more than " + strconv.Itoa(acl.MaxDepth) + " segments: 400",
		"etcd's answers about deep keys are far larger than the keys, and its snapshots of them cannot always be read back", nil},
	{Limits, Refused, "heads with more than 100 fields: 431", "nginx limits only their size", nil},
	{Limits, Answered, "watches without an event for longer than nginx's proxy_read_timeout, which is 60 s if it is not set", "nginx broke them off; here they have no timeout", nil},
	{Limits, Answered, "requests beyond one program's limits of heads and times, such as nginx's large_client_header_buffers and client_body_timeout",
		"here limits.head_bytes, limits.target_bytes, limits.header_timeout and limits.body_timeout apply", nil},
	{Lines, Refused, "request lines with several blanks, blank lines before them, absolute targets of other schemes or without a path, and versions besides HTTP/1.0 and HTTP/1.1",
		"nginx was lenient; here a request line that two programs could read differently is refused", nil},
	{Lines, Refused, "lines that end with LF alone, and fields with a name that is not a token, without a colon, or with control bytes: 400",
		"nginx accepted or ignored them; here a head that two programs could read differently is refused", nil},
	{Fields, Refused, "a Host with a user, a path or other bytes that no name contains, two Content-Type fields, a Connection field that is not a list, and expectations besides 100-continue",
		"nginx passed them on or ignored them", nil},
	{Fields, Refused, "field names with _ that would be Content-Length, Content-Type, Transfer-Encoding, X-Forwarded-For or X-Real-IP with -", "nginx dropped them, and some gateways do not", nil},
	{Fields, Refused, "requests with an Upgrade field and a body (403), or with one before the preface of HTTP/2 (400)", "nginx ignored the field", nil},
	{Lines, Allowed, "absolute targets whose host has bytes that no name contains", "nginx refused them; here only the Host field is checked", nil},
	{Fields, Allowed, "a Host, a length or credentials with a tab around them, and a Host with two dots in a row or nothing before its colon",
		"nginx refused them; here tabs around a value do not count, and no decision depends on the Host", nil},
	{Repeated, Allowed, "requests that repeat a field which may occur once and which etcd does not read, such as Expect, Range or If-Modified-Since", "nginx refused them; here the field does not matter", nil},
	{Bodies, Refused, "chunked bodies with extensions, blanks or a bare LF, or with trailers that are not fields or longer than 4 KB: 400", "nginx accepted them", nil},
	{Protocol, Refused, "connections below TLS 1.2, and those with CBC suites", "nginx accepted them, depending on ssl_protocols and ssl_ciphers", nil},
	{Protocol, Refused, "connections that begin with a header of the PROXY protocol, from addresses that proxy_protocol.from does not list",
		"nginx read the header from everyone, but did not believe it; here only load balancers that are listed can send one", behindBalancers},
	{Protocol, Allowed, "connections without a header of the PROXY protocol, from addresses that proxy_protocol.from does not list",
		"nginx required the header from everyone; here only from load balancers that are listed (hint: let a firewall admit only them)", behindBalancers},
	{Protocol, Answered, "requests that both refuse", "the errors have etcd's form, and malformed requests may get another status", nil},
	{Credentials, Answered, "requests with credentials, if etcd's own users are enabled",
		"nginx passed the credentials on unless the site removed them; here etcd receives them only with upstream.credentials = \"forward\"", nil},
	{Addresses, Allowed, "connections over IPv6", listensOnBoth, func(s *Site) bool { return s.IPv4 && !s.IPv6 }},
	{Addresses, Allowed, "connections over IPv4", listensOnBoth, func(s *Site) bool { return s.IPv6 && !s.IPv4 }},
	{Upstream, Answered, "everything, if etcd's certificate cannot be verified",
		"nginx did not verify it; set upstream.ca and upstream.server_name, or upstream.insecure_skip_verify",
		func(s *Site) bool {
			return !s.Verifies && slices.ContainsFunc(s.Endpoints, func(e string) bool { return strings.HasPrefix(e, "https://") })
		}},
}

// listensOnBoth is the reason why one more family of addresses reaches this proxy.
const listensOnBoth = "nginx did not listen there; here a listen without a host means IPv4 and IPv6 (hint: set listen to one address of this machine, or close the port in the firewall of that family)"

func behindBalancers(s *Site) bool { return len(s.Balancers) > 0 }

// opensElsewhere reports whether everyone can write outside of /v2/keys.
func (s *Site) opensElsewhere() bool { return s.Elsewhere && s.Uncovered.IsEveryone() && !s.ReadOnly }

// addFixed adds the differences of the table that apply to the site, and those whose text
// depends on it.
func (c *comparison) addFixed() {
	s := c.site
	for i := range fixedDifferences {
		if d := &fixedDifferences[i]; d.applies == nil || d.applies(s) {
			c.list = append(c.list, Difference{Class: d.class, Effect: d.effect, What: d.what, Why: d.why})
		}
	}
	if users := s.Uncovered.Names(); s.Elsewhere && !s.ReadOnly && len(users) > 0 {
		c.list = append(c.list, Difference{Class: Elsewhere, Effect: Refused, What: "writes to everything besides /v2/keys: members, etcd's own users, /config, /v3, /debug", Users: users,
			Why: "nginx passed them on for these users; here they are closed, and [surfaces] opens them to named users"})
	}
	if !s.opensElsewhere() && len(s.OpenElsewhere) > 0 {
		c.list = append(c.list, Difference{Class: Elsewhere, Effect: Refused, What: "writes to paths that begin with " + strings.Join(s.OpenElsewhere, ", "), Why: "nginx passed them on for everyone"})
	}
	for _, rule := range s.Rules {
		if rule.Below && rule.Prefix != "/" {
			c.list = append(c.list, Difference{Class: Redirect, Effect: Answered, Key: string(rule.Prefix), What: string(rule.Prefix) + " without a trailing slash",
				Why: "nginx redirected it, or applied another rule; here it is that key, and its rule decides"})
		}
	}
}
