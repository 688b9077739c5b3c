package site

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"etcd-tlsproxy/proxy/proxytest"
)

// Server is what stands in front of etcd.
type Server struct {
	*Process
	Address string // for clients
	Admin   string // URL, or empty
	// records are the access and audit logs.
	records []string
	taken   int64 // bytes of records that were removed
}

// Options describes a server.
type Options struct {
	Dir     string
	Etcd    *Etcd
	Program string // the path of etcd-tlsproxy
	// Limits, TLS and Upstream are more lines for these parts of the configuration.
	Limits, TLS, Upstream string
	// AllAddresses listens on all addresses instead of 127.0.0.1. It is for a network
	// namespace of its own.
	AllAddresses bool
}

// Memory is limits.memory of the proxy that is attacked, unless an attack sets it.
const Memory = 256 << 20

// StartProxy starts etcd-tlsproxy and waits until it serves.
func (f *Files) StartProxy(o Options) (*Server, error) {
	address, err := proxytest.FreeAddress()
	if err != nil {
		return nil, err
	}
	listen := address
	if o.AllAddresses {
		listen = "[::]" + strings.TrimPrefix(address, "127.0.0.1")
	}
	admin, err := proxytest.FreeAddress()
	if err != nil {
		return nil, err
	}
	s := &Server{Address: address, Admin: "http://" + admin, records: []string{filepath.Join(o.Dir, "audit")}}
	if !strings.Contains(o.Limits, "memory =") {
		o.Limits += fmt.Sprintf("memory = %d\n", int64(Memory))
	}
	if o.Etcd.tree != nil {
		o.Upstream += "api = \"v3\"\n"
	}
	text := fmt.Sprintf(`listen = %q
admin = %q
[upstream]
endpoints = [%q]
%s
[tls]
certificate = %q
key = %q
%s
[auth]
htpasswd = [%q]
[log]
audit = %q
[limits]
%s
[acls]
"/" = ["root"]
"/conftool" = ["root", "conftool"]
"/conftool/private" = { read = ["root", "conftool"], write = ["root"] }
"/eventlogging" = []
"/siege/logins" = [%s]
`, listen, admin, o.Etcd.URL, o.Upstream, f.Path("server.crt"), f.Path("server.key"), o.TLS, f.Path("htpasswd"), s.records[0],
		o.Limits, loginNames())
	if o.TLS != "" { // only a user with a certificate may read it
		text += `"/siege/restricted" = { read = ["root", "certificate"], write = ["root"] }` + "\n"
	}
	config := filepath.Join(o.Dir, "etcd-tlsproxy.toml")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	if s.Process, err = start(o.Dir, "etcd-tlsproxy", o.Program, "serve", "--config", config); err != nil {
		return nil, err
	}
	client := &http.Client{Timeout: time.Second}
	return s, s.waitFor(func() error {
		resp, err := client.Get(s.Admin + "/-/ready")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return nil
	})
}

// loginNames lists the users who log in, as a rule names them.
func loginNames() string {
	names := make([]string, Logins)
	for i := range names {
		names[i] = fmt.Sprintf("%q", Login(i))
	}
	return strings.Join(names, ", ")
}

// maxRecords is the most bytes of records that are kept on disk.
const maxRecords = 64 << 20

// Records returns how many bytes of records the server has written. It removes them when they are
// many: an attack on the log must not fill the disk of this machine. What is written at that
// very time may be missing in the count.
func (s *Server) Records() int64 {
	total := s.taken
	for _, path := range s.records {
		info, err := os.Stat(path)
		if err != nil {
			continue
		}
		total += info.Size()
		if info.Size() > maxRecords && os.Truncate(path, 0) == nil {
			s.taken += info.Size()
		}
	}
	return total
}

// Status sends a request to the admin address with a Host of its own, and returns the
// status of the answer.
func (s *Server) Status(method, path, host string) (int, error) {
	req, err := http.NewRequest(method, s.Admin+path, nil)
	if err != nil {
		return 0, err
	}
	req.Host = host
	resp, err := (&http.Client{Timeout: 10 * time.Second}).Do(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}
