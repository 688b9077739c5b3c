package upstream

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func TestConnectionsAreUsedAgain(t *testing.T) {
	s := serve(t, always)
	p := newPool(t, Options{}, s.endpoint())
	for _, method := range []string{"GET", "PUT", "DELETE", "POST"} { // the next test is about HEAD
		if body, kind := exchange(t, p, method); body != "ok" || kind != -1 {
			t.Errorf("%s: got body %q, kind %d, want ok and no error", method, body, kind)
		}
	}
	if n := s.conns.Load(); n != 1 {
		t.Errorf("requests in sequence: got %d connections, want 1", n)
	}
}

func TestAnAnswerWithMoreBytesThanItSaidEndsItsConnection(t *testing.T) {
	s := serve(t, always)
	p := newPool(t, Options{}, s.endpoint())
	exchange(t, p, "HEAD") // the server sends a body, although the answer to a HEAD has none
	if body, kind := exchange(t, p, "PUT"); body != "ok" || kind != -1 || s.conns.Load() != 2 {
		t.Errorf("a request after surplus bytes: got body %q, kind %d on connection %d, want ok on connection 2", body, kind, s.conns.Load())
	}
}

func TestAReadOnAConnectionThatWasClosedIsSentOnceMore(t *testing.T) {
	s := serve(t, func(c *session) {
		if _, more := c.request(); more {
			c.say(ok)
		}
		if c.number == 1 {
			c.request() // and close the connection without an answer
			return
		}
		always(c)
	})
	p := newPool(t, Options{}, s.endpoint())
	for i := range 3 {
		if body, kind := exchange(t, p, "GET"); body != "ok" || kind != -1 {
			t.Errorf("request %d: got body %q, kind %d, want ok and no error", i, body, kind)
		}
	}
	if p.count.Retries.Load() != 1 {
		t.Errorf("after one closed connection: got %d retries, want 1", p.count.Retries.Load())
	}
}

func TestAReadIsNotSentAThirdTime(t *testing.T) {
	s := serve(t, func(c *session) {
		if c.number == 1 {
			c.request()
			c.say(ok)
		}
		c.request()
	})
	p := newPool(t, Options{}, s.endpoint())
	exchange(t, p, "GET")
	if _, kind := exchange(t, p, "GET"); kind != Broken || s.conns.Load() != 2 {
		t.Errorf("a read whose connections are closed: got kind %d after %d connections, want Broken after 2", kind, s.conns.Load())
	}
}

func TestAWriteNeverGoesOutOnAConnectionThatWasClosed(t *testing.T) {
	closed := make(chan struct{})
	s := serve(t, func(c *session) {
		c.request()
		c.say(ok)
		if c.number == 1 {
			c.Close()
			close(closed)
			return
		}
		always(c)
	})
	p := newPool(t, Options{}, s.endpoint())
	exchange(t, p, "PUT")
	<-closed
	waitForInput(t, p.endpoints[0].idle[0]) // the end of the connection
	if body, kind := exchange(t, p, "PUT"); body != "ok" || kind != -1 {
		t.Errorf("a write after the pooled connection was closed: got body %q, kind %d, want ok and no error", body, kind)
	}
	if p.count.Stale.Load() != 1 || p.count.Retries.Load() != 0 {
		t.Errorf("after a closed pooled connection: got %d stale, %d retries, want 1, 0", p.count.Stale.Load(), p.count.Retries.Load())
	}
}

func TestAConnectionWithUnaskedBytesIsDroppedBeforeAWrite(t *testing.T) {
	s := serve(t, func(c *session) {
		c.request()
		c.say(ok)
		if c.number == 1 {
			c.say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
		}
		always(c)
	})
	p := newPool(t, Options{}, s.endpoint())
	exchange(t, p, "GET")
	if len(p.endpoints[0].idle) > 0 { // otherwise the bytes arrived with the answer
		waitForInput(t, p.endpoints[0].idle[0])
	}
	if body, kind := exchange(t, p, "PUT"); body != "ok" || kind != -1 {
		t.Errorf("a write after unexpected bytes: got body %q, kind %d, want ok and no error", body, kind)
	}
}

