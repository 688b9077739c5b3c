package siteimport

import (
	"fmt"
	"strings"
	"testing"

	"etcd-tlsproxy/acl"
)

// configuration returns a whole configuration with more directives around the site, in it,
// and more locations.
func configuration(around, inside, locations string) string {
	return "events {} http { " + around + " upstream etcd { server 127.0.0.1:2379; } " + oneServer + inside + " " + locations + "} }"
}

// describe says what was read of a site, without what all sites of these tests have.
func (s *Site) describe() string {
	var parts []string
	add := func(given bool, form string, args ...any) {
		if given {
			parts = append(parts, fmt.Sprintf(form, args...))
		}
	}
	add(s.ReadOnly, "read-only")
	add(s.Redirects, "redirects")
	add(s.Elsewhere, "elsewhere")
	add(len(s.OpenElsewhere) > 0, "open %s", strings.Join(s.OpenElsewhere, " "))
	add(!s.Uncovered.IsEveryone(), "uncovered %s", nameGroup(s.Uncovered))
	for _, rule := range s.Rules {
		add(true, "%s read %s write %s", rule.Prefix, nameGroup(rule.Read), nameGroup(rule.Write))
		add(rule.File != "", "by %s", rule.File)
		add(rule.Whole, "whole")
		add(rule.Below, "below")
	}
	return strings.Join(parts, ", ")
}

// more are htpasswd files beside that of readWhole.
var more = map[string]string{"/n/alice": "alice:" + hash + "\n", "/n/damaged": "alice:x\n"}

const (
	byRoot  = "auth_basic x; auth_basic_user_file users; "
	byAlice = "auth_basic x; auth_basic_user_file alice; "
	toEtcd  = "proxy_pass http://etcd; "
)

func TestTheInnermostDirectivesDecideWhoHasAccess(t *testing.T) {
	for _, c := range []struct{ around, inside, location, want string }{
		{"", "", "", "/a read everyone write everyone"},
		{byRoot, "", "", "/a read root write root, by /n/users, below"},
		{"", byRoot, "", "/a read root write root"},
		{byRoot, byAlice, "", "/a read alice write alice"},
		{byRoot, "", byAlice, "/a read alice write alice"},
		{byRoot, "", "auth_basic off; ", "/a read everyone write everyone"},
		{byRoot, "auth_basic off; ", "", "/a read everyone write everyone"},
		{byRoot, "auth_basic off; ", "auth_basic y; ", "/a read root write root"},
		{byRoot, "", "auth_basic ''; ", "/a read root write root"},
		{byRoot, "", "auth_basic_user_file alice; ", "/a read alice write alice"},
		{"", "", "limit_except GET { " + byRoot + "} ", "/a read everyone write root"},
		{byRoot, "", "limit_except GET { } ", "/a read root write root"},
		// The first rule for addresses that fits decides, and those of a block replace others.
		{"deny all; ", "", "allow all; ", "/a read everyone write everyone"},
		{"", "deny all; ", "allow all; deny all; ", "/a read everyone write everyone"},
		{"", "", "allow all; deny all; " + byRoot, "/a read root write root"},
		{"", "allow all; ", "limit_except GET { allow all; deny all; } ", "/a read everyone write everyone"},
	} {
		text := configuration(c.around, c.inside, "location / { auth_basic off; allow all; "+toEtcd+"} location /v2/keys/a/ { "+c.location+toEtcd+"}")
		s, err := readWhole(text, more)
		if err != nil {
			t.Errorf("%s\ngot the error %v, want none", text, err)
			continue
		}
		if got := s.describe(); !strings.Contains(got, c.want) {
			t.Errorf("%s\ngot %q, want %q in it", text, got, c.want)
		}
	}
}

