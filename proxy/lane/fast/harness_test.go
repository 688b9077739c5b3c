package fast

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"etcd-tlsproxy/certs"
	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/lanetest"
	"etcd-tlsproxy/proxy/proxytest/seed"
)

func TestMain(m *testing.M) {
	proxytest.WaitTogether()
	goleak.VerifyTestMain(m)
}

// rig is a lane before a real etcd. A test holds both ends of each connection.
type rig struct {
	*Lane
	t      *testing.T
	etcd   *proxytest.Embedded
	ln     net.Listener
	pki    *proxytest.PKI
	certs  *certs.Generation
	served []*conn
	// delayed receives an element when a read had to wait; if it is nil, reads are not bounded.
	delayed chan struct{}
}

func newRig(t *testing.T, limits lane.Limits) *rig {
	t.Helper()
	etcd, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	r := &rig{t: t, etcd: etcd}
	if r.ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.ln.Close() })
	if r.pki, err = proxytest.NewPKI(); err != nil {
		t.Fatal(err)
	}
	cert, key, err := r.pki.Server("localhost")
	if err != nil {
		t.Fatal(err)
	}
	if r.certs, err = certs.New(certs.Options{Certificate: certs.PEM{File: "cert", Data: cert}, Key: certs.PEM{File: "key", Data: key}}); err != nil {
		t.Fatal(err)
	}
	r.Lane = &Lane{
		Exchange: lanetest.NewExchange(t, etcd.URL(), limits),
		Conns:    &lane.Conns{},
		HandOver: func(c *tls.Conn, _ *gate.Peer, received []byte) {
			t.Errorf("handed over after %q", received)
			c.Close()
		},
		IdleTimeout: time.Hour,
	}
	return r
}

var patientLimits = lane.Limits{Head: 32 << 10, Body: 1 << 20, HeaderTimeout: time.Minute, BodyTimeout: time.Minute}

// connect opens a connection and serves it. closed is closed when it has ended.
func (r *rig) connect() (client *proxytest.Raw, served *conn, closed chan struct{}) {
	r.t.Helper()
	closed = make(chan struct{})
	started := make(chan *conn, 1)
	go func() {
		socket, err := r.ln.Accept()
		if err != nil {
			close(started)
			return
		}
		// A fixed buffer does not grow behind a test that has filled it.
		if err := socket.(*net.TCPConn).SetWriteBuffer(64 << 10); err != nil {
			r.t.Errorf("setting the write buffer: %v", err)
		}
		t := tls.Server(lane.NewClientConn(socket, true, func() { close(closed) }), certs.Server(func() *certs.Generation { return r.certs }))
		if err := t.Handshake(); err != nil {
			r.t.Errorf("the handshake failed: %v", err)
		}
		if r.delayed != nil {
			lane.Wire(t).Bound(&lane.Bounds{Reads: account.NewRate(1, 1), Delayed: func() {
				select {
				case r.delayed <- struct{}{}:
				default:
				}
			}}, account.NewTable().Address(seed.Peer().Addr.Addr()))
		}
		c := newConn(r.Lane, t, seed.Peer())
		r.Conns.Register(lane.Fast, c, nil)
		started <- c
		c.serve()
	}()
	client, err := proxytest.DialRaw(r.ln.Addr().String(), &tls.Config{RootCAs: r.pki.Pool(), ServerName: "localhost"})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		client.Close()
		<-closed
	})
	served = <-started
	r.served = append(r.served, served)
	return client, served, closed
}

const watchedKey = "/eventlogging/w"

// watch starts a watch on a new connection, and waits until the hub would write its event.
func (r *rig) watch() (client *proxytest.Raw, head *proxytest.Answer, served *conn, closed chan struct{}) {
	r.t.Helper()
	client, served, closed = r.connect()
	if err := client.Send("GET /v2/keys" + watchedKey + "?wait=true HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
		r.t.Fatal(err)
	}
	head, err := client.Head()
	if err != nil || head.Status != 200 {
		r.t.Fatalf("the head of a watch: got %+v and error %v", head, err)
	}
	r.eventually("the watch waits for its event", func() bool {
		served.mu.Lock()
		defer served.mu.Unlock()
		return served.watch != nil && served.watch.state == waiting
	})
	return client, head, served, closed
}

// write sets the watched key, at etcd itself.
func (r *rig) write(value string) {
	r.t.Helper()
	form := strings.NewReader(url.Values{"value": {value}}.Encode())
	req, err := http.NewRequest("PUT", r.etcd.URL()+"/v2/keys"+watchedKey, form)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	if resp.StatusCode >= 300 {
		r.t.Fatalf("writing: etcd answered %s", resp.Status)
	}
}

// eventually waits until a state is reached.
func (r *rig) eventually(what string, reached func() bool) {
	r.t.Helper()
	for limit := time.Now().Add(time.Minute); !reached(); time.Sleep(time.Millisecond) { //nolint:forbidigo // for states that nothing signals
		if time.Now().After(limit) {
			r.t.Fatalf("after a minute it is still not so that %s", what)
		}
	}
}
