package upstream

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func TestARequestThatHasEndedIsNotKeptInMemoryNorInterrupted(t *testing.T) {
	s := serve(t, always)
	p := newPool(t, Options{}, s.endpoint())
	ctx, cancel := context.WithCancel(context.Background())
	for _, whole := range []bool{true, false} {
		r, err := p.Do(ctx, &Request{Method: "GET", Target: "/"})
		if err != nil {
			t.Fatal(err)
		}
		stop := r.release
		if whole {
			_, _ = io.ReadAll(r)
		}
		r.Close()
		if r.ctx != nil || r.release != nil || r.Fields != nil {
			t.Errorf("a closed response, read to its end %t: got its request kept, want nothing", whole)
		}
		if stop() {
			t.Errorf("a closed response, read to its end %t: its client can still interrupt the connection, want not", whole)
		}
	}
	c, failed := p.connect(ctx, nil, true)
	if failed != nil {
		t.Fatal(failed)
	}
	r := c.bind(ctx, reading, &Request{Method: "GET"})
	if r.disconnect(); r.release() {
		t.Error("a request that failed: its client can still interrupt the connection, want not")
	}
	cancel()
}

// failingWrites is a connection whose peer does not receive any more, and has answered.
type failingWrites struct{ net.Conn }

func (failingWrites) Write([]byte) (int, error) { return 0, syscall.EPIPE }

func TestARefusalThatComesBeforeTheBodyWasSentIsTheAnswer(t *testing.T) {
	for answer, refused := range map[string]bool{
		"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n": true, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n": true,
		"HTTP/1.1 399 Odd\r\nContent-Length: 0\r\n\r\n": false, ok: false, "HTTP/1.1 413 cut": false,
	} {
		s := serve(t, func(c *session) { c.say(answer) })
		p := newPool(t, Options{}, s.endpoint())
		c, err := p.endpoints[0].dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c.Conn = failingWrites{c.raw}
		err = c.exchange(t.Context(), &Request{Method: "PUT", Target: "/", Body: make([]byte, smallBody+1)})
		if (err == nil) != refused || refused && !c.parsed.Close || !refused && !errors.Is(err, syscall.EPIPE) {
			t.Errorf("a body that cannot be sent, and the answer %.20q: got the error %v, want the answer: %t", answer, err, refused)
		}
		_ = c.raw.Close()
	}
}

func TestAReadThatIsSentAgainHasAFreshConnection(t *testing.T) {
	var requests atomic.Int64
	s := serve(t, func(c *session) {
		c.request()
		c.say(ok)
		if c.number > 2 {
			always(c)
			return
		}
		if _, more := c.request(); more {
			requests.Add(1) // and close the connection without an answer
		}
	})
	p := newPool(t, Options{}, s.endpoint())
	leaveIdle(t, p, 2)
	if body, kind := exchange(t, p, "GET"); body != "ok" || kind != -1 || requests.Load() != 1 || s.conns.Load() != 3 {
		t.Errorf("a read whose pooled connection is closed, beside another one: got %q and kind %d on connection %d, want ok on the third", body, kind, s.conns.Load())
	}
}

func TestReadingNothingReturnsNothing(t *testing.T) {
	s := serve(t, always)
	p := newPool(t, Options{}, s.endpoint())
	r := get(t, p)
	if n, err := r.Read(nil); n != 0 || err != nil {
		t.Errorf("reading into no bytes: got %d, %v; want 0 and no error", n, err)
	}
	if body, err := io.ReadAll(r); string(body) != "ok" || err != nil {
		t.Errorf("after that: got %q, %v; want ok", body, err)
	}
	r.Close()
}

func TestAReadReturnsBytesOrTheEnd(t *testing.T) {
	s := serve(t, func(c *session) {
		c.request()
		c.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nval\r\n2\r\nue\r\n0\r\n\r\n")
	})
	r := get(t, newPool(t, Options{}, s.endpoint()))
	defer r.Close()
	var got []byte
	for one := make([]byte, 1); ; { // the framing of chunks does not fit
		n, err := r.Read(one)
		if err == io.EOF { //nolint:errorlint // Read promises io.EOF itself
			break
		}
		if n != 1 || err != nil {
			t.Fatalf("behind %q: got %d bytes and the error %v, want one byte", got, n, err)
		}
		got = append(got, one[0])
	}
	if string(got) != "value" {
		t.Errorf("got %q, want value", got)
	}
}

func TestSmallMemoryOfAnEarlierAnswerIsNotCounted(t *testing.T) {
	s := serveLarge(t, strings.Repeat("x", 1000), false)
	p := newPool(t, Options{Buffered: 1}, s.endpoint())
	const size = 64 << 10
	b, found := kept(size, func() *Buffered {
		r := get(t, p)
		defer r.Close()
		b, whole, err := r.ReadBuffered(nil, Payer{})
		if err != nil || !whole {
			t.Fatalf("a small answer without a budget: got whole %t, %v", whole, err)
		}
		return b
	})
	if !found {
		t.Skip("the pool of memory never gave back what was put into it")
	}
	if cap(b.Bytes) != size || p.count.Buffered.Held() != 0 {
		t.Errorf("memory of 64 KiB: got %d bytes used again and %d held, want all and none", cap(b.Bytes), p.count.Buffered.Held())
	}
	b.Free()
}

func TestAMemberThatIsNoEtcdHasNotAnswered(t *testing.T) {
	for _, answer := range []string{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}"} {
		s := serve(t, func(c *session) {
			for {
				if _, more := c.request(); !more {
					return
				}
				c.say(answer)
			}
		})
		p := newPool(t, Options{}, s.endpoint())
		if status, leader := p.probeMember(t.Context(), p.endpoints[0]); status.Answered || status.Err == nil || leader != (Member{}) {
			t.Errorf("a member that answers %q: got %+v, want an error alone", answer, status)
		}
	}
}

