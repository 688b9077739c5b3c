package proxy_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

// echo starts a proxy in front of a stand-in that answers with the request it received.
func echo(t *testing.T, l fronttest.Lane) *fronttest.Front {
	t.Helper()
	return l.Front(t, fronttest.StandIn(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		_, _ = io.WriteString(w, r.Method+" "+r.RequestURI+" "+string(body))
	}), nil)
}

func TestMalformedRequestsGetAnErrorThatClientsCanParse(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f := l.Front(t, fronttest.StandIn(t, func(http.ResponseWriter, *http.Request) { t.Error("etcd received a request") }), nil)
		const path = "/v2/keys/eventlogging/a"
		for what, c := range map[string]struct {
			text   string
			status int
		}{
			"bare line feeds":               {"PUT " + path + " HTTP/1.1\nHost: h\n\n", 400},
			"no host":                       {"PUT " + path + " HTTP/1.1\r\n\r\n", 400},
			"two hosts":                     {"PUT " + path + " HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", 400},
			"two lengths":                   {"PUT " + path + " HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400},
			"a length and a coding":         {"PUT " + path + " HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
			"a coding that is not known":    {"PUT " + path + " HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", 501},
			"two authorizations":            {"PUT " + path + " HTTP/1.1\r\nHost: h\r\nAuthorization: " + fronttest.Basic("root") + "\r\nAuthorization: " + fronttest.Basic("root") + "\r\n\r\n", 400},
			"a folded header":               {"PUT " + path + " HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n", 400},
			"another expectation":           {"PUT " + path + " HTTP/1.1\r\nHost: h\r\nExpect: x\r\n\r\n", 417},
			"HTTP/2 without asking":         {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
			"a target that is none":         {"GET v2/keys HTTP/1.1\r\nHost: h\r\n\r\n", 400},
			"a target that net/http hates":  {"GET /v2/keys/%zz HTTP/1.1\r\nHost: h\r\n\r\n", 400},
			"a star":                        {"GET * HTTP/1.1\r\nHost: h\r\n\r\n", 400},
			"an upgrade with a body":        {"GET /v2/keys/a HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 1\r\n\r\nx", 403},
			"an upgrade that does not wait": {"GET /v2/keys/a HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
			"CONNECT":                       {"CONNECT 127.0.0.1:2379 HTTP/1.1\r\nHost: h\r\n\r\n", 405},
			"TRACE":                         {"TRACE /v2/keys HTTP/1.1\r\nHost: h\r\n\r\n", 405},
			"a long target":                 {"GET /v2/keys/" + strings.Repeat("x", 4000) + " HTTP/1.1\r\nHost: h\r\n\r\n", 414},
			"a head that is too large":      {"GET /v2/keys/a HTTP/1.1\r\nHost: h\r\nA: " + strings.Repeat("x", 33_000) + "\r\n\r\n", 431},
			"too many headers":              {"GET /v2/keys/a HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("A: b\r\n", 100) + "\r\n", 431},
		} {
			a := f.Exchange(c.text)
			if a.Status != c.status {
				t.Errorf("a request with %s: got %d %s, want %d", what, a.Status, a.Body, c.status)
			}
			if kind, _ := a.Field("Content-Type"); !strings.HasPrefix(a.Body, `{"errorCode":`) || kind != "application/json" || !a.Whole {
				t.Errorf("a request with %s: got the body %s of type %q, whole %v; want etcd's JSON", what, a.Body, kind, a.Whole)
			}
		}
	})
}

func TestAConnectionEndsWellAfterAMalformedRequest(t *testing.T) {
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f := echo(t, l)
		c := f.Dial()
		// The good request before the malformed one is answered; what follows it is dropped.
		if err := c.Send("GET /v2/keys/a HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\nHost: h\r\n\r\nGET /v2/keys/b HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if a, err := c.Answer("GET"); err != nil || a.Body != "GET /v2/keys/a " {
			t.Errorf("the good request: got %+v, %v", a, err)
		}
		if a, err := c.Answer("GET"); err != nil || a.Status != 400 {
			t.Errorf("the malformed request: got %+v, %v; want status 400", a, err)
		}
		if end := c.End(); end != proxytest.EndedWell {
			t.Errorf("the connection ended with %s, want %s", end, proxytest.EndedWell)
		}
	})
}

func TestAClientCannotPassForTheStandInOfAMalformedRequest(t *testing.T) {
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f := echo(t, l)
		if a := f.Exchange("GET /v2/keys/a HTTP/1.1\r\nHost: malformed\r\nMalformed-Request: AAAA\r\n\r\n"); a.Status != 200 {
			t.Errorf("a request with the stand-in's own field: got %d %s, want 200", a.Status, a.Body)
		}
	})
}

