package site

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"etcd-tlsproxy/proxy/proxytest"
)

// Installed reports whether a server other than etcd-tlsproxy can be attacked here.
func Installed(name string) bool {
	_, err := exec.LookPath(name)
	return err == nil
}

// maxConnections is what a siege lets these servers accept, so that attackers can be cheap.
// nginx counts its connections to etcd as well, and divides the number among its workers; Debian's
// default is 768 for each.
const maxConnections = 1000

// StartNginx starts nginx with the site that etcd-tlsproxy replaces.
func (f *Files) StartNginx(o Options) (*Server, error) {
	address, err := proxytest.FreeAddress()
	if err != nil {
		return nil, err
	}
	s := &Server{Address: address, records: []string{filepath.Join(o.Dir, "access")}}
	var locations strings.Builder
	for _, prefix := range []string{"/v2/keys/", "/v2/keys/conftool", "/v2/keys/eventlogging", "/v2/keys/siege/logins"} {
		auth := fmt.Sprintf(`auth_basic "etcd"; auth_basic_user_file %s;`, f.Path("htpasswd"))
		if strings.HasSuffix(prefix, "eventlogging") {
			auth = "auth_basic off;"
		}
		fmt.Fprintf(&locations, "location %s { limit_except GET { %s } proxy_pass %s; proxy_set_header Connection close; }\n", prefix, auth, o.Etcd.URL)
	}
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;" // only the owner can read the folder
	}
	text := user + fmt.Sprintf(`daemon off; worker_processes auto; pid %[1]s/pid; error_log stderr crit; worker_rlimit_nofile 20000;
events { worker_connections %[2]d; }
http {
access_log %[3]s; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
client_max_body_size 100m; keepalive_timeout 3600;
ssl_session_cache shared:SSL:10m; ssl_protocols TLSv1.2 TLSv1.3;
server { listen %[4]s ssl http2 backlog=4096; ssl_certificate %[5]s; ssl_certificate_key %[6]s; proxy_read_timeout 1h;
%[7]s location / { proxy_pass %[8]s; proxy_set_header Connection close; } } }
`, o.Dir, max(1, maxConnections/runtime.NumCPU()), s.records[0], address, f.Path("server.crt"), f.Path("server.key"), locations.String(), o.Etcd.URL)
	config := filepath.Join(o.Dir, "nginx.conf")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	if s.Process, err = start(o.Dir, "nginx", "nginx", "-p", o.Dir, "-c", config); err != nil {
		return nil, err
	}
	return s, s.waitFor(func() error { return listens(address) })
}

// StartHAProxy starts HAProxy, which checks no passwords here: it has no hash in common with
// the other servers.
func (f *Files) StartHAProxy(o Options) (*Server, error) {
	address, err := proxytest.FreeAddress()
	if err != nil {
		return nil, err
	}
	s := &Server{Address: address}
	text := fmt.Sprintf(`global
  maxconn %d
  ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  timeout http-request 10s
  http-reuse always
frontend front
  bind %s ssl crt %s alpn h2,http/1.1
  default_backend etcd
backend etcd
  server one %s
`, maxConnections, address, f.Path("server.pem"), strings.TrimPrefix(o.Etcd.URL, "http://"))
	config := filepath.Join(o.Dir, "haproxy.cfg")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	if s.Process, err = start(o.Dir, "haproxy", "haproxy", "-db", "-f", config); err != nil {
		return nil, err
	}
	return s, s.waitFor(func() error { return listens(address) })
}
