package siteimport

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"etcd-tlsproxy/acl"
)

func hieraOf(text string) Source { return Source{Name: "h.yaml", Data: []byte(text)} }

const seedHiera = `profile::etcd::tlsproxy::cert_name: "etcd.%{::domain}"
profile::etcd::tlsproxy::acls: { /: ["root"], /conftool: ["root", "conftool"], /eventlogging: []}
other::class: { x: 1 }
`

func TestOfSeveralHieraFilesTheFirstCounts(t *testing.T) {
	s, err := ReadHiera(HieraOptions{Passwords: "/p", Domain: "example.org"}, hieraOf("profile::etcd::tlsproxy::read_only: false\n"), hieraOf(seedHiera+"profile::etcd::tlsproxy::read_only: true\nprofile::etcd::tlsproxy::listen_port: 2379\n"), hieraOf(""), hieraOf("# nothing\n"), hieraOf("---\n...\n"), hieraOf("~\n"))
	if err != nil {
		t.Fatal(err)
	}
	if s.ReadOnly || s.Listen != ":2379" || s.Certificates[0] != "/etc/ssl/localcerts/etcd.example.org.chained.crt" ||
		len(s.Rules) != 3 || !s.Redirects || len(s.Assumed) != 1 {
		t.Errorf("got %+v, want the first value of each parameter", s)
	}
	if s.Rules[1].File != "/p/_conftool.htpasswd" || s.Rules[2].File != "" || !s.Rules[2].Write.IsEveryone() {
		t.Errorf("rules: got %+v, want a file for /conftool and none for /eventlogging", s.Rules)
	}
}

func TestHieraIsReadStrictly(t *testing.T) {
	const p = "profile::etcd::tlsproxy::"
	for text, says := range map[string]string{
		"":                        "no file has profile::etcd::tlsproxy::acls",
		p + "acls: {/: [root]}\n": "cert_name",
		p + "acls: {/: [root]}\n" + p + "acls: {}\n":                         "already defined",
		p + "acls: {/: [root], /: []}\n" + p + "cert_name: x\n":              "already defined",
		p + "acls: {/: }\n" + p + "cert_name: x\n":                           "the value is not a list",
		p + "acls: {/: root}\n" + p + "cert_name: x\n":                       "the value is not a list",
		p + "acls: {/: [1]}\n" + p + "cert_name: x\n":                        "a user name is not a string",
		p + "acls: {/: [true]}\n" + p + "cert_name: x\n":                     "a user name is not a string",
		p + "acls: {/: ['a:b']}\n" + p + "cert_name: x\n":                    "colon",
		p + "acls: {/a/: [root]}\n" + p + "cert_name: x\n":                   "empty segment",
		p + "acls: {}\n" + p + "acl: {}\n":                                   "h.yaml:2: profile::etcd::tlsproxy::acl is not supported",
		p + "acls:\n":                                                        "has no value",
		p + "acls: {}\n" + p + "cert_name: '%{lookup(x)}'\n":                 "is not supported",
		p + "acls: {}\n" + p + "cert_name: x\n" + p + "listen_port: 70000":   "between 1 and 65535",
		p + "acls: {}\n" + p + "cert_name: x\n" + p + "tls_upstream: true":   "--host",
		p + "acls: {}\n" + p + "cert_name: x\n" + p + "read_only: perhaps\n": "h.yaml:3: profile::etcd::tlsproxy::read_only is neither true nor false",
		"a: [":              "h.yaml",
		"a: 1\n---\nb: 2\n": "second document",
	} {
		if _, err := ReadHiera(HieraOptions{}, hieraOf(text)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want %q for\n%s", err, says, text)
		}
	}
	for _, pools := range [][]string{{"eqiad"}, {"eqiad/"}, {"a/b/c"}, {"a/b", "a/b"}} {
		if _, err := ReadHiera(HieraOptions{Pools: pools}, hieraOf(seedHiera)); err == nil {
			t.Errorf("pools %v: got no error", pools)
		}
	}
}