func TestWhoCannotBeLetInIsRefusedOrReadOnly(t *testing.T) {
	const denied = "denying all reads is not supported"
	for location, want := range map[string]string{
		"deny all; ": denied, "deny all; allow all; ": denied, "internal; ": denied, "internal; " + byRoot: denied, "limit_except GET { deny all; } ": "nobody can write /v2/keys/a/, which no rule can express",
		byRoot + "limit_except GET { auth_basic off; } ": "reads and writes of one prefix have different password files",
		"limit_except GET { deny all; allow all; } ":     "nobody can write /v2/keys/a/, which no rule can express",
	} {
		text := configuration("", "", "location / { "+toEtcd+"} location /v2/keys/a/ { "+location+toEtcd+"}")
		if _, err := readWhole(text, more); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\ngot the error %v, want %q", text, err, want)
		}
	}
}

// What is not understood could restrict access.
func TestWhatCannotBeReadIsRefusedWithItsReason(t *testing.T) {
	const keys = "location / { " + toEtcd + "} location /v2/keys/ { " + byRoot + toEtcd + "} "
	for what, says := range map[string]string{
		configuration("auth_basic x; auth_basic y; ", "", keys):                                                                                                "there is a second auth_basic,",
		configuration("", "auth_basic_user_file users; auth_basic_user_file users; ", keys):                                                                    "there is a second auth_basic_user_file,",
		configuration("", "client_max_body_size 1; client_max_body_size 2; ", keys):                                                                            "there is a second client_max_body_size,",
		configuration("auth_basic; ", "", keys):                                                                                                                "auth_basic should have one value",
		configuration("auth_basic a b; ", "", keys):                                                                                                            "auth_basic should have one value",
		configuration("auth_basic a { } ", "", keys):                                                                                                           "auth_basic should have one value",
		configuration("auth_basic $a; ", "", keys):                                                                                                             "without variables",
		configuration("ssl_certificate; ", "", keys):                                                                                                           "ssl_certificate should have one value",
		configuration("ssl_certificate $a; ", "", keys):                                                                                                        "ssl_certificate should have one value, without variables",
		configuration("allow; ", "", keys):                                                                                                                     "allow  is not supported",
		configuration("", "proxy_ssl_verify; ", keys):                                                                                                          "proxy_ssl_verify should have one value",
		configuration("", "proxy_ssl_name $x; ", keys):                                                                                                         "proxy_ssl_name should have one value, without variables",
		configuration("proxy_ssl_verify on; ", "proxy_ssl_verify off; ", keys):                                                                                 "proxy_ssl_verify has two values, on and off",
		configuration("", "listen; ", keys):                                                                                                                    "listen has no address",
		configuration("", "listen x; ", keys):                                                                                                                  "listen x is not a valid address with a port",
		configuration("", "listen 127.0.0.1:x; ", keys):                                                                                                        "listen 127.0.0.1:x is not a valid address with a port",
		configuration("", "listen 127.0.0.1:; ", keys):                                                                                                         "is not a valid address with a port",
		configuration("", "listen 4001-4003; ", keys):                                                                                                          "listen 4001-4003 is for several ports",
		configuration("", "listen [::1; ", keys):                                                                                                               "is not a valid address with a port",
		configuration("", "listen 4001 invented; ", keys):                                                                                                      "listen with invented is not supported",
		configuration("upstream { server 127.0.0.1:1; } ", "", keys):                                                                                           "upstream has no name",
		configuration("", "", strings.Replace(keys, byRoot, byRoot+"auth_basic_user_file ", 1)):                                                                "", // two words in one
		configuration("", "", keys+"location = /v2/keys/a { "+toEtcd+"}"):                                                                                      "a location with = for keys is not supported",
		configuration("", "", keys+"location = /v2/keys { return 301 /other/; }"):                                                                              "a location with = for keys is not supported",
		configuration("", "", keys+"location { }"):                                                                                                             "this form of location is not supported",
		configuration("", "", keys+"location @a b { "+toEtcd+"}"):                                                                                              "this form of location is not supported",
		configuration("", "", keys+"location a b c { }"):                                                                                                       "this form of location is not supported",
		configuration("", "", keys+"location ^ /v2/keys/a { }"):                                                                                                "this form of location is not supported",
		configuration("", "", keys+"location @x { invented on; }"):                                                                                             "invented is not supported",
		configuration("", "", keys+"location /x { invented on; }"):                                                                                             "invented is not supported",
		configuration("", "", keys+"location /x { if ($a) { invented on; } }"):                                                                                 "invented is not supported",
		configuration("", "", keys+"location /v2/keys/a { limit_except GET { invented on; } }"):                                                                "invented is not supported",
		configuration("", "", keys+"location /v2/keys/a { limit_except GET { } limit_except GET { deny all; } }"):                                              "limit_except is not supported",
		configuration("", "", keys+"location /v2/keys/a { "+toEtcd+"location /v2/keys/a/b { "+toEtcd+"} }"):                                                    "import reads one limit_except in a location, and locations that stand in the server itself",
		configuration("", "", keys+"location /v2/keys/a { proxy_pass http://etcd x; }"):                                                                        "proxy_pass is not supported",
		configuration("", "", keys+"location /v2/keys/a { proxy_pass etcd; }"):                                                                                 "it must be a scheme and a server or upstream",
		configuration("", "", keys+"location /v2/keys/a { proxy_pass grpc://etcd; }"):                                                                          "it must be a scheme and a server or upstream",
		configuration("", "", keys+"location /v2/keys/a { proxy_pass http://etcd$uri; }"):                                                                      "it must be a scheme and a server or upstream",
		configuration("", "", keys+"location /v2/keys/a { proxy_pass http://etcd/; }"):                                                                         "has another path than its location",
		configuration("", "", keys+"location /v2/keys/a { proxy_pass http://etcd/v2/keys/ab; }"):                                                               "has another path than its location",
		configuration("", "", keys+"location ~ ^/v2/keys/a { proxy_pass http://etcd/v2/keys/a; }"):                                                             "has another path than its location",
		configuration("", "", keys+"location /v2/keys/a { auth_basic off; }"):                                                                                  "the location does not pass requests on",
		configuration("", "", keys+"location '/v2/keys/a b' { proxy_pass 'http://etcd/v2/keys/a b'; }"):                                                        "has a blank, %, ? or # in its path, which nginx sends as it is and etcd reads as another key (hint: write proxy_pass http://etcd, without the path)",
		configuration("", "", keys+"location /v2/keys/%61 { proxy_pass https://etcd/v2/keys/%61; }"):                                                           "(hint: write proxy_pass https://etcd, without the path)",
		configuration("", "", keys+"location /v2/keys/a? { proxy_pass http://etcd/v2/keys/a?; }"):                                                              "reads as another key",
		configuration("", "", keys+"location /v2/keys/a# { proxy_pass http://etcd/v2/keys/a#; }"):                                                              "reads as another key",
		configuration("", "", keys+"location /v2/keys/a { proxy_pass http://other:1; }"):                                                                       "requests are passed to both",
		configuration("", "", keys+"location /v2/keys/a { error_page 401; "+toEtcd+"}"):                                                                        "error_page has no page",
		configuration("", "", keys+"location /v2/keys/a { error_page 401 @x; "+toEtcd+"}"):                                                                     "an error_page that names a location",
		configuration("", "error_page 401 /version?x; ", keys+"location /version { "+toEtcd+"}"):                                                               "an error_page that is passed to etcd",
		configuration("", "", strings.Replace(keys, "users", "damaged", 1)):                                                                                    "the users of /n/damaged cannot be read",
		configuration("", "", strings.Replace(keys, "users", "missing", 1)):                                                                                    "the users of /n/missing cannot be read",
		configuration("", "", keys+"location /v2/keys/a { client_max_body_size -1; "+toEtcd+"}"):                                                               "client_max_body_size -1 is not a valid size",
		configuration("", "", keys+"location /v2/keys/a { client_max_body_size a; "+toEtcd+"}"):                                                                "client_max_body_size a is not a valid size",
		configuration("", "", keys+"location /v2/keys/a { client_max_body_size 1kk; "+toEtcd+"}"):                                                              "client_max_body_size 1kk is not a valid size",
		configuration("", "", keys+"location /v2/keys/a { client_max_body_size 4294967296; "+toEtcd+"}"):                                                       "is not a valid size",
		strings.Replace(configuration("", "", keys), "server 127.0.0.1:2379;", "server;", 1):                                                                   "server has no address",
		strings.Replace(configuration("", "", keys), "server 127.0.0.1:2379;", "server etcd1;", 1):                                                             "server etcd1 has no port",
		strings.Replace(configuration("", "", keys), "server 127.0.0.1:2379;", "keepalive 4;", 1):                                                              "upstream etcd has no server",
		strings.Replace(configuration("", "", keys), "server 127.0.0.1:2379;", "server 127.0.0.1:1 down;", 1):                                                  "upstream etcd has no server",
		strings.ReplaceAll(strings.Replace(configuration("", "", keys), "server 127.0.0.1:2379;", "server unix:/run/etcd;", 1), "http://etcd", "https://etcd"): "TLS over a Unix socket is not supported",
		strings.Replace(configuration("", "", keys), "ssl_certificate c.crt; ssl_certificate_key c.key;", "", 1):                                               "listen, ssl_certificate or ssl_certificate_key is missing",
		configuration("server { listen 4001; } ", "", keys):                                                                                                    "this server is on port 4001 too",
		configuration("server { listen 127.0.0.1:4001; } ", "", keys):                                                                                          "this server is on port 4001 too",
		strings.Replace(configuration("server { return 403; } ", "", keys), "4001 ssl", "80 ssl", 1):                                                           "this server is on port 80 too",
		strings.Replace(configuration("server { listen 192.0.2.1; } ", "", keys), "4001 ssl", "80 ssl", 1):                                                     "this server is on port 80 too",
		strings.Replace(configuration("", "", keys), "4001 ssl", "4001", 1):                                                                                    "there are 0 servers that listen with ssl",
		strings.Replace(configuration("", "ssl off; ", keys), "4001 ssl", "4001", 1):                                                                           "there are 0 servers that listen with ssl",
		configuration("", "ssl off; ", strings.Replace(keys, "location / ", "location /v2/keys/c { invented on; } location / ", 1)):                            "invented is not supported",
		configuration("", "ssl maybe; ", keys):                                                                                                                 "ssl is not supported",
	} {
		_, err := readWhole(what, more)
		if says == "" {
			continue
		}
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s\ngot the error %v, want %q", what, err, says)
		}
	}
}

