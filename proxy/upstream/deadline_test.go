package upstream

import (
	"context"
	"io"
	"testing"
	"time"
)

// The deadline of a head is set once for several requests, so whatever replaces it must say so.
func TestARequestOnAUsedConnectionHasALimitOfTime(t *testing.T) {
	for name, c := range map[string]struct {
		req         Request
		first, rest string
	}{
		"a watch":                    {Request{Method: "GET", Target: "/", Watch: true}, watchHead, "5\r\nevent\r\n0\r\n\r\n"},
		"a body that came by itself": {Request{Method: "GET", Target: "/"}, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "value"},
	} {
		begun := make(chan struct{})
		s := serve(t, func(conn *session) {
			conn.request()
			conn.say(c.first)
			<-begun
			conn.say(c.rest)
			conn.request() // is not answered
			conn.request()
		})
		p := newPool(t, Options{HeaderTimeout: 400 * time.Millisecond, BodyTimeout: time.Hour}, s.endpoint())
		r, err := p.Do(context.Background(), &c.req)
		if err != nil {
			t.Fatal(err)
		}
		close(begun)
		if _, err := io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
		r.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if _, kind := exchangeWith(t, ctx, p, &Request{Method: "PUT", Target: "/"}); kind != Timeout || p.count.Reuses.Load() != 1 {
			t.Errorf("a write behind %s that is not answered: got kind %v on a used connection: %t, want %v", name, kind, p.count.Reuses.Load() == 1, Timeout)
		}
	}
}

func TestAConnectionWhoseClientHasLeftIsNotKept(t *testing.T) {
	s := serve(t, always)
	p := newPool(t, Options{}, s.endpoint())
	ctx, cancel := context.WithCancel(context.Background())
	r, err := p.Do(ctx, &Request{Method: "GET", Target: "/"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(r); err != nil {
		t.Fatal(err)
	}
	cancel() // interrupts the connection, sooner or later
	r.Close()
	if n := p.count.Idle.Load(); n != 0 {
		t.Errorf("a client that left behind its answer: got %d connections kept, want none", n)
	}
}