// waitForInput waits until an idle connection holds bytes or was closed by its peer.
func waitForInput(t *testing.T, c *conn) {
	t.Helper()
	if err := c.arm(); err != nil {
		t.Fatalf("setting a deadline: %v", err)
	}
	var b [1]byte
	err := c.access.Read(func(fd uintptr) bool {
		_, err := c.raw.Peek(fd, b[:])
		return !errors.Is(err, syscall.EAGAIN)
	})
	if err != nil {
		t.Fatalf("waiting for input on an idle connection: %v", err)
	}
}

// TestAWriteIsNeverSeenTwice cuts the connection at every point of an exchange.
func TestAWriteIsNeverSeenTwice(t *testing.T) {
	for cut := range len(ok) {
		for _, method := range []string{"PUT", "POST", "DELETE"} {
			var seen atomic.Int64
			s := serve(t, func(c *session) {
				for {
					r, more := c.request()
					if !more {
						return
					}
					if r.Method == "GET" { // to open the connection
						c.say(ok)
						continue
					}
					seen.Add(1)
					c.say(ok[:cut])
					return
				}
			})
			p := newPool(t, Options{}, s.endpoint())
			if cut%2 == 0 {
				exchange(t, p, "GET")
			}
			if _, kind := exchange(t, p, method); kind != UnknownOutcome || seen.Load() != 1 {
				t.Errorf("%s, cut after %d bytes of the answer: got kind %d, received %d times, want UnknownOutcome, once", method, cut, kind, seen.Load())
			}
			s.stop()
		}
	}
}

func TestAnUnreadRequestIsNotSentAgainEither(t *testing.T) {
	s := serve(t, func(c *session) {
		c.request()
		c.say(ok)
		if c.number == 1 {
			_, _ = c.r.Peek(1) // when the write begins to arrive, the connection is reset
			_ = c.Conn.(*net.TCPConn).SetLinger(0)
		}
	})
	p := newPool(t, Options{}, s.endpoint())
	exchange(t, p, "PUT")
	if _, kind := exchange(t, p, "PUT"); kind != UnknownOutcome || s.conns.Load() != 1 {
		t.Errorf("a write whose connection is reset: got kind %d on connection %d, want UnknownOutcome on connection 1", kind, s.conns.Load())
	}
}

func TestNothingListens(t *testing.T) {
	s := serve(t, always)
	p := newPool(t, Options{}, s.endpoint())
	s.stop()
	for _, method := range []string{"GET", "PUT"} {
		if _, kind := exchange(t, p, method); kind != Unreachable {
			t.Errorf("%s while nothing listens: got kind %d, want Unreachable", method, kind)
		}
	}
	ln, err := net.Listen("tcp", s.ln.Addr().String())
	if err != nil {
		t.Skip("the port was taken: ", err)
	}
	serveOn(t, ln, always)
	if _, kind := exchange(t, p, "PUT"); kind != -1 {
		t.Errorf("a write after etcd is back: got kind %d, want no error", kind)
	}
}

func TestTheSecondEndpointServesWhileTheFirstIsDown(t *testing.T) {
	named := func(name string) func(*session) {
		return func(c *session) {
			for {
				if _, more := c.request(); !more {
					return
				}
				c.say("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" + name)
			}
		}
	}
	first, second := serve(t, named("1")), serve(t, named("2"))
	p := newPool(t, Options{}, first.endpoint(), second.endpoint())
	if body, _ := exchange(t, p, "PUT"); body != "1" {
		t.Errorf("a request while both endpoints are up: got an answer of endpoint %q, want 1", body)
	}
	first.stop()
	for p.endpoints[0].idle[0].isIdle() {
	}
	for _, method := range []string{"PUT", "GET", "DELETE"} {
		if body, kind := exchange(t, p, method); body != "2" {
			t.Errorf("%s while the first endpoint is down: got an answer of endpoint %q, kind %d, want 2", method, body, kind)
		}
	}
	ln, err := net.Listen("tcp", first.ln.Addr().String())
	if err != nil {
		t.Skip("the port was taken: ", err)
	}
	serveOn(t, ln, named("1"))
	for p.endpoints[0].down.Load() { // until the probe has connected
		runtime.Gosched()
	}
	if body, kind := exchange(t, p, "PUT"); body != "1" {
		t.Errorf("a request after the first endpoint is back: got an answer of endpoint %q, kind %d, want 1", body, kind)
	}
}

