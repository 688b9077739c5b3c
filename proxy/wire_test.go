package proxy

import (
	"bufio"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/proxytest"
)

// echo is an etcd that answers with what it got.
func echo(t *testing.T) *front {
	t.Helper()
	return newFront(t, listen(t), standIn(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		_, _ = io.WriteString(w, r.Method+" "+r.RequestURI+" "+string(body))
	}), nil)
}

func TestMalformedRequestsGetAnErrorThatClientsCanParse(t *testing.T) {
	f := newFront(t, listen(t), standIn(t, func(http.ResponseWriter, *http.Request) { t.Error("etcd was asked") }), nil)
	const path = "/v2/keys/eventlogging/a"
	for what, c := range map[string]struct {
		text   string
		status int
	}{
		"bare line feeds":              {"PUT " + path + " HTTP/1.1\nHost: h\n\n", 400},
		"no host":                      {"PUT " + path + " HTTP/1.1\r\n\r\n", 400},
		"two hosts":                    {"PUT " + path + " HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", 400},
		"two lengths":                  {"PUT " + path + " HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400},
		"a length and a coding":        {"PUT " + path + " HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		"a coding that is not known":   {"PUT " + path + " HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", 501},
		"two authorizations":           {"PUT " + path + " HTTP/1.1\r\nHost: h\r\nAuthorization: " + basic("root") + "\r\nAuthorization: " + basic("root") + "\r\n\r\n", 400},
		"a folded header":              {"PUT " + path + " HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n", 400},
		"another expectation":          {"PUT " + path + " HTTP/1.1\r\nHost: h\r\nExpect: x\r\n\r\n", 417},
		"HTTP/2 without asking":        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
		"a target that is none":        {"GET v2/keys HTTP/1.1\r\nHost: h\r\n\r\n", 400},
		"a target that net/http hates": {"GET /v2/keys/%zz HTTP/1.1\r\nHost: h\r\n\r\n", 400},
		"a star":                       {"GET * HTTP/1.1\r\nHost: h\r\n\r\n", 400},
		"an upgrade":                   {"GET /v2/keys/a HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", 403},
		"CONNECT":                      {"CONNECT 127.0.0.1:2379 HTTP/1.1\r\nHost: h\r\n\r\n", 405},
		"TRACE":                        {"TRACE /v2/keys HTTP/1.1\r\nHost: h\r\n\r\n", 405},
		"a long target":                {"GET /v2/keys/" + strings.Repeat("x", 4000) + " HTTP/1.1\r\nHost: h\r\n\r\n", 414},
		"a head that is too large":     {"GET /v2/keys/a HTTP/1.1\r\nHost: h\r\nA: " + strings.Repeat("x", 33_000) + "\r\n\r\n", 431},
		"too many headers":             {"GET /v2/keys/a HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("A: b\r\n", 100) + "\r\n", 431},
	} {
		a := f.exchange(c.text)
		if kind, _ := a.Field("Content-Type"); a.Status != c.status || !strings.HasPrefix(a.Body, `{"errorCode":`) || kind != "application/json" || !a.Whole {
			t.Errorf("%s: %d %s", what, a.Status, a.Body)
		}
	}
}

func TestAConnectionEndsWellAfterAMalformedRequest(t *testing.T) {
	f := echo(t)
	c := f.raw()
	// The good one before it is answered, what follows it is not looked at.
	if err := c.Send("GET /v2/keys/a HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\nHost: h\r\n\r\nGET /v2/keys/b HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if a, err := c.Answer("GET"); err != nil || a.Body != "GET /v2/keys/a " {
		t.Errorf("the good one: %+v, %v", a, err)
	}
	if a, err := c.Answer("GET"); err != nil || a.Status != 400 {
		t.Errorf("the bad one: %+v, %v", a, err)
	}
	if end := c.End(); end != proxytest.EndedWell {
		t.Errorf("ended with %s", end)
	}
}

func TestAClientCannotPassForTheStandInOfAMalformedRequest(t *testing.T) {
	f := echo(t)
	if a := f.exchange("GET /v2/keys/a HTTP/1.1\r\nHost: malformed\r\nMalformed-Request: AAAA\r\n\r\n"); a.Status != 200 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}

func TestPipelinedRequestsAreDecidedOneByOne(t *testing.T) {
	f := echo(t)
	c := f.raw()
	if err := c.Send("PUT /v2/keys/eventlogging/a HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\nvalue=1" +
		"PUT /v2/keys/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nvalue=2\r\n0\r\n\r\n" +
		"DELETE /v2/keys/x HTTP/1.1\r\nHost: h\r\n\r\n" +
		"PUT /v2/keys/x HTTP/1.1\r\nHost: h\r\nAuthorization: " + basic("root") + "\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nvalue=3\r\n0\r\n\r\n" +
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
			t.Fatalf("%+v: %+v, %v", want, a, err)
		}
	}
	if end := c.End(); end != proxytest.EndedWell {
		t.Errorf("ended with %s", end)
	}
}

func TestARefusedClientKeepsItsConnectionAndItsBodyIsDropped(t *testing.T) {
	f := echo(t)
	c := f.raw()
	// The answer comes before the body was sent.
	if err := c.Send("PUT /v2/keys/x HTTP/1.1\r\nHost: h\r\nContent-Length: 900000\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if a, err := c.Answer("PUT"); err != nil || a.Status != 401 || a.Body != gate.RefuseIdentity.Body {
		t.Fatalf("%+v, %v", a, err)
	}
	if err := c.Send(strings.Repeat("x", 900_000) + "GET /v2/keys/a HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if a, err := c.Answer("GET"); err != nil || a.Body != "GET /v2/keys/a " {
		t.Errorf("the next one: %+v, %v", a, err)
	}
}

func TestOnlyAnAllowedClientIsAskedForItsBody(t *testing.T) {
	f := echo(t)
	const expect = "PUT /v2/keys/conftool/a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 7\r\nAuthorization: "
	c := f.raw()
	if err := c.Send(expect + basic("conftool") + "\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if a, err := c.Head(); err != nil || a.Status != 100 {
		t.Fatalf("%+v, %v", a, err)
	}
	if err := c.Send("value=1"); err != nil {
		t.Fatal(err)
	}
	if a, err := c.Answer("PUT"); err != nil || a.Body != "PUT /v2/keys/conftool/a value=1" {
		t.Errorf("%+v, %v", a, err)
	}
	c = f.raw()
	if err := c.Send(expect + basic("alice") + "\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if a, err := c.Answer("PUT"); err != nil || a.Status != 401 {
		t.Errorf("%+v, %v", a, err)
	}
	if end := c.End(); end != proxytest.EndedWell {
		t.Errorf("ended with %s", end)
	}
}

func TestBodiesOfReadsAndDeletionsStayHere(t *testing.T) {
	f := echo(t)
	c := f.raw()
	for _, method := range []string{"GET", "DELETE"} {
		if err := c.Send(method + " /v2/keys/eventlogging/a HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\nvalue=1"); err != nil {
			t.Fatal(err)
		}
		if a, err := c.Answer(method); err != nil || a.Body != method+" /v2/keys/eventlogging/a " {
			t.Errorf("%s: %+v, %v", method, a, err)
		}
	}
}

func TestOptionsAreAnsweredHere(t *testing.T) {
	f := newFront(t, listen(t), standIn(t, func(http.ResponseWriter, *http.Request) { t.Error("etcd was asked") }), nil)
	for _, target := range []string{"*", "/v2/keys/a"} {
		a := f.exchange("OPTIONS " + target + " HTTP/1.1\r\nHost: h\r\n\r\n")
		if allow, _ := a.Field("Allow"); a.Status != 200 || a.Body != "" || allow != gate.AllowedMethods {
			t.Errorf("%s: %+v", target, a)
		}
	}
}

func TestAPlainHTTPRequestIsTold(t *testing.T) {
	f := echo(t)
	c, err := net.Dial("tcp", f.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, "GET /v2/keys HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if resp.StatusCode != 400 || string(body) != gate.RefusePlainHTTP.Body || err != nil {
		t.Errorf("%d %s %v", resp.StatusCode, body, err)
	}
}

func TestAHeadThatTricklesIsCut(t *testing.T) {
	const limit = 50 * time.Millisecond
	f := newFront(t, listen(t), standIn(t, func(http.ResponseWriter, *http.Request) {}),
		func(s *lane.Snapshot, _ *proxytest.PKI) { s.Limits.HeaderTimeout = limit })
	for what, text := range map[string]string{
		"nothing at all": "", "half a head": "GET /v2/keys/a HTTP/1.1\r\nHo", "half a second head": "GET /v2/keys/a HTTP/1.1\r\nHost: h\r\n\r\nGET",
	} {
		c := f.raw()
		if err := c.Send(text); err != nil {
			t.Fatal(err)
		}
		if end := c.End(); end != proxytest.EndedWell {
			t.Errorf("%s ended with %s", what, end)
		}
	}
}

func TestABodyThatStopsIsCut(t *testing.T) {
	f := newFront(t, listen(t), standIn(t, func(http.ResponseWriter, *http.Request) { t.Error("etcd was asked") }),
		func(s *lane.Snapshot, _ *proxytest.PKI) { s.Limits.BodyTimeout = 50 * time.Millisecond })
	a := f.exchange("PUT /v2/keys/eventlogging/a HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nvalue=1")
	if a.Status != 408 || a.Body != gate.RefuseSlowBody.Body {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}

func TestABodyThatTricklesIsCut(t *testing.T) {
	f := newFront(t, listen(t), standIn(t, func(http.ResponseWriter, *http.Request) { t.Error("etcd was asked") }),
		func(s *lane.Snapshot, _ *proxytest.PKI) { s.Limits.BodyTimeout = 100 * time.Millisecond })
	for what, head := range map[string]string{
		"small":   "PUT /v2/keys/eventlogging/a HTTP/1.1\r\nHost: h\r\nContent-Length: 10000\r\n\r\n",
		"large":   "PUT /v2/keys/eventlogging/a HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n",
		"refused": "PUT /v2/keys/conftool/a HTTP/1.1\r\nHost: h\r\nContent-Length: 10000\r\n\r\n",
	} {
		c := f.raw()
		if err := c.Send(head); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() { // well within the pause that a client may make
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-ended:
					return
				case <-tick.C:
					_ = c.Send("x")
				}
			}
		}()
		a, err := c.Answer("PUT")
		if what == "refused" { // answered before its body, which is then read
			if err != nil || a.Status != 401 {
				t.Errorf("%s: %+v, %v", what, a, err)
			}
		} else if err != nil || a.Status != 408 {
			t.Errorf("%s: %+v, %v", what, a, err)
		}
		if end := c.End(); end == proxytest.StaysOpen {
			t.Errorf("%s: the connection stays open", what)
		}
		close(ended)
	}
}

func TestAConnectionThatWaitedIsAnswered(t *testing.T) {
	const pause = 30 * time.Millisecond
	f := newFront(t, listen(t), standIn(t, func(http.ResponseWriter, *http.Request) {}),
		func(s *lane.Snapshot, _ *proxytest.PKI) { s.Limits.BodyTimeout = pause })
	c := f.raw()
	for _, request := range []string{"GET /v2/keys/a HTTP/1.1\r\nHost: h\r\n\r\n", "DELETE /v2/keys/a HTTP/1.1\r\nHost: h\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"} {
		if err := c.Send(request); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Answer("GET"); err != nil {
			t.Errorf("%.7s: %v", request, err)
		}
		<-time.After(2 * pause) // longer than any deadline of the answer before
	}
}

func TestAHeadThatBreaksOffLeavesNothingToTheNextConnection(t *testing.T) {
	f := echo(t)
	for range 50 {
		c := f.raw()
		// Lines longer than all of the next request.
		if err := c.Send("GET /v2/keys/" + strings.Repeat("a", 200) + " HTTP/1.1\r\nHost: h\r\nA: b\r\nHalf"); err != nil {
			t.Fatal(err)
		}
		_ = c.CloseWrite()
		c.End()
		if a := f.exchange("GET /v2/keys/a HTTP/1.1\r\nHost: h\r\n\r\n"); a.Status != 200 {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
	}
}

func TestRequestsOfEverySizeAreServedAtOnce(t *testing.T) {
	f := echo(t)
	c := f.raw()
	const frame = "GET /v2/keys/ HTTP/1.1\r\nHost: h\r\n\r\n"
	for size := len(frame) + 1; size < 2*512+10; size++ {
		if err := c.Send("GET /v2/keys/" + strings.Repeat("a", size-len(frame)) + " HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if a, err := c.Answer("GET"); err != nil || a.Status != 200 {
			t.Fatalf("%d bytes: %+v, %v", size, a, err)
		}
	}
}

func TestALargeBodyOfAReadIsRefused(t *testing.T) {
	f := newFront(t, listen(t), standIn(t, func(http.ResponseWriter, *http.Request) { t.Error("etcd was asked") }), nil)
	if a := f.exchange("GET /v2/keys/a HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n"); a.Status != 413 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}

func TestALongRequestLineIsServedOnAnyConnection(t *testing.T) {
	f, _ := newEmbedded(t, nil)
	// On a new connection of the pool, and on a used one; etcd resets new ones at 4,096 bytes.
	for range 3 {
		if a := f.exchange("GET /v2/keys/" + strings.Repeat("x", 3987) + " HTTP/1.1\r\nHost: h\r\n\r\n"); a.Status != 404 {
			t.Errorf("%d %s", a.Status, a.Body)
		}
	}
}

func TestWhatComesBehindARefusedBodyOfHTTP10IsNoRequest(t *testing.T) {
	f := newFront(t, listen(t), standIn(t, func(http.ResponseWriter, *http.Request) { t.Error("etcd was asked") }), nil)
	c := f.raw()
	if err := c.Send("PUT /v2/keys/x HTTP/1.0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\nContent-Length: 44\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	a, err := c.Answer("PUT")
	if err != nil || a.Status != 401 {
		t.Fatalf("%+v, %v", a, err)
	}
	_ = c.Send("OPTIONS /v2/keys/smuggled HTTP/1.1\nHost: a\n\n") // it may be closed already
	if a, err := c.Answer("OPTIONS"); err == nil {
		t.Errorf("a body was answered: %+v", a)
	}
}
