package siteimport

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"etcd-tlsproxy/acl"
)

// variable returns the differences of a site that depend on it, one in each line.
func variable(t *testing.T, s *Site, match acl.Match) string {
	t.Helper()
	differences, err := s.Differences(match)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, d := range differences {
		if slices.ContainsFunc(fixedDifferences, func(f fixedDifference) bool { return f.applies == nil && f.what == d.What }) {
			continue
		}
		fmt.Fprintf(&b, "%s %s: %s%s", d.Class, d.Effect, d.What, d.audience())
		if len(d.Rules) > 0 {
			fmt.Fprintf(&b, "; by %s", strings.Join(d.Rules, " "))
		}
		if strings.HasPrefix(d.Why, `match = "both"`) {
			b.WriteString("; because of match")
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// Each line was compared by hand with what nginx and this proxy decide.
func TestTheDifferencesOfASite(t *testing.T) {
	root, both, everyone := acl.Only("root"), acl.Only("root", "conftool"), acl.Everyone()
	rule := func(p acl.Key, read, write acl.Group) Rule { return Rule{Prefix: p, Read: read, Write: write} }
	for what, c := range map[string]struct {
		site  Site
		match acl.Match
		want  []string
	}{
		"a rule for the root alone": {Site{IPv4: true, IPv6: true, Uncovered: acl.Only(), Rules: []Rule{{Prefix: "/", Read: everyone, Write: root, Below: true}}}, acl.MatchSegments, []string{}},
		"one open prefix and no rule for the root": {Site{Uncovered: everyone, Rules: []Rule{{Prefix: "/a", Read: everyone, Write: everyone, Whole: true}}}, acl.MatchSegments, []string{
			`raw-prefix refused now: writes of keys that begin with /a and continue without a slash, such as /aX, for everyone; by /; because of match`,
			`rules-below refused now: writes of the folder / itself, for everyone; by /`,
			`uncovered refused now: writes of keys that no rule covers, for everyone`,
		}},
		"no rule for the root, and both readings": {Site{Uncovered: everyone, Rules: []Rule{{Prefix: "/a", Read: everyone, Write: root, Whole: true}, {Prefix: "/b", Read: everyone, Write: root, Below: true}}}, acl.MatchBoth, []string{
			`raw-prefix refused now: writes of keys that begin with /a and continue without a slash, such as /aX, for everyone; by /; because of match`,
			`raw-prefix refused now: writes of keys that begin with /b and continue without a slash, such as /bX, for everyone; by /; because of match`,
			`rules-below refused now: writes of the folder / itself, for everyone; by /`,
			`uncovered refused now: writes of keys that no rule covers, for everyone`,
			`keys-redirect answered differently: /b without a trailing slash`,
		}},
		"no rule for the root, where nobody writes the rest": {Site{Uncovered: acl.Only(), Rules: []Rule{rule("/a", everyone, root)}}, acl.MatchSegments, []string{
			`raw-prefix refused now: writes of keys that begin with /a and continue without a slash, such as /aX, for root; by /`,
		}},
		"a read-only table": {Site{Uncovered: everyone, ReadOnly: true, Elsewhere: true, OpenElsewhere: []string{"/metrics"}, Rules: []Rule{rule("/a", everyone, root)}}, acl.MatchSegments, []string{
			`outside-keys refused now: reads outside of /v2/keys, except /v2/members, /v2/machines, /v2/stats/{self,store,leader}, /version, /health and /metrics`,
			`outside-keys refused now: writes to paths that begin with /metrics`,
		}},
		"rules below and beside each other": {Site{Uncovered: everyone, Elsewhere: true, Redirects: true, IPv4: true, OpenElsewhere: []string{"/metrics"}, Rules: []Rule{{Prefix: "/", Read: everyone, Write: root, Below: true}, rule("/conf", everyone, both), rule("/conf/x", everyone, root), rule("/conf~", root, root)}}, acl.MatchSegments, []string{
			`raw-prefix refused now: writes of keys that begin with /conf and continue without a slash, such as /confX, for conftool; by /`,
			`raw-prefix allowed now: writes of keys that begin with /conf/x and continue without a slash, such as /conf/xX, for conftool; by /conf`,
			`raw-prefix allowed now: reads of keys that begin with /conf~ and continue without a slash, such as /conf~X, for everyone except root; by /`,
			`rules-below refused now: reads of the folder / itself, for everyone except root; by /conf~`,
			`rules-below refused now: writes of the folder /conf itself, for conftool; by /conf/x`,
			`outside-keys refused now: writes to everything besides /v2/keys: members, etcd's own users, /config, /v3, /debug`,
			`outside-keys refused now: reads outside of /v2/keys, except /v2/members, /v2/machines, /v2/stats/{self,store,leader}, /version, /health and /metrics`,
			`keys-redirect answered differently: /v2/keys without a trailing slash, with any method`,
			`addresses allowed now: connections over IPv6`,
		}},
		"named users for the rest, and both readings": {Site{Uncovered: root, Elsewhere: true, IPv6: true, OpenElsewhere: []string{"/v3", "/metrics"}, Rules: []Rule{{Prefix: "/", Read: everyone, Write: root}, {Prefix: "/conf", Read: everyone, Write: both, Below: true}, rule("/conf/x", everyone, root)}}, acl.MatchBoth, []string{
			`rules-below refused now: writes of the folder /conf itself, for conftool; by /conf/x`,
			`outside-keys refused now: reads outside of /v2/keys, except /v2/members, /v2/machines, /v2/stats/{self,store,leader}, /version, /health and /metrics`,
			`addresses allowed now: connections over IPv4`,
			`outside-keys refused now: writes to everything besides /v2/keys: members, etcd's own users, /config, /v3, /debug, for root`,
			`outside-keys refused now: writes to paths that begin with /v3, /metrics`,
			`keys-redirect answered differently: /conf without a trailing slash`,
		}},
		"an etcd that nginx did not verify": {Site{Uncovered: acl.Only(), Elsewhere: true, Endpoints: []string{"http://a", "https://b"}, Rules: []Rule{{Prefix: "/", Read: everyone, Write: root}}}, acl.MatchBoth, []string{
			`outside-keys refused now: reads outside of /v2/keys, except /v2/members, /v2/machines, /v2/stats/{self,store,leader}, /version, /health and /metrics`,
			`upstream answered differently: everything, if etcd's certificate cannot be verified`,
		}},
		"a verified etcd, and directives": {Site{Uncovered: root, Elsewhere: true, ReadOnly: true, Verifies: true, Endpoints: []string{"https://b"}, Rules: []Rule{{Prefix: "/", Read: everyone, Write: root}}, noted: []Difference{{Class: Directives, Effect: Answered, What: "gzip at f:1", Why: "w"}}}, acl.MatchBoth, []string{
			`outside-keys refused now: reads outside of /v2/keys, except /v2/members, /v2/machines, /v2/stats/{self,store,leader}, /version, /health and /metrics`,
			`directives answered differently: gzip at f:1`,
		}},
	} {
		got, want := variable(t, &c.site, c.match), strings.Join(append(c.want, ""), "\n")
		if got != want {
			t.Errorf("differences of a site with %s: got\n%s\nwant\n%s", what, got, want)
		}
	}
}

func TestTwoRulesOfOnePrefixHaveNoDifferencesButAnError(t *testing.T) {
	s := &Site{Rules: []Rule{{Prefix: "/a", Read: acl.Everyone(), Write: acl.Only("root")}, {Prefix: "/a", Read: acl.Everyone(), Write: acl.Only("root")}}}
	if list, err := s.Differences(acl.MatchBoth); err == nil || list != nil {
		t.Errorf("Differences of two rules for /a: got %v and the error %v, want an error", list, err)
	}
}

func TestTheWholeConfiguration(t *testing.T) {
	for want, s := range map[string]*Site{
		`listen = ":4001"
read_only = true
http2 = false # nginx did not offer it

[upstream]
endpoints = ["http://127.0.0.1:2379"]

[tls]
certificate = "/c.crt"
key = "/c.key"

[acls]
`: {Listen: ":4001", ReadOnly: true, Endpoints: []string{"http://127.0.0.1:2379"}, Certificates: []string{"/c.crt"}, Keys: []string{"/c.key"}, ProxyCertificate: "/p.crt", ProxyKey: "/p.key", MaxBody: 10 << 20},
		`listen = ":4001"

[upstream]
endpoints = ["https://etcd1:2379", "http://etcd2:2379"]
# ca = "..." # nginx did not verify etcd's certificate; now the system's CAs do
certificate = "/p.crt"
key = "/p.key"

[tls]
certificate = ["/a.crt", "/b.crt"]
key = ["/a.key", "/b.key"]

[auth]
htpasswd = [
  "/h/_",
  "/h/<a>&\"b\"",
]

[limits]
body_bytes = 1 # nginx's client_max_body_size

[acls]
"/" = ["root"]
"/open" = []
"/secret" = { read = ["root"], write = ["alice", "root"] }
"/secret/x" = { read = [], write = ["root"] }
`: {Listen: ":4001", HTTP2: true, Endpoints: []string{"https://etcd1:2379", "http://etcd2:2379"}, Certificates: []string{"/a.crt", "/b.crt"}, Keys: []string{"/a.key", "/b.key"}, ProxyCertificate: "/p.crt", ProxyKey: "/p.key", MaxBody: 1,
			Rules: []Rule{
				{Prefix: "/", Read: acl.Everyone(), Write: acl.Only("root"), File: "/h/_"}, {Prefix: "/open", Read: acl.Everyone(), Write: acl.Everyone()},
				{Prefix: "/secret", Read: acl.Only("root"), Write: acl.Only("root", "alice"), File: "/h/<a>&\"b\""}, {Prefix: "/secret/x", Read: acl.Everyone(), Write: acl.Only("root"), File: "/h/_"},
			}},
	} {
		if got := s.Config(acl.MatchSegments); got != want {
			t.Errorf("the configuration: got\n%s\nwant\n%s", got, want)
		}
		const match = "match = \"both\" # opens nothing that nginx refused; use \"segment\" once the audit log is quiet\n"
		both := strings.Replace(want, "\nhttp2", "\n"+match+"http2", 1)
		if s.HTTP2 {
			both = strings.Replace(want, "\n", "\n"+match, 1)
		}
		if got := s.Config(acl.MatchBoth); got != both {
			t.Errorf("the configuration with both readings: got\n%s\nwant\n%s", got, both)
		}
	}
	verified := &Site{Endpoints: []string{"https://etcd1:2379"}, Certificates: []string{"c"}, Keys: []string{"k"}, Verifies: true, ServerName: "etcd1"}
	if got := verified.Config(acl.MatchSegments); !strings.Contains(got, "endpoints = [\"https://etcd1:2379\"]\nserver_name = \"etcd1\"\n\n[tls]") {
		t.Errorf("the configuration for an etcd that the system's CAs verify: got\n%s", got)
	}
}

func TestTheFindingsForPeople(t *testing.T) {
	r := &Report{
		Assumed: []string{"a default"}, Conflicts: []string{"a conflict"},
		Differences: []Difference{
			{Class: "x", Effect: Refused, What: "one", Why: "because", Everyone: true, But: []string{"root"}, Rules: []string{"/a", "/b"}},
			{Class: "x", Effect: Allowed, What: "two", Why: "because", Everyone: true, Rules: []string{"/a"}},
			{Class: "x", Effect: Refused, What: "three", Why: "for another reason", Users: []string{"root", "alice"}},
			{Class: "y", Effect: Answered, What: "four", Why: "for another reason"},
		},
	}
	const want = `assumed: a default
conflict: a conflict
what will differ, by kind:

x: because
  refused now: one, for everyone except root; by rule /a, /b
  allowed now: two, for everyone; by rule /a

x: for another reason
  refused now: three, for root, alice

y: for another reason
  answered differently: four
`
	var b strings.Builder
	if err := r.WriteFindings(&b); err != nil || b.String() != want {
		t.Errorf("the findings: got\n%s\n%v; want\n%s", b.String(), err, want)
	}
	if got := ReadPools([]byte("eqiad/a\n\n# x\n  codfw/b \n#\n")); !slices.Equal(got, []string{"eqiad/a", "codfw/b"}) {
		t.Errorf("ReadPools: got %q, want eqiad/a and codfw/b", got)
	}
}