func TestWhereRequestsForOtherPathsGo(t *testing.T) {
	const keys = "location /v2/keys/ { " + byRoot + toEtcd + "} "
	const rule = ", / read root write root, by /n/users, below"
	for _, c := range []struct{ around, locations, want string }{
		{"", "location / { " + toEtcd + "} " + keys, "redirects, elsewhere" + rule},
		{"", "location / { return 404; } " + keys, ""}, // what the proxy closes may do what it likes
		{"", keys, "redirects, uncovered no one" + rule},
		{"", "location / { " + byAlice + toEtcd + "} " + keys, "redirects, elsewhere, uncovered alice" + rule},
		{"", "location / { " + toEtcd + "} location /metrics { " + toEtcd + "} " + keys, "redirects, elsewhere, open /metrics" + rule},
		{"", "location / { " + toEtcd + "} location /metrics { " + byAlice + toEtcd + "} " + keys, "redirects, elsewhere" + rule},
		{"", "location / { " + toEtcd + "} location /version { auth_basic off; } " + keys, "redirects, elsewhere" + rule},
		{"", "location / { " + toEtcd + "} location /v3/ { " + toEtcd + "} " + keys, "redirects, elsewhere, open /v3/" + rule},
		{"", "location / { " + toEtcd + "} location /v3/ { auth_basic x; " + toEtcd + "} " + keys, "redirects, elsewhere" + rule},
		{"", "location / { " + toEtcd + "} location /v3/ { deny all; " + toEtcd + "} " + keys, "redirects, elsewhere" + rule},
		{"", "location / { " + toEtcd + "} location /v3/ { internal; " + toEtcd + "} " + keys, "redirects, elsewhere" + rule},
		{"", "location / { " + toEtcd + "} location /v3/ { return 403; } " + keys, "redirects, elsewhere" + rule},
		{"", "location / { " + toEtcd + "} location /v3/ { root /srv; } " + keys, "redirects, elsewhere" + rule},
		{"", "location / { " + toEtcd + "} location @x { return 403; } " + keys, "redirects, elsewhere" + rule},
		{byAlice, "location / { auth_basic off; " + toEtcd + "} location /v3/ { " + toEtcd + "} " + keys, "redirects, elsewhere" + rule},
		{"deny all; ", "location / { allow all; " + toEtcd + "} location /v3/ { " + toEtcd + "} location /v2/keys/ { allow all; " + byRoot + toEtcd + "}", "redirects, elsewhere" + rule},
		{"", "location / { " + toEtcd + "} location = /v2/keys { return 301 /v2/keys/; } " + keys, "redirects, elsewhere" + rule},
		{"", "location / { " + toEtcd + "} location = /v2/keys { return /v2/keys/$is_args$args; } location /v2/keys/a { " + byRoot + toEtcd + "}", "redirects, elsewhere, /a read root write root, by /n/users"},
		{"", "location / { " + toEtcd + "} location /v2/keys/a { " + byRoot + toEtcd + "}", "elsewhere, /a read root write root, by /n/users"},
		{"", "location / { " + toEtcd + "} location /v2/keys/a/ { " + byRoot + toEtcd + "}", "elsewhere, /a read root write root, by /n/users, below"},
		{"", "location / { " + toEtcd + "} location /v2/keys { " + byRoot + toEtcd + "}", "elsewhere, / read root write root, by /n/users"},
		{"", "location / { " + toEtcd + "} location ~ ^/v2/keys/a(/|$) { " + byRoot + toEtcd + "}", "elsewhere, /a read root write root, by /n/users, whole"},
		{"", "location / { limit_except GET { deny all; } " + toEtcd + "}", "read-only, elsewhere, uncovered no one"},
		{"", "location / { " + byRoot + toEtcd + "}", "elsewhere, uncovered root, / read root write root, by /n/users"},
		{"", "location / { limit_except GET { " + byRoot + "} " + toEtcd + "}", "elsewhere, uncovered root, / read everyone write root, by /n/users"},
		{"", "location / { " + toEtcd + "} location /v2/keys/ { limit_except GET { deny all; } " + toEtcd + "}", "read-only, redirects, elsewhere, open /, uncovered no one"},
	} {
		text := configuration(c.around, "", c.locations)
		s, err := readWhole(text, more)
		if c.want == "" {
			continue
		}
		if err != nil {
			t.Errorf("%s\ngot the error %v, want none", text, err)
			continue
		}
		if got := s.describe(); got != c.want {
			t.Errorf("%s\ngot %q, want %q", text, got, c.want)
		}
	}
}

