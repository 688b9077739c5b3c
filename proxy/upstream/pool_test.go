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
	for _, method := range []string{"GET", "PUT", "HEAD", "DELETE", "POST"} {
		want := map[bool]string{false: "ok"}[method == "HEAD"]
		if method == "HEAD" {
			continue // the scripted server answers it with a body, which is the next test's matter
		}
		if body, kind := exchange(t, p, method); body != want || kind != -1 {
			t.Errorf("%s: %q, %v", method, body, kind)
		}
	}
	if n := s.conns.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestAnAnswerWithMoreBytesThanItSaidEndsItsConnection(t *testing.T) {
	s := serve(t, always)
	p := newPool(t, Options{}, s.endpoint())
	exchange(t, p, "HEAD") // a body follows, which a HEAD has not
	if body, kind := exchange(t, p, "PUT"); body != "ok" || kind != -1 || s.conns.Load() != 2 {
		t.Errorf("%q, %v on connection %d", body, kind, s.conns.Load())
	}
}

func TestAReadOnAConnectionThatWasClosedIsSentOnceMore(t *testing.T) {
	s := serve(t, func(c *session) {
		if _, more := c.request(); more {
			c.say(ok)
		}
		if c.number == 1 {
			c.request() // and is gone without a word
			return
		}
		always(c)
	})
	p := newPool(t, Options{}, s.endpoint())
	for i := range 3 {
		if body, kind := exchange(t, p, "GET"); body != "ok" || kind != -1 {
			t.Errorf("request %d: %q, %v", i, body, kind)
		}
	}
	if p.count.Retries.Load() != 1 {
		t.Errorf("%d retries", p.count.Retries.Load())
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
		t.Errorf("%v after %d connections", kind, s.conns.Load())
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
		t.Errorf("%q, %v", body, kind)
	}
	if p.count.Stale.Load() != 1 || p.count.Retries.Load() != 0 {
		t.Errorf("%d stale, %d retries", p.count.Stale.Load(), p.count.Retries.Load())
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
	if len(p.endpoints[0].idle) > 0 { // the bytes may have come with the answer
		waitForInput(t, p.endpoints[0].idle[0])
	}
	if body, kind := exchange(t, p, "PUT"); body != "ok" || kind != -1 {
		t.Errorf("%q, %v", body, kind)
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
					if r.Method == "GET" { // to warm the connection up
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
				t.Errorf("%s cut after %d bytes: %v, seen %d times", method, cut, kind, seen.Load())
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
			_, _ = c.r.Peek(1) // the write has begun to arrive; then the connection is reset
			_ = c.Conn.(*net.TCPConn).SetLinger(0)
		}
	})
	p := newPool(t, Options{}, s.endpoint())
	exchange(t, p, "PUT")
	if _, kind := exchange(t, p, "PUT"); kind != UnknownOutcome || s.conns.Load() != 1 {
		t.Errorf("%v on connection %d", kind, s.conns.Load())
	}
}

func TestNothingListens(t *testing.T) {
	s := serve(t, always)
	p := newPool(t, Options{}, s.endpoint())
	s.stop()
	for _, method := range []string{"GET", "PUT"} {
		if _, kind := exchange(t, p, method); kind != Unreachable {
			t.Errorf("%s: %v", method, kind)
		}
	}
	ln, err := net.Listen("tcp", s.ln.Addr().String())
	if err != nil {
		t.Skip("the port was taken: ", err)
	}
	serveOn(t, ln, always)
	if _, kind := exchange(t, p, "PUT"); kind != -1 {
		t.Errorf("a write after etcd is back: %v", kind)
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
		t.Errorf("served by %q", body)
	}
	first.stop()
	for p.endpoints[0].idle[0].isIdle() {
	}
	for _, method := range []string{"PUT", "GET", "DELETE"} {
		if body, kind := exchange(t, p, method); body != "2" {
			t.Errorf("%s served by %q, %v", method, body, kind)
		}
	}
	ln, err := net.Listen("tcp", first.ln.Addr().String())
	if err != nil {
		t.Skip("the port was taken: ", err)
	}
	serveOn(t, ln, named("1"))
	for p.endpoints[0].down.Load() { // until the probe has found it
		runtime.Gosched()
	}
	if body, kind := exchange(t, p, "PUT"); body != "1" {
		t.Errorf("after the first is back served by %q, %v", body, kind)
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
					t.Errorf("%q, %v", body, kind)
				}
			}
		})
	}
	all.Wait()
	if n := s.conns.Load(); n > 4 {
		t.Errorf("%d connections", n)
	}
}

// TestReadsThatAreNotTakenLeaveRoomForWrites lets readers have their answers and not
// read them.
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
		t.Errorf("one more read: %v", kind)
	}
	if body, kind := exchange(t, p, "PUT"); body != "ok" {
		t.Errorf("a write: %q, %v", body, kind)
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
		t.Errorf("the second watch: %v", kind)
	}
	r.Close()
}

func TestIdleConnectionsAreBoundedAndGrowOld(t *testing.T) {
	s := serve(t, always)
	p := newPool(t, Options{MaxIdle: 1}, s.endpoint())
	var open []*Response
	for range 3 {
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
	if n := p.count.Idle.Load(); n != 1 {
		t.Errorf("%d idle connections", n)
	}
	p.endpoints[0].idle[0].since = time.Now().Add(-time.Hour)
	p.endpoints[0].closeOld()
	if n := p.count.Idle.Load(); n != 0 {
		t.Errorf("%d old connections are kept", n)
	}
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
		t.Errorf("%q, %v", data, err)
	}
	r.Close()
	if body, kind := exchange(t, p, "PUT"); body != "ok" || kind != -1 {
		t.Errorf("a request that loaded the pool before: %q, %v", body, kind)
	}
}

func TestAUnixSocketIsAnEndpoint(t *testing.T) {
	path := filepath.Join(t.TempDir(), "etcd.sock")
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
			t.Errorf("%q, %v", body, kind)
		}
	}
	if s.conns.Load() != 1 {
		t.Errorf("%d connections", s.conns.Load())
	}
}

func TestALongFirstLineIsNotSentOnANewPlaintextConnection(t *testing.T) {
	s := serve(t, always)
	p := newPool(t, Options{}, s.endpoint())
	long := &Request{Method: "GET", Target: "/" + strings.Repeat("x", 4096)}
	if _, kind := exchangeWith(t, context.Background(), p, long); kind != TooLong {
		t.Errorf("on a new connection: %v", kind)
	}
}

func TestEndpointsThatAreRefused(t *testing.T) {
	for _, text := range []string{
		"", "127.0.0.1:2379", "http://127.0.0.1", "http://:2379", "http://h:0", "http://h:99999", "http://h:2379/v2", "http://h:2379?x",
		"http://h:2379?", "http://h:2379#", "http://u:p@h:2379", "ftp://h:2379", "unix://etcd.sock", "http://[::1:2379", "http://h:port",
	} {
		if e, err := ParseEndpoint(text); err == nil {
			t.Errorf("%q was read as %v", text, e)
		}
	}
	for _, text := range []string{"http://127.0.0.1:2379", "https://[::1]:2379", "unix:///run/etcd.sock", "https://conf1001.example:2379"} {
		if e, err := ParseEndpoint(text); err != nil || e.String() != text {
			t.Errorf("%q was read as %v: %v", text, e, err)
		}
	}
	if e, err := ParseEndpoint("http://h:2379/"); err != nil || e.String() != "http://h:2379" {
		t.Errorf("a slash at the end: %v, %v", e, err)
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
		t.Errorf("%q, %v on connection %d", body, kind, s.conns.Load())
	}
}
