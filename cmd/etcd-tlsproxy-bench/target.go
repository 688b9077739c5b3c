package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// target is a proxy that is measured.
type target struct {
	name       string
	address    string
	proc       *process
	background *load
}

// proxies are what is compared, in the order of the report.
var proxies = []string{"ours", "tuned", "profile", "haproxy"}

// startTarget starts a proxy before an upstream.
func (e *env) startTarget(v variant, upstream string) (*target, error) {
	name := v.name
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	t := &target{name: name, background: v.background, address: fmt.Sprintf("127.0.0.1:%d", port)}
	dir, err := os.MkdirTemp(e.dir, name+"-")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "config")
	var text string
	var command []string
	switch name {
	default: // ours, as it is or as a variant
		text, command = e.ownConfig(t.address, upstream, v.limits)+v.config, []string{e.proxy, "serve", "--config", file}
	case "tuned", "profile":
		text, command = e.nginxConfig(t.address, upstream, dir, name == "tuned", v.watches), []string{"nginx", "-p", dir, "-c", file}
	case "haproxy":
		text, command = e.haproxyConfig(t.address, upstream), []string{"haproxy", "-db", "-f", file}
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close() // the process has its own copy
	if t.proc, err = start(log, command[0], command[1:]...); err != nil {
		return nil, err
	}
	if err := waitForPort(t.address); err != nil {
		t.proc.stop()
		said, _ := os.ReadFile(log.Name())
		return nil, fmt.Errorf("%s: %w\n%s", name, err, said)
	}
	return t, nil
}

// installed reports whether a proxy can be measured here.
func installed(name string) bool {
	program := map[string]string{"tuned": "nginx", "profile": "nginx", "haproxy": "haproxy"}[name]
	if program == "" {
		return true
	}
	_, err := exec.LookPath(program)
	return err == nil
}

func (e *env) ownConfig(listen, upstream, limits string) string {
	if limits == "" {
		limits = noAddressLimits
	}
	return fmt.Sprintf(`listen = %q
admin = "127.0.0.1:0"
[upstream]
endpoints = ["http://%s"]
[tls]
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
`, listen, upstream, e.path("server.crt"), e.path("server.key"), e.path("htpasswd"), limits)
}

// nginxConfig is a site of the same rules: in the shape that is replaced, or with
// what makes nginx faster.
func (e *env) nginxConfig(listen, upstream, dir string, tuned, watches bool) string {
	keep, connection := "", `proxy_set_header Connection close;`
	if tuned {
		keep = "keepalive 256; keepalive_requests 1000000000;"
		connection = `proxy_http_version 1.1; proxy_set_header Connection "";`
	}
	locations := &strings.Builder{}
	watch := ""
	if watches { // else the head of an answer waits until there is a body
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
		user = "user root;" // the folder is nobody else's
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
`, dir, upstream, keep, listen, e.path("server.crt"), e.path("server.key"), locations, connection)
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