func TestPipelinedRequestsAreDecidedOneByOne(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f := echo(t, l)
		c := f.Dial()
		if err := c.Send("PUT /v2/keys/eventlogging/a HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\nvalue=1" +
			"PUT /v2/keys/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nvalue=2\r\n0\r\n\r\n" +
			"DELETE /v2/keys/x HTTP/1.1\r\nHost: h\r\n\r\n" +
			"PUT /v2/keys/x HTTP/1.1\r\nHost: h\r\nAuthorization: " + fronttest.Basic("root") + "\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nvalue=3\r\n0\r\n\r\n" +
			"HEAD /v2/keys/x HTTP/1.1\r\nHost: h\r\n\r\nGET /v2/keys/y HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		for _, want := range []struct {
			method string
			status int
			body   string
		}{
			{"PUT", 200, "PUT /v2/keys/eventlogging/a value=1"}, {"PUT", 401, gate.RefuseIdentity.Body}, {"DELETE", 401, gate.RefuseIdentity.Body},
			{"PUT", 200, "PUT /v2/keys/x value=3"}, {"HEAD", 200, ""}, {"GET", 200, "GET /v2/keys/y "},
		} {
			if a, err := c.Answer(want.method); err != nil || a.Status != want.status || a.Body != want.body {
				t.Fatalf("got the answer %+v, %v; want %+v", a, err, want)
			}
		}
		if end := c.End(); end != proxytest.EndedWell {
			t.Errorf("the connection ended with %s, want %s", end, proxytest.EndedWell)
		}
	})
}

func TestARefusedClientKeepsItsConnectionAndItsBodyIsDropped(t *testing.T) {
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f := echo(t, l)
		c := f.Dial()
		// The answer arrives before the body was sent.
		if err := c.Send("PUT /v2/keys/x HTTP/1.1\r\nHost: h\r\nContent-Length: 900000\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if a, err := c.Answer("PUT"); err != nil || a.Status != 401 || a.Body != gate.RefuseIdentity.Body {
			t.Fatalf("a refused write: got %+v, %v; want 401 before its body", a, err)
		}
		if err := c.Send(strings.Repeat("x", 900_000) + "GET /v2/keys/a HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if a, err := c.Answer("GET"); err != nil || a.Body != "GET /v2/keys/a " {
			t.Errorf("the request after the refused one: got %+v, %v", a, err)
		}
	})
}

func TestOnlyAnAllowedClientIsAskedForItsBody(t *testing.T) {
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f := echo(t, l)
		const expect = "PUT /v2/keys/conftool/a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 7\r\nAuthorization: "
		c := f.Dial()
		if err := c.Send(expect + fronttest.Basic("conftool") + "\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if a, err := c.Head(); err != nil || a.Status != 100 {
			t.Fatalf("an allowed write with Expect: got %+v, %v; want status 100", a, err)
		}
		if err := c.Send("value=1"); err != nil {
			t.Fatal(err)
		}
		if a, err := c.Answer("PUT"); err != nil || a.Body != "PUT /v2/keys/conftool/a value=1" {
			t.Errorf("an allowed write after its body: got %+v, %v", a, err)
		}
		c = f.Dial()
		if err := c.Send(expect + fronttest.Basic("alice") + "\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if a, err := c.Answer("PUT"); err != nil || a.Status != 401 {
			t.Errorf("a refused write with Expect: got %+v, %v; want status 401", a, err)
		}
	})
}