func TestManyRequestsShareFewConnections(t *testing.T) {
	s := serve(t, always)
	p := newPool(t, Options{MaxRequests: 4}, s.endpoint())
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			for range 20 {
				if body, kind := exchange(t, p, "PUT"); body != "ok" || kind != -1 {
					t.Errorf("one of many concurrent writes: got body %q, kind %d, want ok and no error", body, kind)
				}
			}
		})
	}
	all.Wait()
	if n := s.conns.Load(); n > 4 {
		t.Errorf("64 clients with MaxRequests 4: got %d connections, want at most 4", n)
	}
}

// TestReadsThatAreNotTakenLeaveRoomForWrites gives answers to readers that do not read
// them.
func TestReadsThatAreNotTakenLeaveRoomForWrites(t *testing.T) {
	s := serve(t, always)
	p := newPool(t, Options{MaxRequests: 4, HeaderTimeout: 100 * time.Millisecond}, s.endpoint())
	for range 3 {
		r, err := p.Do(context.Background(), &Request{Method: "GET", Target: "/r"})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
	}
	if _, kind := exchange(t, p, "GET"); kind != Busy {
		t.Errorf("a read beyond the slots for reads: got kind %d, want Busy", kind)
	}
	if body, kind := exchange(t, p, "PUT"); body != "ok" {
		t.Errorf("a write while reads hold their slots: got body %q, kind %d, want ok", body, kind)
	}
}

