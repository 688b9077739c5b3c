package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// testServer is a TLS server whose generation a test replaces.
type testServer struct {
	t       testing.TB
	current atomic.Pointer[Generation]
	roots   *x509.CertPool
}

func newTestServer(t testing.TB, ca *authority, o Options) *testServer {
	s := &testServer{t: t, roots: x509.NewCertPool()}
	s.roots.AddCert(ca.cert)
	s.current.Store(mustNew(t, o))
	return s
}

// connect makes one connection to a server with the given configuration. It returns the
// state of both ends and the error of the client. It sends a byte in both directions:
// with TLS 1.3 the client finishes its handshake before the server, so a refusal reaches
// it only when it reads.
func (s *testServer) connect(server *tls.Config, change func(*tls.Config)) (client, peer tls.ConnectionState, err error) {
	s.t.Helper()
	a, b := pair(s.t)
	defer a.Close()
	done := make(chan tls.ConnectionState, 1)
	go func() {
		defer b.Close()
		conn := tls.Server(b, server)
		buf := make([]byte, 1)
		if _, err := conn.Read(buf); err == nil {
			_, _ = conn.Write(buf)
		}
		done <- conn.ConnectionState()
		_ = conn.Close()
	}()
	config := &tls.Config{RootCAs: s.roots, ServerName: "localhost"}
	if change != nil {
		change(config)
	}
	c := tls.Client(a, config)
	if _, err = c.Write([]byte("x")); err == nil {
		if _, err = io.ReadFull(c, make([]byte, 1)); err == nil {
			_, err = c.Read(make([]byte, 1))
			if errors.Is(err, io.EOF) { // close_notify
				err = nil
			}
		}
	}
	_ = a.Close()
	return c.ConnectionState(), <-done, err
}

// pair returns both ends of a connection over loopback. net.Pipe would not do: it has
// no buffer, and both ends of a handshake may write at the same time.
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

func (s *testServer) config() *tls.Config {
	return Server(func() *Generation { return s.current.Load() })
}

