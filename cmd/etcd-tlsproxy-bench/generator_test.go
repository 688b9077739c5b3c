package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/rawio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// startServer starts an HTTPS server. Configure, if not nil, changes its TLS.
func startServer(t *testing.T, handle http.HandlerFunc, configure func(*tls.Config)) (address string, ca []byte) {
	t.Helper()
	pki, err := proxytest.NewPKI()
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := pki.Server("localhost")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(handle)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	if configure != nil {
		configure(s.TLS)
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String(), pki.CA()
}

// generate runs a load and returns its result.
func generate(t *testing.T, l *load) result {
	t.Helper()
	var out bytes.Buffer
	if err := l.run(bufio.NewReader(strings.NewReader("go\n")), &out); err != nil {
		t.Fatalf("running the load: %v", err)
	}
	ready, figures, _ := strings.Cut(out.String(), "\n")
	if ready != "ready" {
		t.Fatalf("the generator wrote %q first, want ready", ready)
	}
	var r result
	if err := json.Unmarshal([]byte(figures), &r); err != nil {
		t.Fatalf("decoding the result %q: %v", figures, err)
	}
	return r
}

func TestTheGeneratorCountsWhatTheServerCounts(t *testing.T) {
	var answered atomic.Int64
	address, ca := startServer(t, func(w http.ResponseWriter, r *http.Request) {
		answered.Add(1)
		if r.URL.Path == "/chunks" {
			_ = http.NewResponseController(w).Flush()
		}
		_, _ = w.Write(bytes.Repeat([]byte("x"), 10_000))
	}, nil)
	length, chunks := getRequest("/length"), getRequest("/chunks")
	for name, l := range map[string]*load{
		"closed loop":        {Conns: 3, Requests: [][]byte{length, chunks}},
		"open loop":          {Conns: 3, Requests: [][]byte{length}, Rate: 500},
		"full handshakes":    {Conns: 2, Requests: [][]byte{length}, Handshake: "full"},
		"resumed handshakes": {Conns: 2, Requests: [][]byte{length}, Handshake: "resumed"},
	} {
		t.Run(name, func(t *testing.T) {
			l.Address, l.CA, l.Status, l.Duration = address, ca, 200, 100*time.Millisecond
			answered.Store(0)
			r := generate(t, l)
			if r.Errors != 0 || r.Requests == 0 {
				t.Errorf("got %d requests and %d errors (%s), want some and none", r.Requests, r.Errors, r.FirstError)
			}
			// The first request of each connection is not counted.
			if want := r.Requests + int64(l.Conns); answered.Load() != want {
				t.Errorf("the server answered %d requests, want %d", answered.Load(), want)
			}
			if r.P50 <= 0 || r.P99 < r.P50 || r.P999 < r.P99 {
				t.Errorf("got p50 %d, p99 %d, p99.9 %d, want them above 0 and in this order", r.P50, r.P99, r.P999)
			}
		})
	}
}

func TestOnlyAClientWithNagleWaitsForAcknowledgments(t *testing.T) {
	address, ca := startServer(t, func(http.ResponseWriter, *http.Request) {}, nil)
	config, err := clientConfig(ca)
	if err != nil {
		t.Fatal(err)
	}
	for _, nagle := range []bool{false, true} {
		w := &worker{load: &load{Address: address, Nagle: nagle, Duration: time.Minute}, created: time.Now(), config: config}
		if err := w.connect(); err != nil {
			t.Fatal(err)
		}
		defer w.conn.Close()
		var off int
		err := w.conn.NetConn().(*rawio.Conn).RawConn().Control(func(fd uintptr) {
			off, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NODELAY)
		})
		if err != nil || (off == 0) != nagle {
			t.Errorf("a client with Nagle=%t: got the option TCP_NODELAY %d, %v; want it to be 0 only with Nagle", nagle, off, err)
		}
	}
}

func TestAWrongStatusIsAnError(t *testing.T) {
	var requests atomic.Int64
	address, ca := startServer(t, func(w http.ResponseWriter, _ *http.Request) {
		if requests.Add(1) > 2 {
			w.WriteHeader(http.StatusTeapot)
		}
	}, nil)
	r := generate(t, &load{
		Address: address, CA: ca, Status: 200, Conns: 2, Requests: [][]byte{getRequest("/")}, Duration: 50 * time.Millisecond,
	})
	if r.Requests != 0 || r.Errors == 0 || r.FirstError != "status 418" {
		t.Errorf("got %d requests and %d errors (%q), want no request and errors of status 418", r.Requests, r.Errors, r.FirstError)
	}
}

func TestAnOpenLoopThatFallsBehindEnds(t *testing.T) {
	address, ca := startServer(t, func(http.ResponseWriter, *http.Request) {}, nil)
	l := &load{
		Address: address, CA: ca, Status: 200, Conns: 1, Requests: [][]byte{getRequest("/")}, Rate: 10_000_000, Duration: time.Second,
	}
	start := time.Now().Add(-l.Duration - 2*maxLag) // as if all requests were late
	w := &worker{load: l, created: time.Now(), latency: newHistogram()}
	var firstError atomic.Pointer[string]
	w.run(start, &firstError)
	if w.done != 0 || w.failed != 1 || *firstError.Load() != errLag.Error() {
		t.Errorf("got %d requests and %d errors (%q), want none and one of %q", w.done, w.failed, *firstError.Load(), errLag)
	}
}

func TestAServerWithoutSessionsFailsResumption(t *testing.T) {
	address, ca := startServer(t, func(http.ResponseWriter, *http.Request) {}, func(c *tls.Config) { c.SessionTicketsDisabled = true })
	r := generate(t, &load{
		Address: address, CA: ca, Status: 200, Conns: 1, Requests: [][]byte{getRequest("/")}, Handshake: "resumed", Duration: 50 * time.Millisecond,
	})
	if r.Requests != 0 || r.Errors == 0 || !strings.Contains(r.FirstError, "resumed=false") {
		t.Errorf("got %d requests and %d errors (%q), want none and errors of resumed=false", r.Requests, r.Errors, r.FirstError)
	}
}

func TestTheNullUpstreamAnswersWhatProxiesSend(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go serveNull(c)
		}
	}()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	for _, text := range []string{string(getRequest("/a")), string(putRequest("/a")), "GET / HTTP/1.0\r\n\r\n"} {
		if _, err := c.Write([]byte(text)); err != nil {
			t.Fatalf("sending %q: %v", text, err)
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("reading the answer to %q: %v", text, err)
		}
		var body struct{ Action string }
		if err := json.NewDecoder(resp.Body).Decode(&body); err != nil || body.Action != "get" {
			t.Errorf("the body of the answer to %q: got action %q, %v; want get", text, body.Action, err)
		}
		if want := strings.Contains(text, "1.0"); resp.Close != want {
			t.Errorf("the answer to %q: got close=%t, want %t", text, resp.Close, want)
		}
	}
}

func TestCPUTimeOfAFamilyIsSeen(t *testing.T) {
	// The shell waits, and only its child uses CPU time.
	p, err := start(os.Stderr, "sh", "-c", `trap 'kill $!' TERM; while :; do :; done & wait`)
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	for limit := time.Now().Add(10 * time.Second); p.cpu() < 3*clockTick; time.Sleep(clockTick) { //nolint:forbidigo // the kernel does not signal CPU time
		if time.Now().After(limit) {
			t.Fatalf("got %v of CPU time after 10 s of a busy child, want %v", p.cpu(), 3*clockTick)
		}
	}
}
