package upstream

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"
)

func TestOneEndpointIsAskedWhetherItIsAvoidedOrNot(t *testing.T) {
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
	askAt := func(at int) (string, error) {
		resp, err := p.do(context.Background(), &Request{Method: "GET", Target: "/"}, p.endpoints[at])
		if err != nil {
			return "", err
		}
		defer resp.Close()
		var b [1]byte
		_, err = resp.Read(b[:])
		return string(b[:]), err
	}
	for range 3 {
		if body, err := askAt(1); body != "2" || err != nil {
			t.Errorf("a request to the second endpoint: got %q, %v, want 2", body, err)
		}
	}
	if n := second.conns.Load(); n != 1 {
		t.Errorf("three requests to the second endpoint: got %d connections, want 1", n)
	}
	first.stop()
	var failed *Error
	if _, err := askAt(0); !errors.As(err, &failed) || failed.Kind != Unreachable {
		t.Errorf("a request to the first endpoint, which is down: got error %v, want Unreachable", err)
	}
	if p.States()[0].Avoided {
		t.Error("after a request to one endpoint that is down: got Avoided true, want false")
	}
	if body, _ := exchange(t, p, "GET"); body != "2" {
		t.Errorf("a request while the first endpoint is down: got an answer of endpoint %q, want 2", body)
	}
	states := p.States()
	if states[0].Endpoint.String() != "http://"+first.ln.Addr().String() || !states[0].Avoided || states[1].Avoided || states[1].Idle != 1 {
		t.Errorf("the states of the endpoints: got %+v, want the first avoided, and the second with one idle connection", states)
	}
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := p.do(gone, &Request{Method: "GET", Target: "/"}, p.endpoints[0]); !errors.As(err, &failed) || failed.Kind != Canceled {
		t.Errorf("a request whose context has ended: got error %v, want Canceled", err)
	}
}

func TestARequestToOneEndpointIsSentOnceAndToNoOther(t *testing.T) {
	first := serve(t, func(c *session) {
		c.request()
		c.say(ok)
		c.request() // and the connection ends without an answer
	})
	var others atomic.Int64
	second := serve(t, func(c *session) {
		others.Add(1)
		always(c)
	})
	p := newPool(t, Options{}, first.endpoint(), second.endpoint())
	ask := func() error {
		r, err := p.do(t.Context(), &Request{Method: "GET", Target: "/"}, p.endpoints[0])
		if err != nil {
			return err
		}
		defer r.Close()
		_, err = io.ReadAll(r)
		return err
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	if err := ask(); err == nil || kindOf(t, err) != Broken {
		t.Errorf("an endpoint that does not answer on a used connection: got %v, want the kind %v", err, Broken)
	}
	if n, again := others.Load(), p.count.Retries.Load(); n != 0 || again != 0 {
		t.Errorf("an endpoint that does not answer: got the request sent again %d times, and %d connections to another, want none", again, n)
	}
}
