package std

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"etcd-tlsproxy/certs"
	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/lanetest"
	"etcd-tlsproxy/proxy/proxytest/seed"
)

// rig is a lane before a server that takes etcd's place.
type rig struct {
	*Server
	t       *testing.T
	conns   *lane.Conns
	account *account.Account // of all clients
	table   *account.Table
	memory  *account.Pool // of streams
	ln      net.Listener
	pki     *proxytest.PKI
	// received is called once when bytes of a client have arrived, before the lane sees them.
	received atomic.Pointer[func()]
	opened   chan registeredConn // the connections that net/http has begun to serve
	bounded  atomic.Bool         // reads of new connections are bounded
	delayed  chan struct{}       // has an element if such a read had to wait
}

// newRig starts a lane. atIdle is called by net/http when a connection has become idle.
func newRig(t *testing.T, atIdle func(*rig)) *rig {
	t.Helper()
	return newRigBefore(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "value") }, atIdle)
}

func newRigBefore(t *testing.T, etcd http.HandlerFunc, atIdle func(*rig)) *rig {
	t.Helper()
	standIn := httptest.NewServer(etcd)
	t.Cleanup(standIn.Close)
	limits := lane.Limits{Head: 32 << 10, Body: 1 << 20, HeaderTimeout: time.Minute, BodyTimeout: time.Minute}
	x := lanetest.NewExchange(t, standIn.URL, limits)
	table := account.NewTable()
	pool := table.NewPool(account.Options{Name: "connections", Total: 1000})
	r := &rig{t: t, opened: make(chan registeredConn, 1), delayed: make(chan struct{}, 1), conns: &lane.Conns{Pool: pool, Revoked: func() {}}, account: table.Address(seed.Peer().Addr.Addr())}
	r.table, r.memory = table, table.NewPool(account.Options{Name: "streams", Total: 1000 * streamUnits})
	if !pool.TryAcquire(r.account, 100, account.Ordinary) { // more than any test opens
		t.Fatal("an empty pool refused a place")
	}
	r.Server = NewServer(Options{
		Exchange: x, Conns: r.conns, MaxHead: limits.Head, BodyTimeout: limits.BodyTimeout,
		Bodies: x.Accounts.NewPool(account.Options{Name: "bodies", Total: 1 << 20 / account.LeaseUnit}), Streams: r.memory, IdleTimeout: time.Hour,
	})
	changed := r.http.ConnState
	r.http.ConnState = func(c net.Conn, state http.ConnState) {
		changed(c, state)
		switch state {
		case http.StateNew:
			select {
			case r.opened <- c.(registeredConn):
			default:
			}
		case http.StateIdle:
			atIdle(r)
		}
	}
	var err error
	if r.pki, err = proxytest.NewPKI(); err != nil {
		t.Fatal(err)
	}
	cert, key, err := r.pki.Server("localhost")
	if err != nil {
		t.Fatal(err)
	}
	generation, err := certs.New(certs.Options{
		Certificate: certs.PEM{File: "cert", Data: cert}, Key: certs.PEM{File: "key", Data: key}, NextProtos: []string{"h2", "http/1.1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	accepted := make(chan struct{})
	go func() {
		defer close(accepted)
		r.accept(certs.Server(func() *certs.Generation { return generation }))
	}()
	go r.Serve()
	t.Cleanup(func() {
		r.ln.Close()
		<-accepted
		r.http.Close()
		_ = r.conns.Wait(context.Background(), lane.Standard)
	})
	return r
}

func (r *rig) accept(config *tls.Config) {
	for {
		socket, err := r.ln.Accept()
		if err != nil {
			return
		}
		t := tls.Server(lane.NewClientConn(&notifiedConn{socket.(*net.TCPConn), &r.received}, false, func() {}), config)
		if err := t.Handshake(); err != nil {
			r.t.Errorf("the handshake failed: %v", err)
		}
		peer := seed.Peer()
		peer.Account = r.account
		if r.bounded.Load() {
			lane.Wire(t).Bound(&lane.Bounds{Reads: account.NewRate(1, 1), Delayed: func() {
				select {
				case r.delayed <- struct{}{}:
				default:
				}
			}}, r.account)
		}
		if t.ConnectionState().NegotiatedProtocol == "h2" {
			r.PutHTTP2(t, peer)
		} else {
			r.Put(t, peer, nil)
		}
	}
}

// shed takes back an idle connection.
func (r *rig) shed() int64 { return r.conns.Pool.Reclaim(1) }

// notifiedConn calls a function once, when it has received bytes.
type notifiedConn struct {
	*net.TCPConn
	received *atomic.Pointer[func()]
}

func (c *notifiedConn) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	if received := c.received.Load(); n > 0 && received != nil && c.received.CompareAndSwap(received, nil) {
		(*received)()
	}
	return n, err
}

// client returns a client that has one connection; proto is "h1" or "h2".
func (r *rig) client(proto string) *http.Client {
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: r.pki.Pool(), ServerName: "localhost"},
		ForceAttemptHTTP2: proto == "h2",
	}
	r.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: time.Minute}
}

