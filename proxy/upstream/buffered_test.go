package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// large returns a response with a body that is chunked, like etcd's, or has a length.
func large(body string, chunked bool) string {
	if !chunked {
		return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(body), body)
}

// readAll reads some bytes, buffers as many as are allowed, and reads the rest.
func readAll(t *testing.T, r *Response) (body string, whole bool) {
	t.Helper()
	defer r.Close()
	first := make([]byte, 1000)
	if _, err := io.ReadFull(r, first); err != nil {
		t.Fatal(err)
	}
	a, whole, err := r.ReadBuffered(first, Payer{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Free()
	rest, restErr := io.ReadAll(r)
	if restErr != nil {
		t.Fatal(restErr)
	}
	return string(a.Bytes) + string(rest), whole
}

// serveLarge answers each request with the same body.
func serveLarge(t *testing.T, body string, chunked bool) *server {
	t.Helper()
	return serve(t, func(c *session) {
		for {
			if _, more := c.request(); !more {
				return
			}
			c.say(large(body, chunked))
		}
	})
}

func TestAnswersAreReceivedBeforeTheirClientsTakeThem(t *testing.T) {
	sizes := map[int]bool{1001: true, 64 << 10: true, 70_001: true, MaxBuffered: true, MaxBuffered + 1: false, 2*MaxBuffered + 17: false}
	for size, whole := range sizes {
		for _, chunked := range []bool{false, true} {
			if size == MaxBuffered && chunked {
				continue // the buffer is full before the end of the chunks is read
			}
			body := strings.Repeat("0123456789abcdef", size/16+1)[:size]
			s := serveLarge(t, body, chunked)
			p := newPool(t, Options{}, s.endpoint())
			for range 3 { // also with memory that is reused
				r, err := p.Do(context.Background(), &Request{Method: "GET", Target: "/"})
				if err != nil {
					t.Fatal(err)
				}
				if got, all := readAll(t, r); got != body || all != whole {
					t.Errorf("an answer of %d bytes, chunked %v: got %d bytes, equal %v, whole %v, want whole %v", size, chunked, len(got), got == body, all, whole)
				}
			}
			if p.count.Buffered.Held() != 0 {
				t.Errorf("after an answer of %d bytes, chunked %v: got %d bytes held, want 0", size, chunked, p.count.Buffered.Held())
			}
			if s.conns.Load() != 1 {
				t.Errorf("three answers of %d bytes, chunked %v: got %d connections, want 1", size, chunked, s.conns.Load())
			}
		}
	}
}

// TestTheSizeOfAnAnswerIsKnownWhenItBegins is about an answer of which etcd has sent the start.
func TestTheSizeOfAnAnswerIsKnownWhenItBegins(t *testing.T) {
	const size = MaxBuffered + 1
	for _, head := range []string{
		fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size),
		fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n", size), // one chunk, like etcd
	} {
		s := serve(t, func(c *session) {
			c.request()
			c.say(head + strings.Repeat("x", 1000))
			c.request() // until the client closes the connection
		})
		p := newPool(t, Options{}, s.endpoint())
		r, err := p.Do(context.Background(), &Request{Method: "GET", Target: "/"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(r, make([]byte, 10)); err != nil {
			t.Fatal(err)
		}
		if got := r.Announced(); got != size {
			t.Errorf("after the first bytes of %q: got %d announced bytes, want %d", head, got, size)
		}
		// Nothing more is received for an answer that is not received whole.
		if b, whole, err := r.ReadBuffered(nil, Payer{}); whole || err != nil {
			t.Errorf("buffering an answer that announces more than the bound: got whole %v, %v, want false", whole, err)
		} else {
			b.Free()
		}
		r.Close()
	}
}

func TestAnAnswerForWhichThereIsNoMemoryIsReadAsItIsTaken(t *testing.T) {
	body := strings.Repeat("x", 1<<20)
	s := serve(t, func(c *session) {
		c.request()
		c.say(large(body, true))
		c.request()
	})
	p := newPool(t, Options{}, s.endpoint())
	p.count.Buffered.reserve(p.o.Buffered-1000, p.o.Buffered)
	r, err := p.Do(context.Background(), &Request{Method: "GET", Target: "/"})
	if err != nil {
		t.Fatal(err)
	}
	if got, whole := readAll(t, r); got != body || whole {
		t.Errorf("an answer beyond the budget: got %d bytes, whole %v, want %d, false", len(got), whole, len(body))
	}
	if held := p.count.Buffered.Held(); held != p.o.Buffered-1000 {
		t.Errorf("after the answer: got %d bytes held, want %d", held, p.o.Buffered-1000)
	}
}

func TestAnAnswerThatBreaksOffWhileItIsReadAheadIsBroken(t *testing.T) {
	for _, chunked := range []bool{false, true} {
		s := serve(t, func(c *session) {
			c.request()
			text := large(strings.Repeat("x", 1<<20), chunked)
			c.say(text[:len(text)-10])
		})
		p := newPool(t, Options{}, s.endpoint())
		r, err := p.Do(context.Background(), &Request{Method: "GET", Target: "/"})
		if err != nil {
			t.Fatal(err)
		}
		a, _, err := r.ReadBuffered(nil, Payer{})
		var failed *Error
		if a != nil || !errors.As(err, &failed) || failed.Kind != Broken {
			t.Errorf("buffering an answer that breaks off, chunked %v: got %v, %v, want nil and Broken", chunked, a, err)
		}
		r.Close()
		if held := p.count.Buffered.Held(); held != 0 {
			t.Errorf("after an answer that broke off: got %d bytes held, want 0", held)
		}
	}
}

func TestASmallAnswerIsReceivedWholeWhateverTheLargeOnesHold(t *testing.T) {
	body := strings.Repeat("x", 40<<10)
	s := serveLarge(t, body, true)
	p := newPool(t, Options{}, s.endpoint())
	p.count.Buffered.reserve(p.o.Buffered, p.o.Buffered)
	for range 2 {
		r, err := p.Do(context.Background(), &Request{Method: "GET", Target: "/"})
		if err != nil {
			t.Fatal(err)
		}
		if got, whole := readAll(t, r); got != body || !whole {
			t.Errorf("a small answer without budget: got %d bytes, whole %v, want %d, true", len(got), whole, len(body))
		}
	}
}

func TestAnAnswerThatComesSlowlyIsNotWaitedFor(t *testing.T) {
	more := make(chan struct{})
	s := serve(t, func(c *session) {
		c.request()
		c.say("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for range 1000 {
			select {
			case <-more:
			case <-tick.C:
				c.say("x")
				continue
			}
			break
		}
		c.say(strings.Repeat("x", 100_000))
	})
	// Each byte must come within that time, on a busy machine as well.
	p := newPool(t, Options{BodyTimeout: 500 * time.Millisecond}, s.endpoint())
	r, err := p.Do(context.Background(), &Request{Method: "GET", Target: "/"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	a, whole, err := r.ReadBuffered(nil, Payer{})
	if err != nil || whole || len(a.Bytes) == 0 || len(a.Bytes) > 1000 {
		t.Fatalf("buffering a slow answer: got error %v, whole %v, want no error and less than 1000 bytes of it", err, whole)
	}
	a.Free()
	close(more)
}

func TestAWatchThatIsAnsweredHasALimitOfTime(t *testing.T) {
	for name, answer := range map[string]string{
		"a refusal": "HTTP/1.1 400 Bad Request\r\nContent-Length: 100\r\n\r\nhalf",
		"an event":  "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
	} {
		s := serve(t, func(c *session) {
			c.request()
			c.say(answer)
			c.request() // until the pool closes the connection
		})
		p := newPool(t, Options{BodyTimeout: 40 * time.Millisecond}, s.endpoint())
		r, err := p.Do(context.Background(), &Request{Method: "GET", Target: "/", Watch: true})
		if err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 100)
		if n, err := r.Read(buf); n == 0 || err != nil {
			t.Fatal(err)
		}
		if name == "an event" {
			r.EndWatch()
		}
		var failed *Error
		if _, err := r.Read(buf); !errors.As(err, &failed) || failed.Kind != Timeout {
			t.Errorf("reading the rest of %s that stalls: got error %v, want Timeout", name, err)
		}
		r.Close()
	}
}
