package main

import (
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The generator draws from these. Each is valid for nginx, alone and with the others of
// its block, in the contexts that its list names.
var (
	guards = []string{
		guarding, guarding, guarding, guarding, guarding, ` deny all; `, ` auth_basic off; `, ` auth_basic x; auth_basic_user_file DIR/auth_u; `, ` auth_basic x; auth_basic_user_file DIR/auth_u; `, ` auth_basic ""; auth_basic_user_file DIR/auth_both; `, ` auth_basic_user_file DIR/auth_both; auth_basic off; `,
		` auth_basic off; `, ` deny all; `, ` deny all; `, ` allow 10.0.0.0/8; deny all; `, ` satisfy all; deny all; `, ` satisfy any; deny all; `, ` allow all; `,
	}
	// anywhere are directives that nginx accepts in http, server and location.
	anywhere = []string{
		"proxy_set_header Host etcd;", "proxy_set_header X-Real-IP $remote_addr;", "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;", "proxy_set_header Content-Type text/plain;",
		"proxy_set_header Authorization '';", "proxy_set_header Authorization x;", "proxy_set_header Content-Length 3;", "proxy_set_header Connection '';", "proxy_set_header Upgrade $http_upgrade;",
		"proxy_method PUT;", "proxy_set_body value=2;", "proxy_pass_request_body off;", "proxy_pass_request_headers off;", "proxy_pass_request_body on;",
		"proxy_http_version 1.1;", "proxy_buffering off;", "proxy_request_buffering off;", "proxy_read_timeout 365d;", "proxy_connect_timeout 5s;", "proxy_send_timeout 5s;", "proxy_buffers 8 8k;", "proxy_buffer_size 8k;",
		"proxy_next_upstream off;", "proxy_ignore_client_abort on;", "proxy_redirect off;", "proxy_cookie_path off;", "proxy_ssl_server_name on;", "proxy_ssl_session_reuse off;", "proxy_socket_keepalive on;",
		"proxy_intercept_errors off;", "proxy_cache off;", "proxy_no_cache 1;", "proxy_hide_header X-A;", "proxy_pass_header Server;", "proxy_force_ranges off;", "proxy_limit_rate 0;",
		"client_max_body_size 20m;", "client_max_body_size 0;", "client_body_timeout 9s;", "client_body_buffer_size 16k;", "keepalive_timeout 3600;", "keepalive_requests 100000;", "send_timeout 9s;", "lingering_close on;",
		"tcp_nodelay on;", "tcp_nopush on;", "sendfile on;", "aio off;", "directio off;", "etag on;", "expires off;", "add_header X-A b;", "add_trailer X-B c;", "charset utf-8;", "default_type text/plain;", "root /srv;",
		"access_log off;", "log_not_found off;", "server_tokens off;", "gzip off;", "gzip_vary on;", "gzip_proxied any;", "gunzip off;", "types_hash_max_size 2048;", "error_page 404 /404.html;", "error_page 401 403 /401.json;",
		"error_page 401 = /v2/keys/b;", "recursive_error_pages on;", "chunked_transfer_encoding on;", "limit_rate 0;", "limit_rate_after 1m;", "limit_req_status 429;", "limit_req zone=slow;", "limit_conn none 1;",
		"auth_delay 0s;", "auth_request off;", "auth_request /deny;", "reset_timedout_connection on;", "if_modified_since off;", "max_ranges 0;", "open_file_cache off;", "port_in_redirect on;", "absolute_redirect on;",
		"server_name_in_redirect off;", "disable_symlinks off;", "autoindex off;", "postpone_output 0;", "msie_padding off;", "ssi off;", "slice 0;", "source_charset utf-8;", "real_ip_header X-Real-IP;",
		"set_real_ip_from 127.0.0.1;", "mirror off;", "sub_filter_once on;", "uninitialized_variable_warn off;", "satisfy all;", "log_subrequest off;",
	}
	// inServers are accepted in http and server.
	inServers = []string{
		"ssl_protocols TLSv1.2 TLSv1.3;", "ssl_session_cache shared:S:1m;", "ssl_session_timeout 5m;", "ssl_prefer_server_ciphers on;", "ssl_verify_client off;", "ssl_client_certificate DIR/ca.crt; ssl_verify_client on;",
		"ssl_client_certificate DIR/ca.crt; ssl_verify_client optional;", "merge_slashes on;", "merge_slashes off;", "underscores_in_headers on;", "ignore_invalid_headers off;", "large_client_header_buffers 4 16k;",
		"client_header_timeout 9s;", "client_header_buffer_size 4k;", "ssl_buffer_size 4k;", "ssl_session_tickets off;", "ssl_ecdh_curve auto;", "ssl_early_data off;", "http2_max_concurrent_streams 64;",
	}
	// inServer are accepted in server alone, or there and in location.
	inServer   = []string{"return 403;", "if ($request_method = PUT) { return 403; }", "rewrite ^/v2/keys/a /version last;", "set $args x;", "server_name etcd.example.org;", "server_name _;", "rewrite_log off;", "if ($http_x) { return 403; }"}
	inLocation = []string{"internal;", "return 404;", "if ($request_method = PUT) { return 403; }", "rewrite ^ /version break;", "limit_except GET { deny all; }", "location /v2/keys/a { deny all; }", "limit_except GET PUT { deny all; }"}
	others     = []string{
		"server { listen ADDR ssl default_server; OTHER }", "server { listen ADDR-PORT ssl default_server; OTHER }", "server { listen 127.0.0.1:0PORT ssl default_server; OTHER }", "server { listen *:PORT ssl; OTHER }",
	}
	names = []string{
		"/", "/", "/", "/v2/", "/v2", "/v2/keys/", "/v2/keys/", "/v2/keys/", "/v2/keys", "/v2/keys/a", "/v2/keys/a", "/v2/keys/a/", "/v2/keys/b", "/v2/keys/ab", "/v2/keys/a/b", "'/v2/keys/a b'", "/v2/keys/a%62", "/v2/keys/a?b", "^~ /v2/keys/a", "^~/v2/keys/b", "^~ /", "^~ /v2/keys/",
		"= /v2/keys", "= /v2/keys/", "=/version", "= /metrics", "/metrics", "/version", "/version/", "/health", "/v2/members", "/v2/members/", "= /v2/members", "/v2/members/x", "/v2/stats/", "/v2/m",
		"~ ^/v2/keys/a(/|$)", "~ ^/v2/keys/b", "~^/v2/keys/a/", "~ ^/v2/keys/a/b(/.*)?$", "~* ^/v2/keys/A", "~ k$", "~ ^/", "~ ^/metrics", "@named", "= /401.json", "/static/", "= /deny",
	}
)

// pick draws one of several texts, or none in most cases.
func pick(t *rapid.T, label string, chance int, from ...[]string) string {
	// Small numbers are drawn more often, and a failure is shrunk to them.
	if rapid.IntRange(0, 99).Draw(t, label+"?") < 100-chance {
		return ""
	}
	var all []string
	for _, list := range from {
		all = append(all, list...)
	}
	return rapid.SampledFrom(all).Draw(t, label) + "\n"
}

// drawSite draws a site. Each guard can also come from an included file.
func drawSite(t *rapid.T) *nginxSite {
	s := &nginxSite{files: map[string]string{}, http: "limit_req_zone $server_name zone=slow:1m rate=1r/m; limit_conn_zone $server_name zone=none:1m;\n"}
	wrap := func(label, text string) string {
		if text == "" || rapid.IntRange(0, 3).Draw(t, label+" included?") > 0 {
			return text
		}
		s.files[label+".inc"] = text
		return "include " + rapid.SampledFrom([]string{label + ".inc", "DIR/" + label + ".i*", label + ".?nc"}).Draw(t, label+" pattern") + ";\n"
	}
	s.http += wrap("http", pick(t, "guard of http", 25, guards)+pick(t, "http", 15, anywhere, inServers))
	s.server = wrap("server", pick(t, "guard of server", 25, guards)+pick(t, "server", 15, anywhere, inServers)+pick(t, "only server", 4, inServer))
	if other := pick(t, "another server", 4, others); other != "" {
		s.others = strings.ReplaceAll(other, "OTHER", "ssl_certificate DIR/server.crt; ssl_certificate_key DIR/server.key; return 403;")
		s.server += "server_name localhost;\n"
	}
	for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom(names), 1, 5, rapid.ID).Draw(t, "locations") {
		block := ""
		if rapid.IntRange(0, 99).Draw(t, "passes?") < 98 {
			block = passing + "\n"
			if path := strings.Trim(name, "'"); path[0] == '/' && rapid.IntRange(0, 7).Draw(t, "passes with its path?") == 0 {
				block = " proxy_pass 'http://etcd" + path + "';\n"
			}
		}
		label := "location" + strings.Map(func(c rune) rune {
			if c >= 'a' && c <= 'z' {
				return c
			}
			return '_'
		}, name)
		block += wrap(label, pick(t, "guard of location", 20, guards)+pick(t, "location", 8, anywhere)+pick(t, "only location", 4, inLocation))
		if guard := pick(t, "guard of writes", 75, guards); guard != "" && !strings.Contains(block, "limit_except") && !strings.Contains(guard, "satisfy") {
			block += "limit_except " + rapid.SampledFrom([]string{"GET", "GET OPTIONS", "GET HEAD", "POST", "GET HEAD OPTIONS", "GET OPTIONS", "GET"}).Draw(t, "methods") + " {" + guard + "}\n"
		}
		s.locations += "location " + name + " {\n" + block + "}\n"
	}
	return s
}