// get reads a key, which must succeed, and returns when the connection is idle.
func (r *rig) get(client *http.Client) {
	r.t.Helper()
	resp, err := client.Get("https://" + r.ln.Addr().String() + "/v2/keys/a")
	if err != nil {
		r.t.Fatalf("reading a key: %v", err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "value" {
		r.t.Fatalf("reading a key: got %q and error %v, want \"value\"", body, err)
	}
}

// countIdle returns a function for newRig, and the channel that it sends on.
func countIdle() (atIdle func(*rig), idle chan struct{}) {
	idle = make(chan struct{}, 10)
	return func(*rig) { idle <- struct{}{} }, idle
}

func TestARequestThatArrivesWhileItsConnectionIsShedIsAnswered(t *testing.T) {
	for _, proto := range []string{"h1", "h2"} {
		t.Run(proto, func(t *testing.T) {
			atIdle, idle := countIdle()
			r := newRig(t, atIdle)
			client := r.client(proto)
			r.get(client)
			r.get(client) // no frame of the connection's start is on its way any more
			for range 2 {
				<-idle
			}
			if proto == "h2" {
				<-idle // an HTTP/2 connection is idle before its first request as well
			}
			r.ln.Close() // the client cannot use another connection
			// The head arrives first, and the body when the connection was shed.
			body, rest := io.Pipe()
			atArrival := func() {
				if n := r.shed(); n != 1 {
					t.Errorf("%d connections were shed, want 1", n)
				}
				go func() {
					_, _ = io.WriteString(rest, "value=1")
					rest.Close()
				}()
			}
			r.received.Store(&atArrival)
			resp, err := client.Post("https://"+r.ln.Addr().String()+"/v2/keys/eventlogging/a", "application/x-www-form-urlencoded", body)
			if err != nil {
				t.Fatalf("the request that arrived: %v", err)
			}
			defer resp.Body.Close()
			if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "value" {
				t.Errorf("the request that arrived: got %q and error %v, want \"value\"", body, err)
			}
			if err := r.conns.Wait(t.Context(), lane.Standard); err != nil {
				t.Errorf("the connection did not end after its last request: %v", err)
			}
		})
	}
}

func TestAnAnswerIsCompleteThoughItsConnectionIsShedAtOnce(t *testing.T) {
	for _, proto := range []string{"h1", "h2"} {
		t.Run(proto, func(t *testing.T) {
			r := newRig(t, func(r *rig) { r.shed() })
			for range 20 {
				r.get(r.client(proto))
			}
		})
	}
}

func TestAnHTTP2ConnectionAnswersWhileTheServerDrains(t *testing.T) {
	for _, requests := range []int{0, 1} {
		atIdle, idle := countIdle()
		r := newRig(t, atIdle)
		// The client keeps a connection whose handshake is done.
		c, err := tls.Dial("tcp", r.ln.Addr().String(), &tls.Config{RootCAs: r.pki.Pool(), ServerName: "localhost", NextProtos: []string{"h2"}})
		if err != nil {
			t.Fatal(err)
		}
		client := r.client("h2")
		client.Transport.(*http.Transport).DialTLSContext = func(context.Context, string, string) (net.Conn, error) { return c, nil }
		for range requests {
			r.get(client)
			<-idle // before the request
			<-idle
		}
		r.conns.StartDrain()
		r.StartDrain()
		r.get(client)
	}
}