func TestARedirectToThePathWithASlashIsRecognized(t *testing.T) {
	for block, want := range map[string]bool{
		"return 301 /v2/keys/;": true, "return 302 /v2/keys/;": true, "return 307 /v2/keys/;": true, "return 308 /v2/keys/;": true,
		"return /v2/keys/;": true, "return 301 /v2/keys/$is_args$args;": true, "return 301 https://$host/v2/keys/;": true,
		"return 301 /v2/keys;": false, "return 301 /other/;": false, "return 403 /v2/keys/;": false, "return 301;": false, "return;": false, "return 301 a /v2/keys/;": false,
		"return 301 /v2/keys/ b;": false, "rewrite 301 /v2/keys/;": false, "": false, "return 301 /v2/keys/; return 301 /v2/keys/;": false,
		"return /v2/keys/ 301;": false, "root /v2/keys/; return 301 /v2/keys/;": false,
	} {
		list, err := parseNginx(Source{Name: "f", Data: []byte(block)})
		if err != nil {
			t.Fatal(err)
		}
		if got := isSlashRedirect(list); got != want {
			t.Errorf("isSlashRedirect of %q: got %t, want %t", block, got, want)
		}
	}
}

func TestAddressesOfListen(t *testing.T) {
	for text, want := range map[string]string{
		"4001": `"" 4001-4001`, "*:4001": `"*" 4001-4001`, "192.0.2.1:4001": `"192.0.2.1" 4001-4001`, "[::1]:4001": `"::1" 4001-4001`, "localhost:4001": `"localhost" 4001-4001`,
		"4001-4003": `"" 4001-4003`, "04001": `"" 4001-4001`, "*:004001-4003": `"*" 4001-4003`, "65535": `"" 65535-65535`, "1": `"" 1-1`,
		"4003-4001": "false", "0": "false", "0-1": "false", "65536": "false", "4001-": "false", "-4001": "false", "4001-4002-4003": "false", "99999999999999999999": "false", "1-99999999999999999999": "false",
		"": "false", "x": "false", "40x1": "false", "192.0.2.1": "false", "192.0.2.1:": "false", "192.0.2.1:x": "false", "192.0.2.1:4x": "false", "[::1]": "false", "a:b:1": "false", "unix:/run/x": "false",
	} {
		host, port, ok := splitListen(text)
		got := "false"
		if ok {
			got = fmt.Sprintf("%q %d-%d", host, port.first, port.last)
		}
		if got != want {
			t.Errorf("splitListen(%q): got %s, want %s", text, got, want)
		}
	}
	for block, want := range map[string]string{
		"listen 4001 ssl; listen 192.0.2.1:4002;": "[{4001 4001} {4002 4002}]", "": "[{80 80}]", "root /srv;": "[{80 80}]", "listen 192.0.2.1;": "[{80 80}]", "listen unix:/run/x;": "[{80 80}]", "listen;": "[{80 80}]",
		"root 4001; listen 4002;": "[{4002 4002}]", "listen *:4001-04003;": "[{4001 4003}]",
	} {
		list, err := parseNginx(Source{Name: "f", Data: []byte("server { " + block + " }")})
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(ports(list[0])); got != want {
			t.Errorf("ports of a server with %q: got %s, want %s", block, got, want)
		}
	}
	for block, want := range map[string]bool{
		"listen 2379;": true, "listen 127.0.0.1:2379;": true, "listen localhost:2379;": true, "listen *:2379;": true, "listen [::]:2379;": true, "listen 0.0.0.0:2379;": true,
		"listen 2370-2379;": true, "listen 02379;": true, "listen *:2379-2380;": true, "listen 2380-2381;": false,
		"listen 2378;": false, "listen 127.0.0.2:2379;": false, "listen;": false, "listen x;": false, "root 2379;": false, "root;": false, "listen unix:/run/etcd;": false, "": false,
	} {
		list, err := parseNginx(Source{Name: "f", Data: []byte("server { " + block + " }")})
		if err != nil {
			t.Fatal(err)
		}
		if got := listensAt(list[0], "http://127.0.0.1:2379"); got != want {
			t.Errorf("a server with %q listens at 127.0.0.1:2379: got %t, want %t", block, got, want)
		}
	}
	for address, want := range map[string]string{
		"4001": ":4001 IPv4", "*:4001": ":4001 IPv4", "0.0.0.0:4001": ":4001 IPv4", "[::]:4001": ":4001 IPv6", "[::]:4001 ipv6only=off": ":4001 IPv4 IPv6", "192.0.2.1:4001": "192.0.2.1:4001",
		"4001 http2 default_server reuseport backlog=4 so_keepalive=on": ":4001 IPv4 HTTP/2", "4001 default deferred bind": ":4001 IPv4", "4001 http2 ssl": ":4001 IPv4 HTTP/2",
	} {
		r := &nginxReader{site: &Site{}}
		if err := r.setListen(&directive{words: strings.Fields("listen " + address)}); err != nil {
			t.Errorf("listen %s: got the error %v, want none", address, err)
			continue
		}
		got := r.site.Listen
		for name, set := range map[string]bool{" IPv4": r.site.IPv4, " IPv6": r.site.IPv6, " HTTP/2": r.site.HTTP2} {
			if set != strings.Contains(want, name) {
				t.Errorf("listen %s: got%s %t, want %q", address, name, set, want)
			}
		}
		if address, _, _ := strings.Cut(want, " "); got != address {
			t.Errorf("listen: got the address %s, want %s", got, address)
		}
	}
}