func TestALookupThatIsCanceledSaysSo(t *testing.T) {
	r := NewResolver("192.0.2.1:53")
	if err := r.failure("a", context.Canceled); !errors.Is(err, context.Canceled) {
		t.Errorf("the failure of a lookup that is canceled: got %v, want %v", err, context.Canceled)
	}
	if err := r.failure("a", errors.New("silence")); err.Error() != "asked for a: silence" {
		t.Errorf("the failure of a lookup: got %q, want the question and the answer", err)
	}
}

func TestAnEndpointWithoutAPortIsToldWhichOneEtcdHas(t *testing.T) {
	for text, want := range map[string]string{
		"http://h": "it names no port; etcd's own is 2379", "http://h:": "it names no port; etcd's own is 2379", "http://h:0": "its port is not between 1 and 65535", "http://:1": "it names no host",
		"http://u@h:1": "it should contain no user; upstream.user names the user whose credentials etcd receives", "http://h:1/a": "it should end after the port",
	} {
		if _, err := ParseEndpoint(text); err == nil || err.Error() != want {
			t.Errorf("ParseEndpoint(%q): got %v, want %q", text, err, want)
		}
	}
}

func TestAPeerThatVanishedIsNoticedWithinAMinute(t *testing.T) {
	if got, want := keepAlive, (net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 15 * time.Second, Count: 3}); got != want {
		t.Errorf("the signs of life that are asked for: got %+v, want %+v", got, want)
	}
}

func TestEachIdleConnectionIsClosedWhenItIsTooOld(t *testing.T) {
	s := serve(t, always)
	p := newPool(t, Options{IdleTimeout: time.Hour}, s.endpoint())
	e := p.endpoints[0]
	leaveIdle(t, p, 3)
	now := time.Now()
	e.idle[0].since, e.idle[1].since = now.Add(-2*time.Hour), now.Add(-2*time.Hour)
	e.idle[2].since = now.Add(30*time.Millisecond - time.Hour) // the timer that closeOld sets closes it
	e.closeOld()
	for p.count.Idle.Load() > 0 {
		runtime.Gosched()
	}
	e.mu.Lock()
	if e.expiry != nil || len(e.idle) != 0 {
		t.Errorf("without idle connections: got a timer and %d connections, want none", len(e.idle))
	}
	e.mu.Unlock()
	leaveIdle(t, p, 2)
	c := e.getIdle()
	if c == nil || e.idle[:2][1] != nil {
		t.Fatalf("a connection in use: got %v still in the list of idle ones, want it only in use", c)
	}
	_ = c.Close()
}

func TestAProbeThatFailsIsRepeatedUntilTheEndpointIsBack(t *testing.T) {
	s, second := serve(t, always), serve(t, always)
	p := newPool(t, Options{}, s.endpoint(), second.endpoint())
	s.stop()
	exchange(t, p, "GET")
	failures := p.count.DialFailures.Load()
	for p.count.DialFailures.Load() < failures+2 { // two probes
		runtime.Gosched()
	}
	if !p.States()[0].Avoided {
		t.Error("an endpoint whose probes fail: got it used, want it avoided")
	}
}

func TestAClientThatLeavesDuringItsRequestIsNotAnswered(t *testing.T) {
	s := serve(t, always)
	p := newPool(t, Options{}, s.endpoint())
	ctx, cancel := context.WithCancel(context.Background())
	r, err := p.Do(ctx, &Request{Method: "GET", Target: "/"})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.ReadAll(r)
	cancel()
	r.Close()
	if n := p.count.Idle.Load(); n != 0 {
		t.Errorf("a connection that its client has interrupted: got it kept, want it closed")
	}
	c, err := p.endpoints[0].dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.exchange(ctx, &Request{Method: "GET", Target: "/"}); !errors.Is(err, context.Canceled) {
		t.Errorf("a request of a client that has left: got the error %v, want %v", err, context.Canceled)
	}
	_ = c.Close()
}

func TestAnAnswerWithoutABodyHasArrived(t *testing.T) {
	s := serve(t, func(c *session) {
		c.request()
		c.say("HTTP/1.1 200 OK\r\nX-Etcd-Index: 7\r\nContent-Length: 0\r\n\r\n")
		c.request()
	})
	p := newPool(t, Options{}, s.endpoint())
	r := past(t, p)
	if arrived, err := r.Arrived(time.Minute); !arrived || err != nil {
		t.Errorf("an answer that is complete: got arrived %t, %v; want true, none", arrived, err)
	}
	r.Close()
}

func TestAPoolNeedsAnEndpoint(t *testing.T) {
	if p, err := New(Options{}); p != nil || err == nil {
		t.Errorf("a pool without endpoints: got %v, %v; want an error", p, err)
	}
}

func TestAReadOfWhichOneByteWasAnsweredIsNotSentAgain(t *testing.T) {
	s := serve(t, func(c *session) {
		c.request()
		c.say(ok)
		if c.number > 1 {
			always(c)
			return
		}
		c.request()
		c.say("H")
	})
	p := newPool(t, Options{}, s.endpoint())
	exchange(t, p, "GET")
	if _, kind := exchange(t, p, "GET"); kind != Broken || s.conns.Load() != 1 || p.count.Retries.Load() != 0 {
		t.Errorf("a read whose answer is cut after one byte: got kind %d on connection %d, want %d on the first", kind, s.conns.Load(), Broken)
	}
}
