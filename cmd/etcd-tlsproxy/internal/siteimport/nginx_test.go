package siteimport

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"etcd-tlsproxy/acl"
)

const hash = "$apr1$saltsalt$OEnK0QmmvoDzFw9W2yFYT/"

// files returns htpasswd files. The name of a file lists its users after the underscore.
func files(name string) ([]byte, error) {
	if !strings.HasPrefix(name, "/etc/nginx/auth_") {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	var data []byte
	for user := range strings.SplitSeq(strings.TrimPrefix(name, "/etc/nginx/auth_"), "+") {
		if user != "" {
			data = fmt.Appendf(data, "%s:%s\n", user, hash)
		}
	}
	return data, nil
}

// site are the files around a site.
var site = NginxFiles{Folder: "/etc/nginx", Read: files, Glob: func(string) ([]string, error) { return nil, nil }, Passwords: files}

// around returns a site with the given locations.
func around(locations string) Source {
	return Source{Name: "site", Data: []byte(`# a site
upstream etcd { server 127.0.0.1:2378; server unix:/run/etcd backup; keepalive 4; }
server { listen 80; return 301 https://$host; }
server {
  listen 4001 ssl; listen [::]:4001 ssl ipv6only=on;
  ssl_certificate "/etc/c.crt"; ssl_certificate_key c.key;
  error_page 401 /401.json; location = /401.json { internal; root '/srv'; }
  ` + locations + `
}`)}
}

const (
	auth  = `auth_basic "etcd"; auth_basic_user_file `
	pass  = ` proxy_pass http://etcd; `
	all   = `location / {` + pass + `} `
	admin = `location /v2/keys/ { limit_except GET OPTIONS { ` + auth + `auth_root; }` + pass + `} `
)

func TestASiteIsReadAsNginxReadsIt(t *testing.T) {
	s, err := ReadNginx(around(all+admin+`
  location /v2/keys/conftool { limit_except GET HEAD { `+auth+`/etc/nginx/auth_root+conftool; } proxy_pass http://etcd/v2/keys/conftool; }
  location ^~ /v2/keys/open { auth_basic off;`+pass+`}
  location /v2/keys/secret/ { `+auth+`auth_root;`+pass+`}
  location ~ ^/v2/keys/whole(/|$) { limit_except GET { `+auth+`auth_w; }`+pass+`}`), site)
	if err != nil {
		t.Fatal(err)
	}
	endpoints := []string{"http://127.0.0.1:2378", "unix:///run/etcd"}
	if s.Listen != ":4001" || s.Certificates[0] != "/etc/c.crt" || s.Keys[0] != "/etc/nginx/c.key" ||
		!slices.Equal(s.Endpoints, endpoints) || !s.Redirects || !s.Elsewhere || !s.Uncovered.IsEveryone() {
		t.Errorf("got %+v, want the addresses and files of the site", s)
	}
	var got []string
	for _, rule := range s.Rules {
		got = append(got, fmt.Sprintf("%s read %v write %v whole %v below %v %s", rule.Prefix, rule.Read.Names(), rule.Write.Names(), rule.Whole, rule.Below, rule.File))
	}
	want := []string{
		"/ read [] write [root] whole false below true /etc/nginx/auth_root", "/conftool read [] write [conftool root] whole false below false /etc/nginx/auth_root+conftool",
		"/open read [] write [] whole false below false ", "/secret read [root] write [root] whole false below true /etc/nginx/auth_root",
		"/whole read [] write [w] whole true below false /etc/nginx/auth_w",
	}
	if !slices.Equal(got, want) {
		t.Errorf("rules: got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if config := s.Config(acl.MatchBoth); !strings.Contains(config, `"/secret" = { read = ["root"], write = ["root"] }`) || !strings.Contains(config, `"/open" = []`) {
		t.Errorf("configuration: got\n%s\nwant the users of /secret and everyone for /open", config)
	}
}

func TestAReadOnlySiteIsReadOnly(t *testing.T) {
	for _, keys := range []string{"", "location /v2/keys/ { limit_except GET { deny all; }" + pass + "}"} {
		s, err := ReadNginx(around("location / { limit_except GET OPTIONS { deny all; }"+pass+"} location /metrics {"+pass+"}"+keys), site)
		if err != nil || !s.ReadOnly || s.Redirects != (keys != "") || len(s.Rules) != 0 || !slices.Equal(s.OpenElsewhere, []string{"/metrics"}) {
			t.Fatalf("got %+v (%v), want a read-only site without rules that opens /metrics", s, err)
		}
		if config := s.Config(acl.MatchBoth); !strings.Contains(config, "read_only = true\n") {
			t.Errorf("configuration: got\n%s\nwant read_only = true", config)
		}
	}
}

func TestWhatIsNotUnderstoodIsRefusedWithItsLine(t *testing.T) {
	refused := func(source Source, says string) {
		t.Helper()
		if _, err := ReadNginx(source, site); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want %q, for\n%s", err, says, source.Data)
		}
	}
	for locations, says := range map[string]string{
		all: "site:4: no location is for keys",
		"":  "site:4: no location passes requests on",
		all + "location /v2/keys/ {\n if ($x) { }" + pass + "}":                                       "site:9: if is not supported",
		"allow 10.0.0.0/8; deny all;" + all + admin:                                                   "site:8: allow 10.0.0.0/8 is not supported",
		"deny 10.0.0.1;" + all + admin:                                                                "a firewall",
		"include more;" + all + admin:                                                                 "include /etc/nginx/more: ",
		"rewrite ^ /;" + all + admin:                                                                  "rewrite is not supported",
		"proxy_set_header Authorization x;" + all + admin:                                             "proxy_set_header is not supported",
		"satisfy any;" + all + admin:                                                                  "satisfy is not supported",
		"listen 4002 ssl;" + all + admin:                                                              "as well as",
		"ssl_verify_client on;" + all + admin:                                                         "client certificates",
		all + admin + "location /v2/keys {" + pass + "}":                                              "two locations are for /, and one rule decides about a key with and without a slash",
		all + "location /v2/keys/ {limit_except GET PUT { deny all; }" + pass + "}":                   "allows PUT",
		all + "location /v2/keys/ {limit_except POST { deny all; }" + pass + "}":                      "without GET",
		all + "location /v2/keys/ {proxy_pass http://etcd/other; }":                                   "another path",
		all + "location /v2/keys/ {proxy_pass http://$up; }":                                          "not supported",
		all + "location /v2/keys/ {proxy_pass http://other; }":                                        "which is not supported",
		all + admin + "location ~ /v2/keys/.*x {" + pass + "}":                                        "the expression",
		all + admin + "location ~* ^/v2/keys/x {" + pass + "}":                                        "location with ~*",
		all + admin + "location /v2/keys/a..b/../x {" + pass + "}":                                    "segment",
		all + admin + "location ~ ^/v2/keys/a {" + pass + "} location /v2/keys/ab {" + pass + "}":     "hidden by the expression for /v2/keys/a",
		all + admin + "location ~ ^/v2/keys/a {" + pass + "} location ~ ^/v2/keys/a/b {" + pass + "}": "hidden by the one for /v2/keys/a",
		all + admin + "location ~ ^/v2/ {" + pass + "}":                                               "begins above",
		all + "location /v2/keys/ {limit_except GET { " + auth + "auth_; }" + pass + "}":              "contains no user",
		all + "location /v2/keys/ {limit_except GET { " + auth + "missing; }" + pass + "}":            "cannot be read",
		all + "location /v2/keys/ {limit_except GET { auth_basic x; }" + pass + "}":                   "has no auth_basic_user_file",
		all + admin + "location /v2/keys/x {limit_except GET { deny all; }" + pass + "}":              "nobody can write /v2/keys/x, which no rule can express",
	} {
		refused(around(locations), says)
	}
	for text, says := range map[string]string{
		"server {": "ends inside", "server }": "unexpected }", "}": "unexpected }", ";": "unexpected ;", "a 'b": "is not closed", `a "b\"";`: "backslash", "a 'b'c;": "no blank", "a b": "ends inside of a word",
		"a ${x};": "braces", "a b'c;": "quotes", strings.Repeat("a {", 40): "too deeply", "": "0 servers", "http { auth_basic x; }": "0 servers", "http { invented x; }": "invented is not supported",
	} {
		refused(Source{Name: "site", Data: []byte(text)}, says)
	}
}

func TestReadsThatNothingHereCanRestrictAreConflicts(t *testing.T) {
	s, err := ReadNginx(around(all+admin+"location /metrics {"+auth+"auth_root;"+pass+"}"), site)
	if err != nil {
		t.Fatal(err)
	}
	report, err := s.Report(acl.MatchSegments)
	if err != nil {
		t.Fatal(err)
	}
	want := "reads of /metrics: nginx allowed root (location /metrics at site:8), and this proxy would allow everyone"
	if len(report.Conflicts) != 2 || !strings.Contains(report.Conflicts[1], want) {
		t.Errorf("conflicts: got %q, want that of a single site and one with %q", report.Conflicts, want)
	}
}

func FuzzNginx(f *testing.F) {
	f.Add(string(around(all + admin).Data))
	f.Add("a 'b' { c \"d\"; } # e")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ReadNginx(Source{Name: "site", Data: []byte(text)}, site)
		if err != nil {
			return
		}
		if _, err := s.Report(acl.MatchBoth); err != nil {
			t.Error(err)
		}
	})
}