func TestAWatchBeyondTheLimitIsToldSo(t *testing.T) {
	s := serve(t, func(c *session) {
		c.request()
		c.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		c.request()
	})
	p := newPool(t, Options{MaxWatches: 1}, s.endpoint())
	r, err := p.Do(context.Background(), &Request{Method: "GET", Target: "/w", Watch: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, kind := exchangeWith(t, context.Background(), p, &Request{Method: "GET", Target: "/w", Watch: true}); kind != Busy {
		t.Errorf("a second watch with MaxWatches 1: got kind %d, want Busy", kind)
	}
	r.Close()
}

// leaveIdle gives n connections to etcd back at the same time.
func leaveIdle(t *testing.T, p *Pool, n int) {
	t.Helper()
	var open []*Response
	for range n {
		r, err := p.Do(context.Background(), &Request{Method: "GET", Target: "/"})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.ReadAll(r)
		open = append(open, r)
	}
	for _, r := range open {
		r.Close()
	}
}

func TestIdleConnectionsAreBoundedAndGrowOld(t *testing.T) {
	gone := make(chan struct{}, 3)
	s := serve(t, func(c *session) {
		always(c)
		gone <- struct{}{}
	})
	p := newPool(t, Options{MaxIdle: 1}, s.endpoint())
	expect := func(closed int, idle int64, when string) {
		t.Helper()
		for i := range closed {
			select {
			case <-gone:
			case <-time.After(10 * time.Second):
				t.Fatalf("%s: got %d connections closed, want %d", when, i, closed)
			}
		}
		if n := p.count.Idle.Load(); n != idle {
			t.Errorf("%s: got %d idle connections, want %d", when, n, idle)
		}
	}
	leaveIdle(t, p, 3)
	expect(2, 1, "three connections with MaxIdle 1")
	p.endpoints[0].idle[0].since = time.Now().Add(-time.Hour)
	p.endpoints[0].closeOld()
	expect(1, 0, "after closing old connections")
}

func TestAClosedPoolLetsRunningRequestsEnd(t *testing.T) {
	s := serve(t, always)
	p := newPool(t, Options{}, s.endpoint())
	r, err := p.Do(context.Background(), &Request{Method: "GET", Target: "/"})
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	if data, err := io.ReadAll(r); string(data) != "ok" || err != nil {
		t.Errorf("a request that was running when the pool was closed: got %q, %v, want ok, nil", data, err)
	}
	r.Close()
	if body, kind := exchange(t, p, "PUT"); body != "ok" || kind != -1 {
		t.Errorf("a request through a closed pool: got body %q, kind %d, want ok and no error", body, kind)
	}
}

func TestAUnixSocketIsAnEndpoint(t *testing.T) {
	path := filepath.Join(t.TempDir(), "etcd 1.sock")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := serveOn(t, ln, always)
	at, err := ParseEndpoint("unix://" + path)
	if err != nil {
		t.Fatal(err)
	}
	p := newPool(t, Options{}, at)
	for range 2 {
		if body, kind := exchange(t, p, "PUT"); body != "ok" || kind != -1 {
			t.Errorf("a write over a Unix socket: got body %q, kind %d, want ok and no error", body, kind)
		}
	}
	if s.conns.Load() != 1 {
		t.Errorf("two writes over a Unix socket: got %d connections, want 1", s.conns.Load())
	}
}

func TestALongFirstLineIsNotSentOnANewPlaintextConnection(t *testing.T) {
	s := serve(t, always)
	p := newPool(t, Options{}, s.endpoint())
	long := &Request{Method: "GET", Target: "/" + strings.Repeat("x", 4096)}
	if _, kind := exchangeWith(t, context.Background(), p, long); kind != TooLong {
		t.Errorf("a request line above 4096 bytes on a new connection: got kind %d, want TooLong", kind)
	}
}

func TestEndpointsThatAreRefused(t *testing.T) {
	for _, text := range []string{
		"", "127.0.0.1:2379", "http://127.0.0.1", "http://:2379", "http://h:0", "http://h:99999", "http://h:2379/v2", "http://h:2379?x",
		"http://h:2379?", "http://h:2379#", "http://u:p@h:2379", "ftp://h:2379", "unix://etcd.sock", "http://[::1:2379", "http://h:port",
	} {
		if e, err := ParseEndpoint(text); err == nil {
			t.Errorf("parsing the endpoint %q: got %v and no error, want an error", text, e)
		}
	}
	for _, text := range []string{"http://127.0.0.1:2379", "https://[::1]:2379", "unix:///run/etcd.sock", "https://conf1001.example:2379"} {
		if e, err := ParseEndpoint(text); err != nil || e.String() != text {
			t.Errorf("parsing the endpoint %q: got %v, %v, want the same text", text, e, err)
		}
	}
	if e, err := ParseEndpoint("http://h:2379/"); err != nil || e.String() != "http://h:2379" {
		t.Errorf("parsing an endpoint with a slash at the end: got %v, %v, want it without the slash", e, err)
	}
}

func TestAConnectionThatRestedLongerThanARequestMayTakeIsUsedAgain(t *testing.T) {
	s := serve(t, always)
	p := newPool(t, Options{}, s.endpoint())
	exchange(t, p, "GET")
	e := p.endpoints[0]
	e.mu.Lock()
	c := e.idle[0]
	c.since, c.armed = c.since.Add(-time.Minute), c.armed.Add(-time.Minute)
	if err := c.SetDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	e.mu.Unlock()
	if body, kind := exchange(t, p, "PUT"); body != "ok" || kind != -1 || s.conns.Load() != 1 {
		t.Errorf("a write on a connection that was idle for a minute: got body %q, kind %d on connection %d, want ok on connection 1", body, kind, s.conns.Load())
	}
}
