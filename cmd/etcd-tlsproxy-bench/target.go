package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"etcd-tlsproxy/proxy/proxytest"
)

// target is a running contender.
type target struct {
	contender
	address string
	admin   string // has the profiles; "" if none are wanted
	proc    *process
}

// startTargets starts proxies in front of an upstream. The caller must stop the returned
// ones, even if there is also an error.
func (e *env) startTargets(list []contender, upstream string) (targets []*target, err error) {
	for _, c := range list {
		t, err := e.startTarget(c, upstream)
		if err != nil {
			return targets, err
		}
		targets = append(targets, t)
	}
	return targets, nil
}

func stopTargets(targets []*target) {
	for _, t := range targets {
		t.proc.stop()
	}
}

// startTarget starts a proxy in front of an upstream and waits until it listens.
func (e *env) startTarget(c contender, upstream string) (*target, error) {
	address, err := proxytest.FreeAddress()
	if err != nil {
		return nil, err
	}
	t := &target{contender: c, address: address}
	dir, err := os.MkdirTemp(e.dir, c.name+"-")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "config")
	var text string
	var command []string
	switch c.kind {
	case ours:
		api := ""
		if c.v3 {
			if err := e.openStore(); err != nil {
				return nil, err
			}
			upstream, api = e.store.address, fmt.Sprintf("api = \"v3\"\nprefix = %q\n", cmp.Or(c.prefix, benchPrefix))
		}
		if e.profiles != "" {
			if t.admin, err = proxytest.FreeAddress(); err != nil {
				return nil, err
			}
		}
		text, command = e.ownConfig(t, upstream, api)+c.config, []string{c.program, "serve", "--config", file}
	case "tuned", "profile":
		text, command = e.nginxConfig(t, upstream, dir), []string{"nginx", "-p", dir, "-c", file}
	case "haproxy":
		text, command = e.haproxyConfig(t.address, upstream), []string{"haproxy", "-db", "-f", file}
	default:
		panic("BUG: unknown kind of proxy " + c.kind)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close() // the process has its own descriptor
	if t.proc, err = start(log, command[0], command[1:]...); err != nil {
		return nil, err
	}
	if err := waitForPort(t.address); err != nil {
		t.proc.stop()
		text, _ := os.ReadFile(log.Name())
		return nil, fmt.Errorf("starting %s: %w\n%s", c.name, err, text)
	}
	return t, nil
}

func (e *env) ownConfig(t *target, upstream, api string) string {
	return fmt.Sprintf(`listen = %q
admin = %q
admin_profiles = %t
[upstream]
endpoints = ["http://%s"]
%s[tls]
certificate = %q
key = %q
[auth]
htpasswd = [%q]
[log]
audit = "off"
level = "error"
[limits]
%s
[acls]
"/" = ["root"]
"/conftool" = ["root", "conftool"]
"/eventlogging" = []
`, t.address, cmp.Or(t.admin, "127.0.0.1:0"), t.admin != "", upstream, api, e.path("server.crt"), e.path("server.key"), e.path("htpasswd"), cmp.Or(t.limits, noAddressLimits))
}

// nginxConfig is a site with the same rules. "profile" is the site that this proxy
// replaces, with a connection to etcd for each request; "tuned" adds what makes nginx
// faster.
func (e *env) nginxConfig(t *target, upstream, dir string) string {
	keep, connection := "", `proxy_set_header Connection close;`
	if t.kind == "tuned" {
		keep = "keepalive 256; keepalive_requests 1000000000;"
		connection = `proxy_http_version 1.1; proxy_set_header Connection "";`
	}
	locations := &strings.Builder{}
	watch := ""
	if t.streams { // with buffering, nginx holds the head of an answer back until there is a body
		watch = "error_page 418 = @watch; if ($arg_wait) { return 418; }"
		fmt.Fprintf(locations, "location @watch { proxy_buffering off; proxy_pass http://etcd; %s }\n", connection)
	}
	for _, prefix := range []string{"/v2/keys/", "/v2/keys/conftool", "/v2/keys/eventlogging"} {
		auth := fmt.Sprintf(`auth_basic "etcd"; auth_basic_user_file %s;`, e.path("htpasswd"))
		if strings.HasSuffix(prefix, "eventlogging") {
			auth = "auth_basic off;"
		}
		fmt.Fprintf(locations, "location %s { limit_except GET { %s } %s proxy_pass http://etcd; %s }\n", prefix, auth, watch, connection)
	}
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;" // only the owner can read the folder
	}
	return user + fmt.Sprintf(`daemon off; worker_processes auto; pid %[1]s/pid; error_log stderr crit; worker_rlimit_nofile 20000;
events { worker_connections 20000; }
http {
access_log off; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
client_max_body_size 100m; keepalive_timeout 3600; keepalive_requests 1000000000;
ssl_session_cache shared:SSL:10m; ssl_protocols TLSv1.2 TLSv1.3;
upstream etcd { server %[2]s; %[3]s }
server { listen %[4]s ssl backlog=4096; ssl_certificate %[5]s; ssl_certificate_key %[6]s; proxy_read_timeout 1h;
%[7]s location / { proxy_pass http://etcd; %[8]s } } }
`, dir, upstream, keep, t.address, e.path("server.crt"), e.path("server.key"), locations, connection)
}

func (e *env) haproxyConfig(listen, upstream string) string {
	return fmt.Sprintf(`global
  maxconn 5000
  ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  http-reuse always
frontend front
  bind %s ssl crt %s
  default_backend etcd
backend etcd
  server one %s
`, listen, e.path("server.pem"), upstream)
}