func TestASiteOnOneFamilyOfAddressesListsTheOther(t *testing.T) {
	for listen, opened := range map[string]string{
		"listen 4001 ssl;":                               "connections over IPv6",
		"listen 0.0.0.0:4001 ssl;":                       "connections over IPv6",
		"listen *:4001 ssl;":                             "connections over IPv6",
		"listen [::]:4001 ssl;":                          "connections over IPv4",
		"listen [::]:4001 ssl ipv6only=on;":              "connections over IPv4",
		"listen [::]:4001 ssl ipv6only=off;":             "",
		"listen 4001 ssl; listen [::]:4001 ssl;":         "",
		"listen 192.0.2.1:4001 ssl;":                     "",
		"listen [::]:4001 ssl; listen 0.0.0.0:4001 ssl;": "",
	} {
		text := strings.Replace(string(around(all+admin).Data), "listen 4001 ssl; listen [::]:4001 ssl ipv6only=on;", listen, 1)
		s, err := ReadNginx(Source{Name: "site", Data: []byte(text)}, site)
		if err != nil {
			t.Fatal(err)
		}
		differences, err := s.Differences(acl.MatchBoth)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, d := range differences {
			if d.Class == Addresses && d.Effect == Allowed {
				got += d.What
			}
		}
		if got != opened {
			t.Errorf("%s: got the difference %q, want %q", listen, got, opened)
		}
	}
}

