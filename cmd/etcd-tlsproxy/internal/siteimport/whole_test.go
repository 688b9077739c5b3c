package siteimport

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"etcd-tlsproxy/acl"
)

// folderOf returns access to files that exist only in memory.
func folderOf(content map[string]string) NginxFiles {
	read := func(name string) ([]byte, error) {
		if text, ok := content[name]; ok {
			return []byte(text), nil
		}
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	glob := func(pattern string) (names []string, err error) {
		for name := range content {
			if ok, err := filepath.Match(pattern, name); err != nil {
				return nil, err
			} else if ok {
				names = append(names, name)
			}
		}
		return names, nil
	}
	return NginxFiles{Folder: "/n", Read: read, Glob: glob, Passwords: read}
}

const (
	oneServer = "server { listen 4001 ssl; ssl_certificate c.crt; ssl_certificate_key c.key; "
	guarded   = "location / { proxy_pass http://etcd; } location /v2/keys/ { limit_except GET { auth_basic x; auth_basic_user_file users; } proxy_pass http://etcd; } "
	wholeSite = "events {} http { upstream etcd { server 127.0.0.1:2379; } " + oneServer + guarded + "} }"
)

// readWhole reads a whole configuration in a folder with other files.
func readWhole(text string, others map[string]string) (*Site, error) {
	content := map[string]string{"/n/users": "root:" + hash + "\n", "/n/nginx.conf": text}
	for name, other := range others {
		content[name] = other
	}
	return ReadNginx(Source{Name: "/n/nginx.conf", Data: []byte(text)}, folderOf(content))
}

func TestIncludesAreFollowedAsByNginx(t *testing.T) {
	text := "events {} http { include conf.d/*.conf; upstream etcd { include servers; } " + oneServer + "include /elsewhere/locations; } }"
	s, err := readWhole(text, map[string]string{
		"/n/conf.d/a.conf": "client_max_body_size 2m;", "/n/conf.d/b.conf": "include types;", "/n/types": "types { a/b c; }",
		"/n/conf.d/.hidden.conf": "deny all;", "/n/conf.d/other": "deny all;", "/n/servers": "server 127.0.0.1:2379;", "/elsewhere/locations": guarded,
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Rules) != 1 || !slices.Equal(s.Rules[0].Write.Names(), []string{"root"}) || s.MaxBody != 2<<20 || s.Certificates[0] != "/n/c.crt" || s.Rules[0].File != "/n/users" ||
		!slices.Equal(s.Endpoints, []string{"http://127.0.0.1:2379"}) || len(s.Assumed) != 0 {
		t.Errorf("got %+v, want what the included files say, and nothing assumed", s)
	}
}

func TestASiteInFrontOfAStreamOfTheSameNginxIsAConflict(t *testing.T) {
	for block, want := range map[string]bool{
		"stream { server { listen 127.0.0.1:2379; deny 192.0.2.0/24; proxy_pass 192.0.2.1:2379; } }": true,
		"stream { upstream x { server 127.0.0.1:2379; } server { listen 2370-2379; } }":              true,
		"stream { server { listen 127.0.0.1:2378; } }":                                               false,
		"mail { server { listen 127.0.0.1:2379; } }":                                                 false,
	} {
		s, err := readWhole(block+configuration("", "", guarded), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(strings.Join(s.Conflicts, "\n"), "requests are passed to http://127.0.0.1:2379. On this machine that is the server at /n/nginx.conf:1"); got != want {
			t.Errorf("%s: got the conflicts %q, want one about this server: %v", block, s.Conflicts, want)
		}
	}
}

func TestWhatStandsAroundAServerCounts(t *testing.T) {
	refused := func(text, says string, others map[string]string) {
		t.Helper()
		if _, err := readWhole(text, others); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want %q, for\n%s", err, says, text)
		}
	}
	for inside, says := range map[string]string{
		"invented on;":                                      "/n/nginx.conf:1: invented is not supported: it is not a directive that import knows",
		"limit_req zone=z;":                                 "limit_req is not supported",
		"limit_conn z 1;":                                   "limit_conn is not supported",
		"access_by_lua_file x.lua;":                         "access_by_lua_file is not supported",
		"access_by_lua_block { x }":                         "access_by_lua_block is not supported",
		"auth_jwt x;":                                       "auth_jwt is not supported",
		"proxy_method GET;":                                 "proxy_method is not supported",
		"proxy_set_body x;":                                 "proxy_set_body is not supported",
		"proxy_set_header Authorization x;":                 "proxy_set_header is not supported",
		"proxy_set_header Content-Type x;":                  "proxy_set_header is not supported",
		"proxy_ssl_password_file x;":                        "it changes how nginx and etcd identify each other",
		"ssl_verify_client on;":                             "client certificates",
		"deny all;":                                         "denying all reads",
		"allow 10.0.0.0/8; deny all;":                       "rules for addresses",
		"include missing;":                                  "include /n/missing: /n/missing: file does not exist",
		"include a b;":                                      "include should have one value",
		"include [ab];":                                     "brackets",
		"include nginx.conf;":                               "files include each other too deeply",
		"include bad;":                                      "/n/bad:2: invented is not supported",
		"include broken;":                                   "/n/broken:1: there is an unexpected }",
		"error_page 403 @pass;":                             "an error_page that names a location",
		"error_page 403 /v2/keys/a;":                        "an error_page that is passed to etcd",
		"client_max_body_size x;":                           "not a valid size",
		"server { listen 4001; return 403; }":               "this server is on port 4001 too",
		"server { listen 4002 ssl; location /v2/keys/ {} }": "there are 2 servers",
		"upstream u { invented; }":                          "invented is not supported",
	} {
		refused("events {} http { "+inside+" upstream etcd { server 127.0.0.1:2379; } "+oneServer+guarded+"} }", says, map[string]string{"/n/bad": "\ninvented on;", "/n/broken": "}"})
	}
	refused(strings.Replace(wholeSite, "server {", "server { ssl_certificate b.crt;", 1), "the numbers of ssl_certificate and ssl_certificate_key differ", nil)
	refused("invented on; "+wholeSite, "invented is not supported", nil)
	refused(strings.Replace(wholeSite, "location / {", "location /static/ { invented on; } location / {", 1), "invented is not supported", nil)
	refused(strings.Replace(wholeSite, "location / {", "location / { invented on;", 1), "invented is not supported", nil)
	_, err := readWhole("events {} http { one on; two on; }", nil)
	if err == nil || !strings.Contains(err.Error(), "one is not") || !strings.Contains(err.Error(), "two is not") {
		t.Errorf("got %v, want both unknown directives", err)
	}
}

func TestOtherServersDoNotCount(t *testing.T) {
	s, err := readWhole(strings.Replace(wholeSite, "http {", "http { server { listen 443 ssl; invented on; } server { return 403; }", 1), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Assumed) != 2 || !strings.Contains(s.Assumed[0], "another port") || len(s.Rules) != 1 {
		t.Errorf("got %+v, want the one server with keys, and two notes on the others", s)
	}
}

func TestAllCertificatesOfAServerAreTakenOver(t *testing.T) {
	for text, want := range map[string]string{
		wholeSite: "certificate = \"/n/c.crt\"\nkey = \"/n/c.key\"\n",
		// Those of a server replace those around it, and each has its key.
		strings.NewReplacer("http {", "http { ssl_certificate outer.crt; ssl_certificate outer2.crt;",
			"ssl_certificate c.crt; ssl_certificate_key c.key;",
			"ssl_certificate c.crt; ssl_certificate_key c.key; ssl_certificate_key rsa.key; ssl_certificate /etc/rsa.crt;").Replace(wholeSite): "certificate = [\"/n/c.crt\", \"/etc/rsa.crt\"]\nkey = [\"/n/c.key\", \"/n/rsa.key\"]\n",
	} {
		s, err := readWhole(text, nil)
		if err != nil {
			t.Errorf("importing the certificates of\n%s\ngot %v, want no error", text, err)
			continue
		}
		if got := s.Config(acl.MatchBoth); !strings.Contains(got, want) {
			t.Errorf("importing the certificates of\n%s\ngot\n%s\nwant in it\n%s", text, got, want)
		}
	}
}

func TestTheCertificateForEtcdIsTakenOver(t *testing.T) {
	text := strings.NewReplacer("http://etcd", "https://etcd", "http {", "http { proxy_ssl_certificate proxy.crt; proxy_ssl_certificate_key /etc/proxy.key;").Replace(wholeSite)
	s, err := readWhole(text, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := s.Config(acl.MatchBoth), "certificate = \"/n/proxy.crt\"\nkey = \"/etc/proxy.key\"\n"; !strings.Contains(got, want) {
		t.Errorf("importing\n%s\ngot\n%s\nwant in it\n%s", text, got, want)
	}
}

func TestLimitsAndVerificationAreTakenOver(t *testing.T) {
	config := func(text string) string {
		t.Helper()
		s, err := readWhole(text, nil)
		if err != nil {
			t.Fatal(err)
		}
		return s.Config(acl.MatchBoth)
	}
	if got := config(wholeSite); !strings.Contains(got, "\nbody_bytes = 1048576 ") {
		t.Errorf("configuration: got\n%s\nwant nginx's default limit of bodies", got)
	}
	for size, want := range map[string]bool{"0": false, "20m": false, "10M": false, "512k": true, "4096": true} {
		got := config(strings.Replace(wholeSite, "http {", "http { client_max_body_size "+size+";", 1))
		if strings.Contains(got, "body_bytes") != want {
			t.Errorf("client_max_body_size %s: got\n%s\nwant body_bytes: %v", size, got, want)
		}
	}
	// The smallest limit of all locations counts.
	got := config(strings.Replace(wholeSite, "limit_except", "client_max_body_size 3k; limit_except", 1))
	if !strings.Contains(got, "body_bytes = 3072") {
		t.Errorf("configuration: got\n%s\nwant the limit of the location", got)
	}
	https := strings.ReplaceAll(wholeSite, "http://etcd", "https://etcd")
	if got := config(https); !strings.Contains(got, "nginx did not verify") {
		t.Errorf("configuration: got\n%s\nwant a note that nginx did not verify", got)
	}
	for settings, want := range map[string]string{
		"proxy_ssl_verify on; proxy_ssl_trusted_certificate ca.pem;":                                     "ca = \"/n/ca.pem\"\nserver_name = \"etcd\"\n",
		"proxy_ssl_verify on; proxy_ssl_trusted_certificate /x/ca.pem; proxy_ssl_name etcd.example.org;": "ca = \"/x/ca.pem\"\nserver_name = \"etcd.example.org\"\n",
	} {
		if got := config(strings.Replace(https, "http {", "http { "+settings, 1)); !strings.Contains(got, want) {
			t.Errorf("%s: got\n%s\nwant %q", settings, got, want)
		}
	}
}

func TestASiteWithoutHTTP2GetsNone(t *testing.T) {
	for text, want := range map[string]bool{
		wholeSite: false,
		strings.Replace(wholeSite, "4001 ssl", "4001 ssl http2", 1):                                                          true,
		strings.Replace(wholeSite, "http {", "http { http2 on;", 1):                                                          true,
		strings.Replace(wholeSite, "4001 ssl;", "4001 ssl; http2 on;", 1):                                                    true,
		strings.Replace(strings.Replace(wholeSite, "http {", "http { http2 on;", 1), "4001 ssl;", "4001 ssl; http2 off;", 1): false,
	} {
		s, err := readWhole(text, nil)
		if err != nil {
			t.Fatal(err)
		}
		if config := s.Config(acl.MatchBoth); s.HTTP2 != want || strings.Contains(config, "\nhttp2 = false") == want {
			t.Errorf("got HTTP2 %t, want %t, and http2 = false only without it, for\n%s\nin\n%s", s.HTTP2, want, text, config)
		}
	}
}

func TestASingleSiteIsAConflictBecauseItsSurroundingsWereNotRead(t *testing.T) {
	s, err := ReadNginx(around(all+admin), site)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Conflicts) != 1 || !strings.Contains(s.Conflicts[0], "--nginx /etc/nginx/nginx.conf") || s.MaxBody != 0 {
		t.Errorf("got %+v, want a conflict with a hint, and no limit of bodies", s)
	}
}

func TestLocationsAreChosenAsByNginx(t *testing.T) {
	var list locations
	for _, name := range []string{"/", "/v2/keys/", "= /v2/keys/a", "/v2/keys/a", "^~ /v2/keys/b/", "~ ^/v2/keys/b", "~ ^/v2/keys/c(/|$)", "~ ^/v2/keys/c/d", "/v2/keys/e/", "/v2/keys/cd"} {
		kind, path, _ := splitLocation(strings.Fields(name))
		l, err := (&nginxReader{}).parseLocation(&directive{words: append([]string{"location"}, strings.Fields(name)...)})
		if err != nil {
			t.Fatalf("%s %s: %v", kind, path, err)
		}
		l.passed = "http://etcd"
		list = append(list, l)
	}
	for path, want := range map[string]string{
		"/x": "/", "/v2/keys": "/v2/keys/ redirected", "/v2/keys/": "/v2/keys/", "/v2/keys/a": "= /v2/keys/a", "/v2/keys/ab": "/v2/keys/a", "/v2/keys/a/": "/v2/keys/a", "/v2/keys/b/x": "^~ /v2/keys/b/",
		"/v2/keys/b": "^~ /v2/keys/b/ redirected", "/v2/keys/bx": "~ ^/v2/keys/b", "/v2/keys/c": "~ ^/v2/keys/c(/|$)", "/v2/keys/c/d": "~ ^/v2/keys/c(/|$)", "/v2/keys/cd": "/v2/keys/cd", "/v2/keys/e": "/v2/keys/e/ redirected",
	} {
		l, redirected := list.find(path)
		got := strings.Join(l.at.args(), " ")
		if redirected {
			got += " redirected"
		}
		if got != want {
			t.Errorf("%s: got location %s, want %s", path, got, want)
		}
	}
}

func TestAWordThatCannotBeADirectiveIsNotRepeated(t *testing.T) {
	for _, word := range []string{"PASSWORD=hunter2", "root:hunter2", "Hunter2", "-----BEGIN"} {
		if _, err := readWhole("events {} http { "+word+" x; "+oneServer+guarded+"} }", nil); err == nil || strings.Contains(err.Error(), word) || !strings.Contains(err.Error(), "/n/nginx.conf:1: this word is not supported: it is not a directive that import knows") {
			t.Errorf("got %v, want a refusal without the word", err)
		}
	}
}
