package main

import (
	"strings"
	"testing"
)

// These stand in sites.
const (
	passing  = " proxy_pass http://etcd; "
	guarding = ` auth_basic "etcd"; auth_basic_user_file DIR/auth_root; `
	openSite = "location / {" + passing + "}\nlocation /v2/keys/ {" + passing + "}\n"
	rootSite = "location / {" + passing + "}\nlocation /v2/keys/ { limit_except GET HEAD {" + guarding + "}" + passing + "}\n"
)

func TestImportOpensNothingWhereverNginxIsGuarded(t *testing.T) {
	c := newComparer(t)
	for name, s := range map[string]*nginxSite{
		"a password in http":                              {http: guarding, locations: openSite},
		"a password in server":                            {server: guarding, locations: openSite},
		"a password in an include of http":                {http: "include guard.conf;", locations: openSite, files: map[string]string{"guard.conf": guarding}},
		"a password in an include of server":              {server: "include guard.c*;", locations: openSite, files: map[string]string{"guard.conf": guarding}},
		"a password in an include of a location":          {locations: "location / {" + passing + "} location /v2/keys/ { include guard.conf;" + passing + "}", files: map[string]string{"guard.conf": guarding}},
		"a password in an include of an include":          {http: "include first.conf;", locations: openSite, files: map[string]string{"first.conf": "include guard.conf;", "guard.conf": guarding}},
		"an empty realm":                                  {locations: openSite + "location /v2/keys/a { auth_basic \"\"; auth_basic_user_file DIR/auth_root;" + passing + "}"},
		"an empty realm below one that is off":            {server: "auth_basic off; auth_basic_user_file DIR/auth_root;", locations: openSite + "location /v2/keys/a { auth_basic \"\";" + passing + "}"},
		"client certificates in http":                     {http: "ssl_client_certificate DIR/ca.crt; ssl_verify_client on;", locations: openSite},
		"client certificates in server":                   {server: "ssl_client_certificate DIR/ca.crt; ssl_verify_client on;", locations: openSite},
		"denied in http":                                  {http: "deny all;", locations: openSite},
		"denied addresses in http":                        {http: "allow 10.0.0.0/8; deny all;", locations: openSite},
		"a rate in http":                                  {http: "limit_req_zone $server_name zone=z:1m rate=1r/m; limit_req zone=z;", locations: openSite},
		"a rate in a location":                            {http: "limit_req_zone $server_name zone=z:1m rate=1r/m;", locations: "location / {" + passing + "} location /v2/keys/ { limit_req zone=z;" + passing + "}"},
		"another method in a location":                    {locations: "location / {" + passing + "} location /v2/keys/ { proxy_method GET;" + passing + "}"},
		"another body in http":                            {http: "proxy_set_body value=2;", locations: openSite},
		"no body in server":                               {server: "proxy_pass_request_body off; proxy_set_header Content-Length '';", locations: openSite},
		"no header in server":                             {server: "proxy_pass_request_headers off;", locations: openSite},
		"another type in http":                            {http: "proxy_set_header Content-Type text/plain;", locations: openSite},
		"an internal location":                            {locations: openSite + "location /v2/keys/a { internal;" + passing + "}"},
		"an internal server's version":                    {locations: openSite + "location = /version { internal;" + passing + "}"},
		"keys that nobody can read":                       {locations: openSite + "location /v2/keys/a { deny all;" + passing + "}"},
		"no place for most keys":                          {locations: "location /v2/keys/a { limit_except GET {" + guarding + "}" + passing + "} location /v2/members {" + passing + "}"},
		"metrics that nobody can read":                    {locations: rootSite + "location = /metrics { deny all; }"},
		"a version that nobody can read":                  {locations: rootSite + "location =/version { return 403; }"},
		"a version with a slash":                          {locations: rootSite + "location /version/ { deny all;" + passing + "}"},
		"members that some can read":                      {locations: rootSite + "location /v2/members {" + guarding + passing + "}"},
		"members that nobody can read":                    {locations: rootSite + "location ^~/v2/members { return 404; }"},
		"one member that nobody can read":                 {locations: rootSite + "location /v2/members/x { deny all;" + passing + "}"},
		"a health that another server answers":            {locations: rootSite + "location /health { proxy_pass http://127.0.0.1:1; }"},
		"no place outside of keys":                        {locations: "location /v2/keys/ { limit_except GET {" + guarding + "}" + passing + "}"},
		"a location that keeps expressions away":          {locations: "location / {" + passing + "} location ^~ /v2/keys/ { limit_except GET {" + guarding + "}" + passing + "} location ~ ^/v2/keys/a(/|$) {" + passing + "}"},
		"an expression that ends with a slash":            {locations: rootSite + "location ~ ^/v2/keys/a/ {" + passing + "}"},
		"an expression for a slash alone":                 {locations: rootSite + "location ~ ^/v2/keys/a/(/|$) {" + passing + "}"},
		"an expression for everything":                    {locations: rootSite + "location ~ ^/ { limit_except GET {" + guarding + "}" + passing + "} location /v2/keys/a {" + passing + "}"},
		"an expression without a blank":                   {locations: openSite + "location ~^/v2/keys/a {" + guarding + passing + "}"},
		"an expression that names no prefix":              {locations: openSite + "location ~ /k$ { deny all;" + passing + "}"},
		"an expression without case":                      {locations: openSite + "location ~* ^/v2/keys/A { deny all;" + passing + "}"},
		"an error page that is a location of keys":        {server: "error_page 404 /v2/keys/a;", locations: openSite + "location /v2/keys/a {" + guarding + passing + "}"},
		"keys redirected to a refusal":                    {locations: rootSite + "location = /v2/keys { return 403; }"},
		"a nested location":                               {locations: "location / {" + passing + "location /v2/keys/a {" + guarding + passing + "} }"},
		"a condition in server":                           {server: "if ($request_method = DELETE) { return 403; }", locations: openSite},
		"a condition in a location":                       {locations: "location / {" + passing + "} location /v2/keys/ { if ($request_method = DELETE) { return 403; }" + passing + "}"},
		"a return in server":                              {server: "return 403;", locations: openSite},
		"an authorizing request in http":                  {http: "auth_request /deny;", locations: openSite + "location = /deny { return 403; }"},
		"another server that refuses other names":         {others: "server { listen ADDR default_server; ssl_certificate DIR/server.crt; ssl_certificate_key DIR/server.key; return 403; }", server: "server_name localhost;", locations: rootSite},
		"another server at a range of ports":              {others: "server { listen ADDR-PORT ssl default_server; ssl_certificate DIR/server.crt; ssl_certificate_key DIR/server.key; return 403; }", server: "server_name localhost;", locations: rootSite},
		"another server at a port with a zero":            {others: "server { listen 127.0.0.1:0PORT ssl default_server; ssl_certificate DIR/server.crt; ssl_certificate_key DIR/server.key; return 444; }", server: "server_name localhost;", locations: rootSite},
		"a cache":                                         {http: "proxy_cache_path DIR/cache keys_zone=c:1m;", server: "proxy_cache c; proxy_cache_valid any 1h; proxy_cache_key same;", locations: openSite},
		"writes at / by root":                             {locations: "location / { limit_except GET {" + guarding + "}" + passing + "}"},
		"writes at / by root, and at a key by others":     {locations: "location / { limit_except GET {" + guarding + "}" + passing + "} location /v2/keys/a { limit_except GET { auth_basic x; auth_basic_user_file DIR/auth_u; }" + passing + "}"},
		"keys with and without a slash":                   {locations: openSite + "location /v2/keys/a {" + guarding + passing + "} location /v2/keys/a/ {" + passing + "}"},
		"keys with a blank that nginx passes on as it is": {locations: rootSite + "location \"/v2/keys/a b\" { proxy_pass \"http://etcd/v2/keys/a b\"; }"},
		"keys with a percent sign that etcd decodes":      {locations: rootSite + "location /v2/keys/a%62 { proxy_pass http://etcd/v2/keys/a%62; }"},
		"keys with a question mark that begins a query":   {locations: rootSite + "location /v2/keys/a?b { proxy_pass http://etcd/v2/keys/a?b; }"},
		"keys with a number sign":                         {locations: rootSite + "location /v2/keys/a#b { proxy_pass http://etcd/v2/keys/a#b; }"},
		"keys with odd bytes that nginx passes escaped":   {locations: rootSite + "location \"/v2/keys/a b\" {" + passing + "} location /v2/keys/a%62 {" + passing + "} location /v2/keys/a?b {" + passing + "}"},
		"slashes that are not merged":                     {server: "merge_slashes off;", locations: openSite + "location ~ ^/v2/keys/a(/|$) {" + guarding + passing + "}"},
	} {
		t.Run(name, func(t *testing.T) {
			o, err := c.compare(t.TempDir(), s)
			if err != nil {
				t.Fatal(err)
			}
			if o.invalid {
				t.Fatalf("nginx does not accept the site, want one that it accepts: %s\n%s", o.said, o.nginx)
			}
			if o.opened() {
				t.Errorf("import ended with status %d, and the gate allows %d requests that nginx refuses or changes and no conflict lists, want none:\n%s\nfor\n%s", o.status, len(o.violations), strings.Join(o.violations, "\n"), o.nginx)
			}
			t.Logf("import ended with status %d, %d requests pass: %s", o.status, o.passed, o.said)
		})
	}
}