func TestASiteInFrontOfAnotherServerOfTheSameNginxIsAConflict(t *testing.T) {
	for behind, conflict := range map[string]bool{
		"listen 127.0.0.1:2378;": true,
		"listen 2378;":           true,
		"listen [::1]:9999; listen localhost:2378 default_server;": true,
		"listen unix:/run/etcd;":                                   true,
		"listen 127.0.0.1:9999;":                                   false,
		"listen 127.0.0.2:2378;":                                   false,
		"listen unix:/run/other;":                                  false,
	} {
		source := around(all + admin)
		source.Data = append(source.Data, "\nserver { "+behind+" location / { auth_basic x; auth_basic_user_file auth_root; proxy_pass http://127.0.0.1:1; } }"...)
		s, err := ReadNginx(source, site)
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Contains(strings.Join(s.Conflicts, "\n"), "On this machine that is the server at site:10, whose rules were not imported")
		if got != conflict {
			t.Errorf("%s: got the conflicts %q, want one about this server: %v", behind, s.Conflicts, conflict)
		}
	}
}

func TestWhatASiteCanChangeIsRefusedWithAHint(t *testing.T) {
	for _, locations := range []string{
		"location ~ /\\.ht { deny all; }", "location ~* ^/v2/keys/A { }", "location = /v2/keys/a {" + pass + "}", "location ~ ^/v2 {" + pass + "}",
		"location /v2/keys/a { deny all;" + pass + "}", "location /v2/keys/a { " + auth + "auth_root; limit_except GET { auth_basic_user_file auth_w; }" + pass + "}",
		"location /v2/keys/a { limit_except POST { deny all; }" + pass + "}", "location /v2/keys/a { limit_except GET POST { deny all; }" + pass + "}",
		"location /v2/keys/a { auth_basic $realm;" + pass + "}", "location /v2/keys/a { proxy_pass http://etcd/other; }", "location /v2/keys/a { root /srv; }",
		"location /v2/keys/a { proxy_pass http://192.0.2.1:2379; }", "error_page 401 @login;", "error_page 401 /v2/keys/a;",
		`add_header X "\"a\"";`, `add_header X a\"b;`, `add_header X ${host};`, `server_name "a"b;`,
	} {
		if _, err := ReadNginx(around(all+admin+locations), site); err == nil || !strings.Contains(err.Error(), "(hint: ") {
			t.Errorf("got %v, want a refusal with a hint for\n%s", err, locations)
		}
	}
}