func TestTheEndpointsOfAnUpstreamAreTakenOverBackupsLast(t *testing.T) {
	const keys = "location / { proxy_pass SCHEME://NAME; } location /v2/keys/ { " + byRoot + "proxy_pass SCHEME://NAME; }"
	for servers, want := range map[string]string{
		"http etcd server 127.0.0.1:1 backup; server 127.0.0.1:2; server 127.0.0.1:3 down; server 127.0.0.1:4;":                              "http://127.0.0.1:2 http://127.0.0.1:4 http://127.0.0.1:1",
		"http etcd server 127.0.0.1:1; server 127.0.0.1:2 backup; server 127.0.0.1:1; server 127.0.0.1:1 backup; server 127.0.0.1:2 backup;": "http://127.0.0.1:1 http://127.0.0.1:2",
		"https etcd server etcd1:1; keepalive 4; zone z;":                                                                                    "https://etcd1:1",
		"http etcd server unix:/run/etcd;":     "unix:///run/etcd",
		"http 127.0.0.1:5 server 127.0.0.1:1;": "http://127.0.0.1:5",
		"https etcd2:5 server 127.0.0.1:1;":    "https://etcd2:5",
	} {
		scheme, rest, _ := strings.Cut(servers, " ")
		name, list, _ := strings.Cut(rest, " ")
		text := strings.Replace(configuration("", "", strings.NewReplacer("SCHEME", scheme, "NAME", name).Replace(keys)), "server 127.0.0.1:2379;", list, 1)
		s, err := readWhole(text, more)
		if err != nil {
			t.Errorf("%s\ngot the error %v, want none", text, err)
			continue
		}
		if got := strings.Join(s.Endpoints, " "); got != want {
			t.Errorf("%s\ngot the endpoints %s, want %s", text, got, want)
		}
	}
}