// TestARefusedClientThatDidNotSendItsBodyKeepsItsConnection: it sends its body and goes on. What
// looks like a request instead of the body is not served, because it could be the body.
func TestARefusedClientThatDidNotSendItsBodyKeepsItsConnection(t *testing.T) {
	t.Parallel()
	const get = "GET /v2/keys/a HTTP/1.1\r\nHost: h\r\n\r\n"
	head := func(framing string) string {
		return "PUT /v2/keys/x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n" + framing + "\r\n\r\n"
	}
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f := l.Front(t, fronttest.StandIn(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RequestURI) }), func(s *lane.Snapshot, _ *proxytest.PKI) {
			s.Limits.Body = 1 << 20
		})
		for what, c := range map[string]struct {
			head, next string
			closes     bool // with the answer
			served     bool // the request behind the body
		}{
			"its body":                   {head("Content-Length: 7"), "value=1" + get, false, true},
			"its large body":             {head("Content-Length: 500000"), strings.Repeat("x", 500_000) + get, false, true},
			"its chunked body":           {head("Transfer-Encoding: chunked"), "7\r\nvalue=1\r\n0\r\n\r\n" + get, false, true},
			"its next request":           {head("Content-Length: 7"), get, false, false},
			"its next request, a longer": {head("Content-Length: 500000"), get, false, false},
			"a body beyond the limit":    {head("Content-Length: 2000000"), "", true, false},
		} {
			conn := f.Dial()
			if err := conn.Send(c.head); err != nil {
				t.Fatal(err)
			}
			a, err := conn.Answer("PUT")
			if err != nil || a.Status != 401 {
				t.Fatalf("a client that then sends %s: got %+v, %v; want 401", what, a, err)
			}
			if option, _ := a.Field("Connection"); (option == "close") != c.closes {
				t.Errorf("a client that then sends %s: got Connection %q, want close: %t", what, option, c.closes)
			}
			if err := conn.Send(c.next); err != nil && c.served {
				t.Fatal(err)
			}
			if c.served {
				if a, err := conn.Answer("GET"); err != nil || a.Status != 200 || a.Body != "/v2/keys/a" {
					t.Errorf("behind %s: got %+v, %v; want 200", what, a, err)
				}
			} else if end := conn.End(); end != proxytest.EndedWell {
				t.Errorf("behind %s: the connection ended with %s, want %s", what, end, proxytest.EndedWell)
			}
			conn.Close()
		}
	})
}

func TestBodiesOfReadsAndDeletionsStayHere(t *testing.T) {
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f := echo(t, l)
		c := f.Dial()
		for _, method := range []string{"GET", "DELETE"} {
			if err := c.Send(method + " /v2/keys/eventlogging/a HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\nvalue=1"); err != nil {
				t.Fatal(err)
			}
			if a, err := c.Answer(method); err != nil || a.Body != method+" /v2/keys/eventlogging/a " {
				t.Errorf("%s with a body: got %+v, %v; want etcd to receive no body", method, a, err)
			}
		}
	})
}

func TestOptionsAreAnsweredHere(t *testing.T) {
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f := l.Front(t, fronttest.StandIn(t, func(http.ResponseWriter, *http.Request) { t.Error("etcd received a request") }), nil)
		for _, target := range []string{"*", "/v2/keys/a"} {
			a := f.Exchange("OPTIONS " + target + " HTTP/1.1\r\nHost: h\r\n\r\n")
			if allow, _ := a.Field("Allow"); a.Status != 200 || a.Body != "" || allow != gate.AllowedMethods {
				t.Errorf("OPTIONS %s: got %+v, want 200, no body and Allow %s", target, a, gate.AllowedMethods)
			}
		}
	})
}

func TestAPlainHTTPRequestIsTold(t *testing.T) {
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f := echo(t, l)
		c, err := net.Dial("tcp", f.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(fronttest.Patience))
		if _, err := io.WriteString(c, "GET /v2/keys HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if resp.StatusCode != 400 || string(body) != gate.RefusePlainHTTP.Body || err != nil {
			t.Errorf("a plain HTTP request: got %d %s, %v; want 400 %s", resp.StatusCode, body, err, gate.RefusePlainHTTP.Body)
		}
	})
}
