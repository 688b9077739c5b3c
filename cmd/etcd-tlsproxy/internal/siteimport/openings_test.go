package siteimport

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"etcd-tlsproxy/acl"
)

// A mistake where rules are read would show as one of these conflicts, so the tests give
// rules that were not read of the site.
func TestRulesThatWouldOpenWhatNginxRefusedAreConflicts(t *testing.T) {
	everyone, root := acl.Everyone(), acl.Only("root")
	const (
		keys    = "location /v2/keys/ { " + byRoot + toEtcd + "} "
		rest    = "location / { " + toEtcd + "} "
		ofKeys  = " (location /v2/keys/ at /n/nginx.conf:1), and this proxy would allow "
		add     = " (hint: add a rule for these keys to [acls])"
		nothing = " (hint: this proxy cannot restrict these reads; block them in front of it, if they matter)"
	)
	for _, c := range []struct {
		locations   string
		match       acl.Match
		readOnly    bool
		read, write acl.Group
		want        []string
	}{
		{rest + keys, acl.MatchBoth, false, root, root, nil},
		{rest + keys, acl.MatchBoth, false, everyone, everyone, []string{
			"reads of /v2/keys, /v2/keys/~: nginx allowed root" + ofKeys + "everyone" + add, "writes of /v2/keys, /v2/keys/~: nginx allowed root" + ofKeys + "everyone" + add,
		}},
		{rest + keys, acl.MatchBoth, true, everyone, everyone, []string{"reads of /v2/keys, /v2/keys/~: nginx allowed root" + ofKeys + "everyone" + add}},
		{rest + keys, acl.MatchSegments, false, everyone, everyone, nil},
		{rest + keys, acl.MatchBoth, false, root, acl.Only("root", "alice"), []string{"writes of /v2/keys, /v2/keys/~: nginx allowed root" + ofKeys + "alice, root" + add}},
		{rest + "location /v2/keys/a { " + byRoot + toEtcd + "}", acl.MatchBoth, false, everyone, root, []string{
			"reads of /v2/keys/a, /v2/keys/a/~, /v2/keys/a~: nginx allowed root (location /v2/keys/a at /n/nginx.conf:1), and this proxy would allow everyone" + add,
		}},
		{keys, acl.MatchBoth, false, root, root, []string{
			"reads of /v2/members, /v2/members/~, /v2/machines, /v2/stats/self, /v2/stats/store, /v2/stats/leader, /version, /health, /metrics: nginx allowed no one (no location), and this proxy would allow everyone" + nothing,
		}},
		{rest + "location /metrics { proxy_pass http://other:1; } location /v2/members/x { " + byAlice + toEtcd + "} " + keys, acl.MatchBoth, false, root, root, []string{
			"reads of /v2/members/x, /v2/members/x~, /v2/members/x/~: nginx allowed alice (location /v2/members/x at /n/nginx.conf:1), and this proxy would allow everyone" + nothing,
			"reads of /metrics: nginx allowed no one (location /metrics at /n/nginx.conf:1), and this proxy would allow everyone" + nothing,
		}},
	} {
		s, err := readWhole(configuration("", "", c.locations), more)
		if err != nil {
			t.Fatal(err)
		}
		s.ReadOnly = c.readOnly
		rules, err := acl.NewRules(c.match, acl.Rule{Prefix: acl.Root, Read: c.read, Write: c.write})
		if err != nil {
			t.Fatal(err)
		}
		if got := s.openings(rules); !slices.Equal(got, c.want) {
			t.Errorf("conflicts of rules for %s and %s with %s: got\n%s\nwant\n%s", nameGroup(c.read), nameGroup(c.write), c.locations, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
	groups := []acl.Group{everyone, acl.Only(), root, acl.Only("root", "alice"), acl.Only("alice")}
	for _, outer := range groups {
		for _, inner := range groups {
			want := true
			for _, user := range []string{"", "root", "alice", "mallory"} {
				want = want && (!inner.Has(user) || outer.Has(user))
			}
			if got := contains(outer, inner); got != want {
				t.Errorf("%s contains %s: got %t, want %t", nameGroup(outer), nameGroup(inner), got, want)
			}
		}
	}
}

func TestWhatHieraSaysOfAddresses(t *testing.T) {
	const p = "profile::etcd::tlsproxy::"
	const table = p + "cert_name: x\n" + p + "acls: { /a: [root, root] }\n" + p + "salt: secret\n" + p + "pool_pwd_seed: secret\n"
	for text, want := range map[string]string{
		"": ":4001 http://127.0.0.1:2379 read-only false open [] assumed listen_port is not given; using 4001; upstream_port is not given; using 2379; read_only is not given; writes are allowed",
		p + "listen_port: 1\n" + p + "upstream_port: 65535\n" + p + "read_only: false\n":                           ":1 http://127.0.0.1:65535 read-only false open [] assumed ",
		p + "listen_port: 65535\n" + p + "upstream_port: 1\n" + p + "read_only: true\n":                            ":65535 http://127.0.0.1:1 read-only true open [/metrics] assumed ",
		p + "listen_port: 1\n" + p + "upstream_port: 2\n" + p + "tls_upstream: true\n" + p + "read_only: false\n":  ":1 https://conf1001:2 read-only false open [] assumed ",
		p + "listen_port: 1\n" + p + "upstream_port: 2\n" + p + "tls_upstream: false\n" + p + "read_only: false\n": ":1 http://127.0.0.1:2 read-only false open [] assumed ",
		p + "listen_port: 0\n":                                "error",
		p + "listen_port: 65536\n":                            "error",
		p + "listen_port: 1\n" + p + "upstream_port: 0\n":     "error",
		p + "listen_port: 1\n" + p + "upstream_port: 65536\n": "error",
	} {
		s, err := ReadHiera(HieraOptions{Host: "conf1001"}, hieraOf(table+text))
		got := "error"
		if err == nil {
			got = fmt.Sprintf("%s %s read-only %t open %v assumed %s", s.Listen, strings.Join(s.Endpoints, " "), s.ReadOnly, s.OpenElsewhere, strings.Join(s.Assumed, "; "))
			if !s.Elsewhere || s.Redirects || !slices.Equal(s.Rules[0].Write.Names(), []string{"root"}) || len(s.Conflicts) > 0 {
				t.Errorf("%s\ngot %+v, want a site that passes on other paths, with one rule", text, s)
			}
		}
		if got != want {
			t.Errorf("%s\ngot %s\nwant %s", text, got, want)
		}
	}
	for _, name := range []string{"a/b", "'../x'"} {
		if _, err := ReadHiera(HieraOptions{}, hieraOf(p+"cert_name: "+name+"\n"+p+"acls: {}\n")); err == nil || !strings.Contains(err.Error(), "contains a slash") {
			t.Errorf("cert_name %s: got the error %v, want one about the slash", name, err)
		}
	}
}

func TestRulesOfPoolsAreGenerated(t *testing.T) {
	s, err := ReadHiera(HieraOptions{Passwords: "/p", Domain: "example.org", Pools: []string{"eqiad/appserver"}}, hieraOf(seedHiera))
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(s.Rules, func(r Rule) bool { return r.Prefix == "/conftool/v1/pools/eqiad/appserver" })
	if i < 0 || !slices.Equal(s.Rules[i].Write.Names(), []string{"conftool", "pool-eqiad-appserver", "root"}) || s.Rules[i].File != "/p/_conftool_v1_pools_eqiad_appserver.htpasswd" {
		t.Errorf("the rule of a pool: got %+v, want one for its users", s.Rules)
	}
	for _, pool := range []string{"", "/", "/a", "a/", "a", "a/b/c"} {
		if _, err := ReadHiera(HieraOptions{Domain: "example.org", Pools: []string{pool}}, hieraOf(seedHiera)); err == nil || !strings.Contains(err.Error(), "is not a valid dc/cluster") {
			t.Errorf("the pool %q: got the error %v, want one about its form", pool, err)
		}
	}
}

func TestAUserOfHieraIsNotTheDomain(t *testing.T) {
	const p = "profile::etcd::tlsproxy::"
	if _, err := ReadHiera(HieraOptions{}, hieraOf(p+"cert_name: x\n"+p+"acls: { /a: ['%{domain}'] }\n")); err == nil || !strings.Contains(err.Error(), "needs the value of domain") {
		t.Errorf("a user that is the domain, which is not given: got the error %v, want one that names it", err)
	}
	if _, err := ReadHiera(HieraOptions{}, hieraOf("{")); err == nil {
		t.Error("hiera that is not YAML: got no error")
	}
}

// nested returns a configuration of blocks in blocks.
func nested(depth int) string { return strings.Repeat("a { ", depth) + strings.Repeat("} ", depth) }

func TestTheGrammarOfDirectives(t *testing.T) {
	for text, want := range map[string]string{
		"a b;": "1:a b", "a\tb\r\n;\nc d;": "1:a b, 3:c d", "# x\na;": "2:a", "a; # x": "1:a", "#": "", " \n\t\r": "", "a;b;": "1:a, 1:b",
		"a 'b c' \"d;e\";": "1:a b c d;e", "a '';": "1:a ", "a 'x\ny';\nb;": "1:a x\ny, 3:b", "a ';';": "1:a ;", "a '}' '{';": "1:a } {", "a $b;": "1:a $b", "a b$;": "1:a b$", `a \.b;`: `1:a \.b`,
		"a{b;}": "1:a { 1:b }", "a {} b;": "1:a { }, 1:b", "'a' 'b';": "1:a b", "'a'{}": "1:a { }", "'a';": "1:a", "a b=c;": "1:a b=c", "a|b <c>;": "1:a|b <c>",
		"a 'b'": "error", "a": "error", "a b": "error", "a b$ {": "error", "a b${c};": "error", "a ${b;": "error", "a b${ ;": "error", "a b${": "error", "a b$ { } ": "1:a b$ { }", "a b}c;": "error", "a 'b'c;": "error", "a b'c;": "error", `a b"c;`: "error",
		`a b\ c;`: "error", `a b\;`: "error", `a b\t;`: "error", `a \n;`: "error", `a '\'';`: "error", "a 'b": "error", "a '": "error", "}": "error", "a { b }": "error", "a }": "error", ";": "error", "{ }": "error", "a { ": "error", "a { b;": "error", "a_by_lua_block { }": "error",
		nested(16): strings.TrimSuffix(strings.Repeat("1:a { ", 16)+strings.Repeat("} ", 16), " "), nested(17): "error",
	} {
		list, err := parseNginx(Source{Name: "f", Data: []byte(text)})
		got := "error"
		if err == nil {
			got = written(list)
		}
		if got != want {
			t.Errorf("parsing %q: got %q (%v), want %q", text, got, err, want)
		}
	}
}

func written(list []*directive) string {
	var all []string
	for _, d := range list {
		text := fmt.Sprintf("%d:%s", d.line, strings.Join(d.words, " "))
		if d.block != nil {
			inner := written(d.block)
			if inner != "" {
				inner += " "
			}
			text += " { " + inner + "}"
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

func TestFilesAreIncludedInTheOrderAndDepthOfNginx(t *testing.T) {
	content := map[string]string{"/n/b/2": "two;", "/n/b/1": "one;", "/n/b/.x": "hidden;", "/n/.h/1": "inner;", "/n/types": "a b;", "/n/empty": "", "/n/inner": "in;"}
	for i := range 20 {
		content[fmt.Sprint("/n/deep", i)] = fmt.Sprintf("include deep%d;", i+1)
	}
	content["/n/deep20"] = "end;"
	expand := func(text string) (string, error) {
		list, err := parseNginx(Source{Name: "f", Data: []byte(text)})
		if err != nil {
			t.Fatal(err)
		}
		list, err = (&includer{files: folderOf(content), folder: "/n"}).expand(list, 0)
		return written(list), err
	}
	for text, want := range map[string]string{
		"include b/*; x;": "1:one, 1:two, 1:x", "include /n/b/?;": "1:one, 1:two", "include b/.*;": "1:hidden", "include */1;": "1:one", "include .*/1;": "1:inner", "include c/*;": "",
		"a { include inner; }": "1:a { 1:in }", "a { include empty; }": "1:a { }", "types { include types; }": "1:types { 1:include types }", "map { include types; }": "1:map { 1:include types }", "a { include types; }": "1:a { 1:a b }",
		"include deep5;": "1:end",
	} {
		if got, err := expand(text); err != nil || got != want {
			t.Errorf("expanding %q: got %q, %v; want %q", text, got, err, want)
		}
	}
	for text, says := range map[string]string{
		"include deep4;": "too deeply", "include;": "one value", "include a b;": "one value", "include a { }": "one value", "include missing;": "include /n/missing: ", "include [a]*;": "brackets", `include a\d*;`: "brackets", "a { include missing; }": "missing", "include '';": "include : ",
	} {
		if got, err := expand(text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("expanding %q: got %q and the error %v, want %q", text, got, err, says)
		}
	}
	broken := NginxFiles{Glob: func(string) ([]string, error) { return nil, errors.New("no folder") }, Read: func(string) ([]byte, error) { return nil, fs.ErrNotExist }}
	if _, err := (&includer{files: broken, folder: "/n"}).expand([]*directive{{words: []string{"include", "*"}, file: "f", line: 1}}, 0); err == nil || !strings.Contains(err.Error(), "include /n/*: no folder") {
		t.Errorf("expanding a pattern in a folder that cannot be read: got the error %v, want it", err)
	}
	for text, want := range map[string]bool{"http { }": true, "events { } x;": true, "server { }": false, "": false} {
		list, err := parseNginx(Source{Name: "f", Data: []byte(text)})
		if err != nil {
			t.Fatal(err)
		}
		if got := isWhole(list); got != want {
			t.Errorf("%q is a whole configuration: got %t, want %t", text, got, want)
		}
	}
	for _, c := range []struct {
		name, pattern string
		want          bool
	}{{"/a/.b", "/a/*", true}, {"/a/.b", "/a/.*", false}, {"/.a/b", "/*/b", true}, {"/.a/b", "/.a/*", false}, {"/a/b", "/a/*", false}, {"/a/b/.c", "/a", false}} {
		if got := hidden(c.name, c.pattern); got != c.want {
			t.Errorf("%s is hidden from %s: got %t, want %t", c.name, c.pattern, got, c.want)
		}
	}
}

func TestALocationForOtherPathsIsListedIfItAnswers(t *testing.T) {
	for block, listed := range map[string]bool{
		"location /api/ { rewrite ^/api/(.*) /v2/keys/$1 break; " + toEtcd + "}": true, "location /ui { return 200 x; }": true, "location = / { return 301 /v2/keys/; }": true,
		"location /x { root /srv; }": true, "location /x { }": true, "location /x { return; }": true, "location ^~ /x { deny 192.0.2.1; allow all; }": true, "location /x { allow 192.0.2.1; deny all; }": true,
		"location /x { allow all; deny all; }": true, "location /x { internal; root /srv; }": false, "location /x { return 403; }": false, "location /x { return 503 x; }": false,
		"location /x { deny all; }": false, "location /x { deny all; allow all; }": false, "location @x { return 200; }": false,
	} {
		s, err := readWhole(configuration("", "", guarded+block), nil)
		if err != nil {
			t.Fatal(err)
		}
		differences, err := s.Differences(acl.MatchBoth)
		if err != nil {
			t.Fatal(err)
		}
		name, _, _ := strings.Cut(block, " {")
		got := slices.ContainsFunc(differences, func(d Difference) bool {
			return d.Class == Elsewhere && d.Effect == Refused && d.What == "requests for "+name+" at /n/nginx.conf:1"
		})
		if got != listed {
			t.Errorf("%s: got the differences %+v, want one about it: %v", block, differences, listed)
		}
	}
	for around, listed := range map[string]bool{"deny all; ": false, "allow all; ": true} {
		if s, err := readWhole(configuration("", around, "location / { allow all; "+toEtcd+"} location /v2/keys/ { allow all; "+byRoot+toEtcd+"} location /x { } location /y { }"), nil); err != nil ||
			(len(s.noted) == 1 && s.noted[0].What == "requests for location /x at /n/nginx.conf:1, location /y at /n/nginx.conf:1") != listed {
			t.Errorf("%s: got %+v, %v, want a difference: %v", around, s, err, listed)
		}
	}
}