// TestNoGeneratedSiteIsOpened checks 100 sites, or as many as -rapid.checks says.
func TestNoGeneratedSiteIsOpened(t *testing.T) {
	c := newComparer(t)
	count := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		s := drawSite(t)
		dir, err := os.MkdirTemp("", "site")
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := os.RemoveAll(dir); err != nil {
				t.Error(err)
			}
		}()
		o, err := c.compare(dir, s)
		switch {
		case err != nil:
			t.Fatal(err)
		case o.opened():
			t.Fatalf("import ended with status %d, and the gate allows %d requests that nginx refuses or changes and no conflict lists, want none:\n%s\nfor\n%s", o.status, len(o.violations), strings.Join(o.violations, "\n"), o.nginx)
		case o.invalid:
			count["not valid for nginx"]++
			t.Logf("invalid: %s\n%s", o.said, o.nginx)
		case o.status == 0:
			count["imported"]++
		case o.status == 3:
			count["with conflicts"]++
		default:
			count["refused"]++
		}
	})
	t.Log(count)
	if all := count["imported"] + count["with conflicts"] + count["refused"] + count["not valid for nginx"]; count["imported"] < all/50 || count["not valid for nginx"] > all/2 {
		t.Errorf("of %d sites: got %v, want at least one in 50 imported, and fewer than half not valid", all, count)
	}
}