func TestSizesOfBodies(t *testing.T) {
	for size, want := range map[string]int64{
		"0": 0, "1": 1, "1k": 1 << 10, "2K": 2 << 10, "3m": 3 << 20, "3M": 3 << 20, "1g": 1 << 30, "2G": 2 << 30, "2147483647": 2147483647,
	} {
		text := configuration("", "", "location / { client_max_body_size 0; "+toEtcd+"} location /v2/keys/ { client_max_body_size "+size+"; "+byRoot+toEtcd+"}")
		if s, err := readWhole(text, more); err != nil || s.MaxBody != want {
			t.Errorf("client_max_body_size %s: got %+v, %v; want %d", size, s, err, want)
		}
	}
	// That of a location which no key reaches does not count.
	text := configuration("", "", "location / { client_max_body_size 5k; "+toEtcd+"} location /version { client_max_body_size 1k; "+toEtcd+"} location /v2/keys/a { client_max_body_size 7k; "+byRoot+toEtcd+"}")
	if s, err := readWhole(text, more); err != nil || s.MaxBody != 5<<10 {
		t.Errorf("limits of several locations: got %+v, %v; want the smallest that keys have, 5k", s, err)
	}
}

func TestTheCertificateOfEtcdIsVerifiedAsByNginx(t *testing.T) {
	for settings, want := range map[string]string{
		"": "false", "proxy_ssl_verify off; proxy_ssl_trusted_certificate ca.pem; ": "false",
		"proxy_ssl_verify on; ": "true, ca , name etcd",
		"proxy_ssl_verify on; proxy_ssl_trusted_certificate ca.pem; proxy_ssl_name e.example; ":           "true, ca /n/ca.pem, name e.example",
		"proxy_ssl_verify on; proxy_ssl_trusted_certificate ''; proxy_ssl_verify on; proxy_ssl_name ''; ": "true, ca , name etcd",
	} {
		text := strings.ReplaceAll(configuration(settings, "", "location / { "+toEtcd+"} location /v2/keys/ { "+byRoot+toEtcd+"}"), "http://etcd", "https://etcd")
		s, err := readWhole(text, more)
		if err != nil {
			t.Errorf("%s\ngot the error %v, want none", text, err)
			continue
		}
		got := fmt.Sprint(s.Verifies)
		if s.Verifies {
			got += ", ca " + s.CA + ", name " + s.ServerName
		}
		if got != want {
			t.Errorf("%s\ngot verified %s, want %s", text, got, want)
		}
	}
	s := &Site{}
	s.setProxyTLS(map[string]string{"proxy_ssl_verify": "on"}, "https://etcd1.example:2379")
	if s.ServerName != "etcd1.example" {
		t.Errorf("the name of an endpoint with a port: got %q, want etcd1.example", s.ServerName)
	}
}