func TestHieraIsInterpolatedOrRefused(t *testing.T) {
	const p = "profile::etcd::tlsproxy::"
	text := p + "cert_name: 'etcd-%{::site}.%{facts.domain}'\n" + p + "acls: {'/pools/%{::site}': ['pool-%{site}'], '/%{facts.realm}': []}\n"
	s, err := ReadHiera(HieraOptions{Domain: "example.org", Facts: map[string]string{"site": "eqiad", "realm": "production"}}, hieraOf(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Rules) != 2 || s.Rules[0].Prefix != "/pools/eqiad" || !s.Rules[0].Write.Has("pool-eqiad") || s.Rules[1].Prefix != "/production" || !strings.Contains(s.Certificates[0], "/etcd-eqiad.example.org.") {
		t.Errorf("got %+v, want the facts in prefixes, users and certificate", s)
	}
	const cert = p + "cert_name: x\n"
	for text, says := range map[string]string{
		p + "cert_name: 'x-%{::site}'\n" + p + "acls: {}\n":                   "cert_name needs the value of site (hint: give it with --fact site=VALUE)",
		cert + p + "acls: {'/%{::site}': []}\n":                               "needs the value of site",
		cert + p + "acls: {'/a': ['%{::site}']}\n":                            "needs the value of site",
		cert + p + "acls: {'/%{::domain}': []}\n":                             "needs the value of domain",
		cert + p + "acls: {'/%{lookup(''x'')}': []}\n":                        "is not supported",
		cert + p + "acls: {'/a': [\"%{literal('%')}{x}\"]}\n":                 "is not supported",
		cert + p + "acls: {'/%{realm}': [], '/production': []}\n":             "two prefixes become /production",
		cert + p + "acls: {'/a': ['%{colon}']}\n":                             "colon",
		cert + "lookup_options: {" + p + "acls: {merge: hash}}\n":             "h.yaml:2: lookup_options for profile::etcd::tlsproxy::* is not supported",
		cert + "lookup_options: {'^profile::.*': {merge: hash}}\n":            "lookup_options",
		cert + "lookup_options: [x]\n":                                        "lookup_options",
		cert + "lookup_options: {other::class: {merge: hash}}\n" + p + "x: y": p + "x is not supported",
	} {
		if _, err := ReadHiera(HieraOptions{Facts: map[string]string{"realm": "production", "colon": "a:b"}}, hieraOf(text)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want %q for\n%s", err, says, text)
		}
	}
}

func TestPasswordsThatDoNotFitAreConflicts(t *testing.T) {
	table := "profile::etcd::tlsproxy::cert_name: x\nprofile::etcd::tlsproxy::acls: {/: [root], /a/b: [root, alice], /a_b: [root], /c: [bob]}\n"
	s, err := ReadHiera(HieraOptions{Passwords: "/p"}, hieraOf(table))
	if err != nil {
		t.Fatal(err)
	}
	other := strings.Replace(hash, "saltsalt", "saltsal2", 1)
	content := map[string]string{"/p/_.htpasswd": "root:" + hash + "\n", "/p/_a_b.htpasswd": "root:" + other + "\nmallory:" + hash + "\n"}
	err = s.CheckPasswords(func(name string) ([]byte, error) {
		if text, ok := content[name]; ok {
			return []byte(text), nil
		}
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	})
	if err != nil {
		t.Fatal(err)
	}
	report := strings.Join(append(s.Conflicts, s.Assumed...), "\n")
	for _, says := range []string{
		"the rules /a/b and /a_b share the htpasswd file /p/_a_b.htpasswd", `/p/_a_b.htpasswd:1: user "root": /p/_.htpasswd:1 has another password for this user`,
		`rule /a/b names user "alice", who is not in /p/_a_b.htpasswd`, `user "mallory" is in /p/_a_b.htpasswd but not in rule /a_b`, "1 of 3 htpasswd files are missing",
	} {
		if !strings.Contains(report, says) {
			t.Errorf("report: got\n%s\nwant %q", report, says)
		}
	}
	if strings.Contains(report, "$apr1") {
		t.Errorf("report: got\n%s\nwant no hash", report)
	}
}

func TestAReadOnlyTableDiffersInNoWriteOfKeys(t *testing.T) {
	s, err := ReadHiera(HieraOptions{}, hieraOf(seedHiera+"profile::etcd::tlsproxy::read_only: true\n"))
	if err != nil {
		t.Fatal(err)
	}
	differences, err := s.Differences(acl.MatchSegments)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range differences {
		if d.Class == RawPrefix || d.Class == RulesBelow || d.Class == Redirect {
			t.Errorf("got the difference %+v, want none about writes of keys", d)
		}
	}
}

// Ruby lets a merged key win over one that stands before the merge; this library never does.
func TestAMergeOfYAMLThatPuppetReadsDifferentlyIsRefused(t *testing.T) {
	const p, users = "profile::etcd::tlsproxy::", "common: &c { /secret: [root] }\n"
	for text, says := range map[string]string{
		users + p + "acls:\n  /secret: []\n  <<: *c\n":                               "h.yaml:5: a merge with << is not supported",
		users + p + "acls:\n  <<: [*c]\n  /a: []\n":                                  "h.yaml:4: a merge with <<",
		users + "more: &m\n  /secret: []\n  <<: *c\n" + p + "acls: *m\n":             "h.yaml:5: a merge with <<",
		"base: &b { " + p + "read_only: true }\n" + p + "read_only: false\n<<: *b\n": "h.yaml:4: a merge with <<",
		"base: &b { " + p + "read_only: true }\n'<<': *b\n" + p + "acls: {}\n":       "h.yaml:3: a merge with <<",
	} {
		if _, err := ReadHiera(HieraOptions{}, hieraOf(p+"cert_name: x\n"+text)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want %q for\n%s", err, says, text)
		}
	}
	// Aliases, and merges in the parameters of other classes, mean the same to both.
	s, err := ReadHiera(HieraOptions{}, hieraOf(p+"cert_name: x\nadmins: &a [root]\nother::class: &o { x: 1 }\nother::more: { <<: *o }\n"+p+"acls: { /: *a }\n"))
	if err != nil || !s.Rules[0].Write.Has("root") {
		t.Errorf("got %+v, %v, want the aliased list of users", s, err)
	}
}

// No value of these means the same to Puppet and to this import, or to a reader.
func TestAScalarThatPuppetReadsDifferentlyIsRefused(t *testing.T) {
	const p, base = "profile::etcd::tlsproxy::", "profile::etcd::tlsproxy::cert_name: x\nprofile::etcd::tlsproxy::acls: {/: [root]}\n"
	for _, value := range []string{"n", "y", "N", "'no'", `"false"`, "0", "1", "undef", "!!bool 'false'", "[]", "'%{::ro}'", "|\n  false"} {
		for _, name := range []string{"read_only", "tls_upstream"} {
			refusesHiera(t, base+p+name+": "+value+"\n", "h.yaml:3: "+p+name+" is neither true nor false (hint: ")
		}
	}
	for _, value := range []string{"'4001'", "04001", "0o7641", "0xfa1", "66:41", "4_001", "4001.0", "0", "-1", "+1", "65536", "99999999999999999999", "x", "''", "[4001]", "'%{::port}'"} {
		for _, name := range []string{"listen_port", "upstream_port"} {
			refusesHiera(t, base+p+name+": "+value+"\n", "h.yaml:3: "+p+name+" is not a port (hint: write a number between 1 and 65535, without quotes)")
		}
	}
	for _, user := range []string{"yes", "n", "Off", "~", "null", "true", "1", "1_000", "0o7", "1:30", "2001-01-01", ".inf", "1e3", "=", "[root]", "{}", "!!int '1'", "!ruby/sym root"} {
		refusesHiera(t, p+"cert_name: x\n"+p+"acls: {/: [ "+user+" ]}\n", `acls: "/": a user name is not a string (hint: if it is one, write it in quotes)`)
	}
	for _, name := range []string{"yes", "017", "[x]", "17"} {
		refusesHiera(t, p+"cert_name: "+name+"\n"+p+"acls: {}\n", "h.yaml:1: "+p+"cert_name is not a string")
	}
	refusesHiera(t, p+"cert_name: ENC[PKCS7,MIIB]\n", "h.yaml:1: "+p+"cert_name is encrypted")
	refusesHiera(t, p+"acls: {/: ['pool-ENC[PKCS7,MIIB]']}\n"+p+"cert_name: x\n", "a user name is encrypted")
	for value, want := range map[string]bool{"true": true, "Yes": true, "ON": true, "false": false, "no": false, "OFF": false} {
		s, err := ReadHiera(HieraOptions{}, hieraOf(base+p+"read_only: "+value+"\n"))
		if err != nil || s.ReadOnly != want {
			t.Errorf("read_only: %s: got %+v, %v, want read-only: %v", value, s, err, want)
		}
	}
	s, err := ReadHiera(HieraOptions{}, hieraOf("name: &n y\n"+p+"cert_name: '017'\n"+p+"acls: {/: ['yes', \"1\", root, root]}\n"+p+"listen_port: 1\n"+p+"upstream_port: 65535\n"))
	if err != nil || strings.Join(s.Rules[0].Write.Names(), " ") != "1 root yes" || s.Listen != ":1" || s.Endpoints[0] != "http://127.0.0.1:65535" || s.Certificates[0] != "/etc/ssl/localcerts/017.chained.crt" {
		t.Errorf("got %+v, %v, want the quoted words as strings, and the ports", s, err)
	}
}

func refusesHiera(t *testing.T, text, says string) {
	t.Helper()
	if _, err := ReadHiera(HieraOptions{Facts: map[string]string{"ro": "false", "port": "4001"}}, hieraOf(text)); err == nil || !strings.Contains(err.Error(), says) {
		t.Errorf("got %v, want %q for\n%s", err, says, text)
	}
}

// The wrong file can be a secret.
func TestNoErrorAboutHieraRepeatsWhatTheFileContains(t *testing.T) {
	const p, secret = "profile::etcd::tlsproxy::", "hunter2"
	for text, says := range map[string]string{
		"hunter2 hunter2\n":                      "h.yaml:1: the file is not a mapping of keys to values",
		"-----BEGIN hunter2 KEY-----\nhunter2\n": "h.yaml:1: the file is not a mapping",
		"- hunter2\n":                            "h.yaml:1: the file is not a mapping",
		"root:$apr1$hunter2\n":                   "h.yaml:1: the file is not a mapping",
		"x: *hunter2\n":                          "h.yaml: the file is not valid YAML",
		"%hunter2 x\n":                           "the file is not valid YAML",
		"x: 'hunter2\n":                          "the file is not valid YAML",
		"a: 1\nb: [hunter2\n":                    "h.yaml: the file is not valid YAML near line 1",
		"\x00hunter2":                            "h.yaml: the file is not valid YAML",
		"hunter2: 1\nx: 2\nhunter2: 2\n":         "h.yaml:3: this key is already defined at line 1",
		"? [hunter2]\n: x\n":                     "h.yaml:1: a key is not a text",
		p + "acls: hunter2\n":                    "h.yaml:1: " + p + "acls is not a mapping",
		p + "acls: [hunter2]\n":                  "h.yaml:1: " + p + "acls is not a mapping",
		p + "read_only: hunter2\n":               "neither true nor false",
		p + "listen_port: hunter2\n":             "is not a port",
		p + "cert_name: [hunter2]\n":             "is not a string",
		p + "cert_name: ENC[hunter2]\n":          "is encrypted",
	} {
		refusesHiera(t, text, says)
		if _, err := ReadHiera(HieraOptions{}, hieraOf(text)); err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("got %v, want no text of the file", err)
		}
	}
}

