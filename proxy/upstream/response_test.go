package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// answer returns a server that sends one answer on each connection, and waits.
func answer(t testing.TB, text string) *server {
	return serve(t, func(c *session) {
		if _, more := c.request(); more {
			c.say(text)
			c.request()
		}
	})
}

func TestBodiesOfAllFramings(t *testing.T) {
	for text, want := range map[string]string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nvalue":                                                            "value",
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n":                                                                 "",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nval\r\n2\r\nue\r\n0\r\n\r\n":                        "value",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\n\r\n5\r\nvalue\r\n0\r\nA: b\r\n\r\n":           "value",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nvalue":                               "value",
		"HTTP/1.1 204 No Content\r\n\r\n":                                                                              "",
		"HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", 10000) + "\r\nContent-Length: 5\r\n\r\nvalue":                   "value",
		"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 100000):                              strings.Repeat("x", 100000),
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nC350\r\n" + strings.Repeat("y", 50000) + "\r\n0\r\n\r\n": strings.Repeat("y", 50000),
	} {
		at := answer(t, text).endpoint()
		for _, method := range []string{"GET", "PUT"} {
			if body, kind := exchange(t, newPool(t, Options{}, at), method); body != want || kind != -1 {
				t.Errorf("%s answered with %.60q: got body %.60q, kind %d, want body %.60q", method, text, body, kind, want)
			}
		}
	}
	s := serve(t, func(c *session) {
		c.request()
		c.say("HTTP/1.0 200 OK\r\n\r\nvalue")
	})
	if body, kind := exchange(t, newPool(t, Options{}, s.endpoint()), "GET"); body != "value" || kind != -1 {
		t.Errorf("a body until the end of the connection: got %q, kind %d, want value", body, kind)
	}
}

func TestAnswersThatAreBroken(t *testing.T) {
	for what, text := range map[string]string{
		"nonsense":              "nonsense\r\n\r\n",
		"two lengths":           "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
		"another protocol":      "HTTP/1.1 101 Switching Protocols\r\n\r\n",
		"a bad chunk":           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
		"interim without end":   strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 10),
		"a head that is a mile": "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", 70000) + "\r\n\r\n",
	} {
		p := newPool(t, Options{}, answer(t, text).endpoint())
		if _, kind := exchange(t, p, "GET"); kind != Broken {
			t.Errorf("an answer with %s: got kind %d, want Broken", what, kind)
		}
	}
}

func TestTimeouts(t *testing.T) {
	const soon = 20 * time.Millisecond
	o := Options{HeaderTimeout: soon, BodyTimeout: soon}
	for what, text := range map[string]string{
		"no answer": "", "half a head": "HTTP/1.1 200 OK\r\nA", "half a body": "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nval",
	} {
		p := newPool(t, o, answer(t, text).endpoint())
		for _, method := range []string{"GET", "PUT"} {
			if _, kind := exchange(t, p, method); kind != Timeout {
				t.Errorf("%s to a %s: got kind %d, want Timeout", what, method, kind)
			}
		}
	}
}

func TestAWatchOutlivesEveryTimeout(t *testing.T) {
	event := make(chan struct{})
	s := serve(t, func(c *session) {
		c.request()
		c.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		<-event
		c.say("5\r\nvalue\r\n0\r\n\r\n")
		c.request()
	})
	p := newPool(t, Options{HeaderTimeout: 500 * time.Millisecond, BodyTimeout: time.Nanosecond}, s.endpoint())
	r, err := p.Do(context.Background(), &Request{Method: "GET", Target: "/w", Watch: true})
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(600*time.Millisecond, func() { close(event) }) // past both timeouts
	if data, err := io.ReadAll(r); string(data) != "value" || err != nil {
		t.Errorf("a watch whose event comes after both timeouts: got %q, %v, want value, nil", data, err)
	}
	r.Close()
	if p.count.Idle.Load() != 1 {
		t.Errorf("after a watch that ended with its event: got %d idle connections, want 1", p.count.Idle.Load())
	}
}

func TestCancellation(t *testing.T) {
	reason := errors.New("the client is gone")
	for what, text := range map[string]string{
		"before the head": "", "in the body": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
	} {
		gone := make(chan struct{}, 1)
		s := serve(t, func(c *session) {
			c.request()
			c.say(text)
			c.request() // returns when the pool closes the connection
			gone <- struct{}{}
		})
		p := newPool(t, Options{}, s.endpoint())
		for _, watch := range []bool{false, true} {
			ctx, cancel := context.WithCancelCause(context.Background())
			time.AfterFunc(5*time.Millisecond, func() { cancel(reason) })
			if _, kind := exchangeWith(t, ctx, p, &Request{Method: "GET", Target: "/", Watch: watch}); kind != Canceled {
				t.Errorf("canceled %s, watch %v: got kind %d, want Canceled", what, watch, kind)
			}
			<-gone // the connection is closed, not kept
			if _, err := p.Do(ctx, &Request{Method: "PUT", Target: "/", Watch: watch}); !errors.Is(err, reason) || kindOf(t, err) != Canceled {
				t.Errorf("a request whose context has ended: got error %v, want Canceled because of %v", err, reason)
			}
		}
	}
}

func TestAnEarlyRefusalOfALargeBodyIsHandedOn(t *testing.T) {
	s := serve(t, func(c *session) {
		_, _ = http.ReadRequest(c.r) // only the head
		c.say("HTTP/1.1 400 Bad Request\r\nContent-Length: 5\r\n\r\nlarge")
		_, _ = io.Copy(io.Discard, c.r)
	})
	p := newPool(t, Options{}, s.endpoint())
	body, kind := exchangeWith(t, context.Background(), p, &Request{Method: "PUT", Target: "/", Body: make([]byte, 8<<20)})
	if body != "large" || kind != -1 {
		t.Errorf("a large body that etcd refuses early: got body %q, kind %d, want etcd's answer", body, kind)
	}
}

func TestTLSEndpointsAreVerified(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }))
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	at, err := ParseEndpoint(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	for _, c := range []struct {
		config *tls.Config
		kind   Kind
	}{{&tls.Config{RootCAs: roots}, -1}, {&tls.Config{RootCAs: roots, ServerName: "example.com"}, -1}, {&tls.Config{InsecureSkipVerify: true}, -1},
		{&tls.Config{RootCAs: roots, ServerName: "elsewhere"}, Unreachable}, {nil, Unreachable}} {
		p := newPool(t, Options{TLS: c.config}, at)
		for range 2 {
			if body, kind := exchange(t, p, "PUT"); kind != c.kind || kind == -1 && body != "HTTP/1.1" {
				t.Errorf("TLS with %+v: got body %q, kind %d, want kind %d, over HTTP/1.1", c.config, body, kind, c.kind)
			}
		}
		p.Close()
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add([]byte(ok), true)
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nval\r\n0\r\n\r\n"), false)
	f.Fuzz(func(t *testing.T, text []byte, watch bool) {
		s := serve(t, func(c *session) {
			c.request()
			c.say(string(text))
		})
		defer s.stop()
		p := newPool(t, Options{HeaderTimeout: time.Second, BodyTimeout: time.Second}, s.endpoint())
		for _, method := range []string{"GET", "PUT"} {
			exchangeWith(t, context.Background(), p, &Request{Method: method, Target: "/", Watch: watch})
		}
	})
}