func TestEffectsOfDirectives(t *testing.T) {
	for text, want := range map[string]effect{
		"access_log off;": harmless, "invented on;": unsupported, "add_header A b;": differs,
		"proxy_set_header Host x;": harmless, "proxy_set_header X-REAL-IP x;": harmless, "proxy_set_header Host a b;": unsupported, "proxy_set_header Host;": unsupported, "proxy_set_header Cookie x;": unsupported,
		"proxy_set_header Authorization '';": harmless, "proxy_set_header authorization '';": harmless, "proxy_set_header Authorization x;": unsupported, "proxy_set_header Cookie '';": unsupported,
		"proxy_hide_header Host x;": differs, "return Authorization '';": unsupported, "set Host x;": unsupported,
		"satisfy all;": harmless, "satisfy any;": unsupported, "satisfy all x;": unsupported, "satisfy;": unsupported, "satisfy all { }": unsupported, "gzip all;": differs,
		"auth_request off;": harmless, "auth_request on;": unsupported, "proxy_pass_request_body on;": harmless, "proxy_pass_request_body off;": unsupported,
	} {
		list, err := parseNginx(Source{Name: "f", Data: []byte(text)})
		if err != nil {
			t.Fatal(err)
		}
		if got, reason, _ := effectOf(list[0]); got != want || reason == "" {
			t.Errorf("the effect of %q: got %d (%s), want %d", text, got, reason, want)
		}
	}
}

func TestDirectivesThatChangeAnswersAreListedOncePerReason(t *testing.T) {
	text := configuration("add_header A b; gzip on; ", "expires 1h; ", "location / { "+toEtcd+"add_header C d; } location /v2/keys/ { "+byRoot+toEtcd+"} location /x { add_header E f; }")
	s, err := readWhole(text, more)
	if err != nil {
		t.Fatal(err)
	}
	differences, err := s.Differences(acl.MatchBoth)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, d := range differences {
		if d.Class == Directives && d.Effect == Answered {
			got[d.Why] = d.What
		}
	}
	for why, what := range map[string]string{
		"nginx changed fields of the answers; here they are etcd's":                "add_header at /n/nginx.conf:1, expires at /n/nginx.conf:1",
		"nginx compressed or framed the answers; here they are as etcd sends them": "gzip at /n/nginx.conf:1",
	} {
		if got[why] != what {
			t.Errorf("directives because of which %s: got %q, want %q", why, got[why], what)
		}
	}
	if len(got) != 2 {
		t.Errorf("differences by directives: got %v, want two", got)
	}
}
