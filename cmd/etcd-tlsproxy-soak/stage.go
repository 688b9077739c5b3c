package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"golang.org/x/crypto/bcrypt"

	"etcd-tlsproxy/proxy/proxytest"
)

// passwords are the users': root may write everywhere, worker below /soak, and guest
// comes and goes.
var passwords = map[string]string{"root": "root-soak", "worker": "worker-soak", "guest": "guest-soak"}

// stage is the folder of files that the proxy reads.
type stage struct {
	dir           string
	pki           *proxytest.PKI
	slow          []byte // worker's line of the htpasswd file
	listen, admin string
	etcd          string

	mu sync.Mutex
	configuration
}

// configuration is what changes in the proxy's configuration during a run.
type configuration struct {
	narrow   bool // nobody but root may read or write /soak/narrow
	fast     bool
	reads    bool // shared
	watches  bool // shared
	patience int  // seconds of limits.upstream_timeout; another one is another pool
	remark   int  // a comment: other bytes of the same meaning
}

func newStage() (s *stage, err error) {
	s = &stage{configuration: configuration{fast: true, reads: true, watches: true, patience: 30}}
	if s.dir, err = os.MkdirTemp("", "etcd-tlsproxy-soak-"); err != nil {
		return nil, err
	}
	if s.pki, err = proxytest.NewPKI(); err != nil {
		return s, err
	}
	// A slow hash: after a change of users all clients wait behind the first to log in.
	hash, err := bcrypt.GenerateFromPassword([]byte(passwords["worker"]), 8)
	if err != nil {
		return s, err
	}
	s.slow = fmt.Appendf(nil, "worker:%s\n", hash)
	var errs []error
	for _, address := range []*string{&s.listen, &s.admin} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return s, err
		}
		*address = ln.Addr().String()
		errs = append(errs, ln.Close())
	}
	_, certErr := s.writeCertificate()
	return s, errors.Join(append(errs, certErr, s.pki.WriteCA(s.path("ca.crt")), s.writeUsers(true))...)
}

func (s *stage) path(name string) string { return filepath.Join(s.dir, name) }

// write replaces a file as editors and Puppet do.
func (s *stage) write(name string, data []byte) error {
	next := s.path(name + ".next")
	if err := os.WriteFile(next, data, 0o600); err != nil {
		return err
	}
	return os.Rename(next, s.path(name))
}

// writeCertificate issues another certificate and tells its serial number. For a
// moment it is there without its key, as in real life.
func (s *stage) writeCertificate() (*big.Int, error) {
	cert, key, err := s.pki.Server("localhost", "127.0.0.1")
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	return pair.Leaf.SerialNumber, errors.Join(s.write("server.crt", cert), s.write("server.key", key))
}

func (s *stage) writeUsers(guest bool) error {
	users := maps.Clone(passwords)
	delete(users, "worker")
	if !guest {
		delete(users, "guest")
	}
	data, err := proxytest.Htpasswd(users)
	if err != nil {
		return err
	}
	return s.write("htpasswd", append(data, s.slow...))
}

// change rewrites the configuration; more is text behind it.
func (s *stage) change(change func(*configuration), more string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.configuration)
	// With a client CA a rule may name users who are in no htpasswd file, as guest is
	// now and then. All clients come from one address and log in at once after a change
	// of users, and each takes one of the burst until its password is verified.
	text := fmt.Sprintf(`# %d
listen = %q
admin = %q
fast_lane = %t
share_reads = %t
share_watches = %t
[upstream]
endpoints = [%q]
[tls]
certificate = "server.crt"
key = "server.key"
client_ca = "ca.crt"
[auth]
htpasswd = ["htpasswd"]
[limits]
upstream_timeout = "%ds"
login_burst = %d
[log]
audit = "audit"
[acls]
"/" = ["root"]
"/soak" = ["root", "worker"]
"/soak/guest" = ["root", "guest"]
"/soak/everyone" = []
`, s.remark, s.listen, s.admin, s.fast, s.reads, s.watches, s.etcd, s.patience, loginBurst)
	if s.narrow {
		text += `"/soak/narrow" = { read = ["root"], write = ["root"] }` + "\n"
	}
	return s.write("etcd-tlsproxy.toml", []byte(text+more))
}

const loginBurst = 100

// build builds the proxy unless there is one.
func (s *stage) build(program string) (string, error) {
	if program != "" {
		return filepath.Abs(program)
	}
	program = s.path("etcd-tlsproxy")
	if out, err := exec.Command("go", "build", "-o", program, "etcd-tlsproxy/cmd/etcd-tlsproxy").CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the proxy: %w; run this in a checkout, or name one with --proxy\n%s", err, out)
	}
	return program, nil
}

// tls is the configuration of a client, with a certificate of its own for a name.
func (s *stage) tls(name string) (*tls.Config, error) {
	config := &tls.Config{RootCAs: s.pki.Pool(), ServerName: "localhost", ClientSessionCache: tls.NewLRUClientSessionCache(8)}
	if name == "" {
		return config, nil
	}
	cert, key, err := s.pki.Client(name)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	config.Certificates = []tls.Certificate{pair}
	return config, err
}

// serial is the number of the certificate that a new handshake shows.
func (s *stage) serial() (*big.Int, error) {
	c, err := tls.Dial("tcp", s.listen, &tls.Config{RootCAs: s.pki.Pool(), ServerName: "localhost"})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	var leaf *x509.Certificate = c.ConnectionState().PeerCertificates[0]
	return leaf.SerialNumber, nil
}
