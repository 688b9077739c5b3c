package certs

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// door is a server whose generation a test exchanges.
type door struct {
	t       testing.TB
	current atomic.Pointer[Generation]
	roots   *x509.CertPool
}

func newDoor(t testing.TB, ca *authority, o Options) *door {
	d := &door{t: t, roots: x509.NewCertPool()}
	d.roots.AddCert(ca.cert)
	d.current.Store(mustNew(t, o))
	return d
}

// knock makes one connection to config's server side and returns both ends'
// states; err is the client's. A byte crosses in both directions, so that
// TLS 1.3's alert to a client that believes it is done is seen.
func (d *door) knock(server *tls.Config, change func(*tls.Config)) (client, at tls.ConnectionState, err error) {
	d.t.Helper()
	a, b := pair(d.t)
	defer a.Close()
	done := make(chan tls.ConnectionState, 1)
	go func() {
		defer b.Close()
		s := tls.Server(b, server)
		buf := make([]byte, 1)
		if _, err := s.Read(buf); err == nil {
			_, _ = s.Write(buf)
		}
		done <- s.ConnectionState()
		_ = s.Close()
	}()
	config := &tls.Config{RootCAs: d.roots, ServerName: "localhost"}
	if change != nil {
		change(config)
	}
	c := tls.Client(a, config)
	if _, err = c.Write([]byte("x")); err == nil {
		if _, err = io.ReadFull(c, make([]byte, 1)); err == nil {
			_, err = c.Read(make([]byte, 1))
			if err == io.EOF { // close_notify
				err = nil
			}
		}
	}
	_ = a.Close()
	return c.ConnectionState(), <-done, err
}

// pair is a connection over loopback: a pipe in memory has no buffer, and both
// ends of a handshake may write at once.
func pair(t testing.TB) (a, b net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if a, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if b, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []net.Conn{a, b} {
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	}
	return a, b
}

func (d *door) config() *tls.Config { return Server(func() *Generation { return d.current.Load() }) }

func TestHandshakes(t *testing.T) {
	ca := newAuthority(t, "CA")
	d := newDoor(t, ca, ca.serverOptions())
	config := d.config()
	passes := func(what string, want bool, change func(*tls.Config)) {
		t.Helper()
		if _, _, err := d.knock(config, change); (err == nil) != want {
			t.Errorf("%s: %v", what, err)
		}
	}
	passes("a plain client", true, nil)
	passes("TLS 1.2", true, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 })
	passes("TLS 1.1", false, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 })
	passes("no SNI", true, func(c *tls.Config) { c.ServerName, c.InsecureSkipVerify = "", true })
	passes("SNI of another name", true, func(c *tls.Config) { c.ServerName, c.InsecureSkipVerify = "elsewhere", true })
	passes("ALPN h2", true, func(c *tls.Config) { c.NextProtos = []string{"h2", "http/1.1"} })
	passes("ALPN of something else", false, func(c *tls.Config) { c.NextProtos = []string{"imap"} })
	passes("CBC suites only", false, func(c *tls.Config) {
		c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}
	})
	if state, _, _ := d.knock(config, nil); state.Version != tls.VersionTLS13 || state.CurveID != tls.X25519MLKEM768 {
		t.Errorf("version %x with key exchange %v; a post-quantum one is offered", state.Version, state.CurveID)
	}
	if state, _, _ := d.knock(config, func(c *tls.Config) { c.NextProtos = []string{"http/1.1"} }); state.NegotiatedProtocol != "http/1.1" {
		t.Errorf("protocol %q", state.NegotiatedProtocol)
	}
}

func TestClientCertificatesInHandshakes(t *testing.T) {
	ca, stranger := newAuthority(t, "CA"), newAuthority(t, "stranger")
	good, goodKey := ca.issue("alice", x509.ExtKeyUsageClientAuth, nil)
	show := func(c *x509.Certificate, key any) func(*tls.Config) {
		return func(config *tls.Config) {
			config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				return &tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: key}, nil
			}
		}
	}
	old, oldKey := ca.issue("alice", x509.ExtKeyUsageClientAuth, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	server, serverKey := ca.issue("alice", x509.ExtKeyUsageServerAuth, nil)
	foreign, foreignKey := stranger.issue("alice", x509.ExtKeyUsageClientAuth, nil)
	nameless, namelessKey := ca.issue("", x509.ExtKeyUsageClientAuth, nil)
	for _, require := range []bool{false, true} {
		o := ca.serverOptions().withClients(ca)
		o.Require = require
		d := newDoor(t, ca, o)
		config := d.config()
		passes := func(what string, want bool, change func(*tls.Config)) {
			t.Helper()
			if _, _, err := d.knock(config, change); (err == nil) != want {
				t.Errorf("required %v, %s: %v", require, what, err)
			}
		}
		passes("none", !require, nil)
		passes("a good one", true, show(good, goodKey))
		passes("an expired one", false, show(old, oldKey))
		passes("one for servers", false, show(server, serverKey))
		passes("one of another CA", false, show(foreign, foreignKey))
		passes("one without a name, which is no identity but no failure", true, show(nameless, namelessKey))
	}
}

func TestASessionIsResumedAcrossAReloadButNotPastItsCA(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		ca, next := newAuthority(t, "CA"), newAuthority(t, "next")
		cert, key := ca.issue("alice", x509.ExtKeyUsageClientAuth, nil)
		first := ca.serverOptions().withClients(ca)
		d := newDoor(t, ca, first)
		config := d.config()
		sessions := tls.NewLRUClientSessionCache(8)
		client := func(c *tls.Config) {
			c.MinVersion, c.MaxVersion = version, version
			c.ClientSessionCache = sessions
			c.Certificates = []tls.Certificate{clientCert(cert, key)}
		}
		if _, _, err := d.knock(config, client); err != nil {
			t.Fatal(err)
		}
		second := ca.serverOptions().withClients(ca)
		d.current.Store(mustNew(t, second))
		state, at, err := d.knock(config, client)
		if err != nil || !state.DidResume || len(at.PeerCertificates) != 1 {
			t.Errorf("TLS %x after a reload: resumed %v, %d certificates, %v", version, state.DidResume, len(at.PeerCertificates), err)
		}
		d.current.Store(mustNew(t, second.withClients(next)))
		if _, _, err := d.knock(config, client); err == nil {
			t.Errorf("TLS %x: a session was resumed although its CA is gone", version)
		}
		d.current.Store(mustNew(t, first))
		fresh, _, err := d.knock(config, func(c *tls.Config) { client(c); c.ClientSessionCache = nil })
		if err != nil || string(fresh.PeerCertificates[0].Raw) != string(d.current.Load().server[0].Raw) {
			t.Errorf("TLS %x: the new certificate is not served: %v", version, err)
		}
	}
}

func BenchmarkHandshake(b *testing.B) {
	ca := newAuthority(b, "CA")
	d := newDoor(b, ca, ca.serverOptions())
	config := d.config()
	for b.Loop() {
		if _, _, err := d.knock(config, nil); err != nil {
			b.Fatal(err)
		}
	}
}