func TestNoErrorAboutPoolsRepeatsOne(t *testing.T) {
	for says, pools := range map[string][]string{
		"number 2 of them is not a valid dc/cluster": {"a/b", "root:$apr1$hunter2"}, "there is another rule for number 3 of them": {"hunter2/b", "a/b", "hunter2/b"},
	} {
		if _, err := ReadHiera(HieraOptions{Pools: pools}, hieraOf(seedHiera)); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("pools %v: got %v, want %q", pools, err, says)
		}
	}
}

// The template writes prefixes into nginx's configuration as they are.
func TestAPrefixThatNginxReadsDifferentlyIsRefused(t *testing.T) {
	for _, prefix := range []string{"/a b", "/a;", "/a{", "/a}", "/a$host", "/a%20b", "/a?b", "/a#b"} {
		refusesHiera(t, "profile::etcd::tlsproxy::cert_name: x\nprofile::etcd::tlsproxy::acls: {'"+prefix+"': [root]}\n", `to which nginx gives a meaning, so that the rule was not for this key (hint: `)
	}
	if _, err := ReadHiera(HieraOptions{Pools: []string{"a/b;c"}}, hieraOf(seedHiera)); err == nil || !strings.Contains(err.Error(), "nginx gives a meaning") {
		t.Errorf("a pool: got %v, want a refusal", err)
	}
	if _, err := ReadHiera(HieraOptions{}, hieraOf("profile::etcd::tlsproxy::cert_name: x\nprofile::etcd::tlsproxy::acls: {'/pässe.*(a)|[b]~=@!&+,': [root]}\n")); err != nil {
		t.Errorf("got %v, want no error", err)
	}
}