func TestHandshakes(t *testing.T) {
	ca := newAuthority(t, "CA")
	s := newTestServer(t, ca, ca.serverOptions())
	config := s.config()
	passes := func(what string, want bool, change func(*tls.Config)) {
		t.Helper()
		if _, _, err := s.connect(config, change); (err == nil) != want {
			t.Errorf("handshake with %s: got the error %v, want success: %t", what, err, want)
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
	passes("a certificate for others, which the server does not request", true, func(c *tls.Config) {
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return nil, errors.New("the server requested a certificate")
		}
	})
	if state, _, _ := s.connect(config, nil); state.Version != tls.VersionTLS13 || state.CurveID != tls.X25519MLKEM768 {
		t.Errorf("handshake: got version %#x and key exchange %v, want %#x and %v", state.Version, state.CurveID, tls.VersionTLS13, tls.X25519MLKEM768)
	}
	if state, _, _ := s.connect(config, func(c *tls.Config) { c.NextProtos = []string{"http/1.1"} }); state.NegotiatedProtocol != "http/1.1" {
		t.Errorf("ALPN http/1.1: got the protocol %q, want it negotiated", state.NegotiatedProtocol)
	}
}

// recordingConn keeps what is received.
type recordingConn struct {
	net.Conn
	received []byte
}

func (c *recordingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.received = append(c.received, b[:n]...)
	return n, err
}

// Each record costs the server a system call, and its client another.
func TestAnAnswerIsSentInRecordsOfTheGreatestSizeFromTheBeginning(t *testing.T) {
	ca := newAuthority(t, "CA")
	s := newTestServer(t, ca, ca.serverOptions())
	a, b := pair(t)
	defer a.Close()
	answer := make([]byte, 16384)
	sent := make(chan error, 1)
	go func() {
		defer b.Close()
		_, err := tls.Server(b, s.config()).Write(answer)
		sent <- err
	}()
	raw := &recordingConn{Conn: a}
	client := tls.Client(raw, &tls.Config{RootCAs: s.roots, ServerName: "localhost"})
	if _, err := io.ReadFull(client, answer); err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	longest := 0
	for rest := raw.received; len(rest) >= 5; {
		length := int(rest[3])<<8 | int(rest[4])
		longest, rest = max(longest, length), rest[min(len(rest), 5+length):]
	}
	if longest < len(answer) {
		t.Errorf("the longest record of an answer of %d bytes: got %d bytes, want it in one record", len(answer), longest)
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
		s := newTestServer(t, ca, o)
		config := s.config()
		passes := func(what string, want bool, change func(*tls.Config)) {
			t.Helper()
			if _, _, err := s.connect(config, change); (err == nil) != want {
				t.Errorf("handshake with %s, certificates required: %t: got the error %v, want success: %t", what, require, err, want)
			}
		}
		passes("no certificate", !require, nil)
		if require {
			// The alert says what is missing, where a plain refusal would not.
			if _, _, err := s.connect(config, nil); err == nil || !strings.Contains(err.Error(), "certificate required") {
				t.Errorf("handshake without a required certificate: got the error %v, want the alert certificate required", err)
			}
		}
		if err := s.current.Load().config.VerifyConnection(tls.ConnectionState{}); (err != nil) != require {
			t.Errorf("VerifyConnection without a certificate, required: %t: got the error %v", require, err)
		}
		passes("a valid certificate", true, show(good, goodKey))
		passes("an expired certificate", false, show(old, oldKey))
		passes("a server certificate", false, show(server, serverKey))
		passes("a certificate of another CA", false, show(foreign, foreignKey))
		passes("a certificate without a name, which gives no identity", true, show(nameless, namelessKey))
	}
}

func TestASessionIsResumedAcrossAReloadButNotPastItsCA(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		ca, next := newAuthority(t, "CA"), newAuthority(t, "next")
		cert, key := ca.issue("alice", x509.ExtKeyUsageClientAuth, nil)
		first := ca.serverOptions().withClients(ca)
		s := newTestServer(t, ca, first)
		config := s.config()
		sessions := tls.NewLRUClientSessionCache(8)
		client := func(c *tls.Config) {
			c.MinVersion, c.MaxVersion = version, version
			c.ClientSessionCache = sessions
			c.Certificates = []tls.Certificate{clientCert(cert, key)}
		}
		if _, _, err := s.connect(config, client); err != nil {
			t.Fatal(err)
		}
		second := ca.serverOptions().withClients(ca)
		s.current.Store(mustNew(t, second))
		state, peer, err := s.connect(config, client)
		if err != nil || !state.DidResume || len(peer.PeerCertificates) != 1 {
			t.Errorf("TLS %#x after a reload: got resumed %t, %d client certificates, error %v; want true, 1, none",
				version, state.DidResume, len(peer.PeerCertificates), err)
		}
		s.current.Store(mustNew(t, second.withClients(next)))
		if _, _, err := s.connect(config, client); err == nil {
			t.Errorf("TLS %#x, resuming a session after its CA was removed: got success, want an error", version)
		}
		s.current.Store(mustNew(t, first))
		fresh, _, err := s.connect(config, func(c *tls.Config) { client(c); c.ClientSessionCache = nil })
		if err != nil || string(fresh.PeerCertificates[0].Raw) != string(s.current.Load().server[0].chain[0].Raw) {
			t.Errorf("TLS %#x after a reload: got another certificate or the error %v, want the new certificate", version, err)
		}
	}
}

func BenchmarkHandshake(b *testing.B) {
	ca := newAuthority(b, "CA")
	s := newTestServer(b, ca, ca.serverOptions())
	config := s.config()
	for b.Loop() {
		if _, _, err := s.connect(config, nil); err != nil {
			b.Fatal(err)
		}
	}
}
