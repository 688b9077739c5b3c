package proxy

import (
	"bytes"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/upstream"
)

// standIn takes etcd's place where a test must see what etcd would get, or needs
// an answer that etcd cannot be made to give.
func standIn(t testing.TB, handle http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handle)
	t.Cleanup(s.Close)
	return s.URL
}

func TestEtcdsFieldsReachTheClientSpelledAsEtcdSpellsThem(t *testing.T) {
	f, _ := newEmbedded(t, nil)
	a := f.exchange("GET /v2/keys HTTP/1.1\r\nHost: h\r\n\r\n")
	for _, name := range []string{"X-Etcd-Index", "X-Raft-Index", "X-Raft-Term", "X-Etcd-Cluster-Id", "Content-Type", "Content-Length", "Date"} {
		if _, ok := a.Field(name); !ok {
			t.Errorf("%s is missing in %q", name, a.Lines)
		}
	}
	for _, line := range a.Lines {
		if strings.HasPrefix(line, "Access-Control-") {
			t.Errorf("web pages are invited: %s", line)
		}
	}
}

func TestAnswersOfEveryShapeArriveWhole(t *testing.T) {
	large := strings.Repeat("0123456789", 300_000)
	f := newFront(t, listen(t), standIn(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v2/keys/length":
			w.Header().Set("Content-Length", "3000000")
			_, _ = io.WriteString(w, large)
		case "/v2/keys/chunks":
			for part := range strings.SplitSeq(large, "9") {
				_, _ = io.WriteString(w, part)
			}
		case "/v2/keys/nothing":
			w.WriteHeader(http.StatusNoContent)
		case "/v2/keys/untyped":
			w.Header()["Content-Type"] = nil
			_, _ = io.WriteString(w, "<html>")
		}
	}), nil)
	for _, proto := range []string{"h1", "h2"} {
		client := f.client(proto)
		for path, want := range map[string]string{"length": large, "chunks": strings.ReplaceAll(large, "9", ""), "nothing": "", "untyped": "<html>"} {
			_, body, header := do(t, client, "GET", f.url()+"/v2/keys/"+path, "", "")
			if body != want {
				t.Errorf("%s: %s: %d bytes, want %d", proto, path, len(body), len(want))
			}
			if path == "untyped" && header.Get("Content-Type") != "" {
				t.Errorf("%s: a type was guessed: %q", proto, header.Get("Content-Type"))
			}
		}
		status, body, header := do(t, client, "HEAD", f.url()+"/v2/keys/length", "", "")
		if status != 200 || body != "" || header.Get("Content-Length") != "3000000" {
			t.Errorf("%s: a HEAD: %d %q %v", proto, status, body, header)
		}
	}
}

func TestLargeAnswersThatAreSharedArriveWhole(t *testing.T) {
	for _, size := range []int{100, 15_900, 16_100, 73_000, 200_000, 3_000_000} {
		body := strings.Repeat("0123456789", size/10)
		f := newFront(t, listen(t), standIn(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }), nil)
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				client := f.client(map[bool]string{true: "h1", false: "h2"}[i < 6])
				for range 10 {
					if _, got, _ := do(t, client, "GET", f.url()+"/v2/keys/a", "", ""); got != body {
						t.Errorf("%d bytes, want %d", len(got), len(body))
					}
				}
			})
		}
		all.Wait()
		if f.metrics.SharedReads.Load() == 0 {
			t.Errorf("no answer of %d bytes was shared", size)
		}
	}
}

func TestBodiesReachEtcdWholeWhateverTheirFraming(t *testing.T) {
	large := bytes.Repeat([]byte("value=0123456789"), 50_000)
	bodies := make(chan []byte, 1)
	lengths := make(chan int64, 1)
	f := newFront(t, listen(t), standIn(t, func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		bodies <- body
		lengths <- r.ContentLength
	}), nil)
	for _, proto := range []string{"h1", "h2"} {
		client := f.client(proto)
		for _, chunked := range []bool{false, true} {
			var body io.Reader = bytes.NewReader(large)
			if chunked {
				body = io.MultiReader(body) // of a length that the client does not know
			}
			req, err := http.NewRequest("PUT", f.url()+"/v2/keys/eventlogging/a", body)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if got := <-bodies; !bytes.Equal(got, large) {
				t.Errorf("%s, chunked %v: %d bytes, want %d", proto, chunked, len(got), len(large))
			}
			if length := <-lengths; length != int64(len(large)) {
				t.Errorf("%s, chunked %v: sent on with length %d", proto, chunked, length)
			}
		}
	}
}

func TestABodyThatBreaksOffNeverReachesEtcd(t *testing.T) {
	reached := make(chan struct{}, 1)
	f := newFront(t, listen(t), standIn(t, func(http.ResponseWriter, *http.Request) { reached <- struct{}{} }), nil)
	for _, text := range []string{
		"PUT /v2/keys/eventlogging/a HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nvalue=1",
		"PUT /v2/keys/eventlogging/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nvalue=1\r\n",
		"PUT /v2/keys/eventlogging/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nvalue=1\r\n0;x\r\n\r\n",
	} {
		c := f.raw()
		if err := c.Send(text); err != nil {
			t.Fatal(err)
		}
		_ = c.CloseWrite()
		if end := c.End(); end != proxytest.EndedWell {
			t.Errorf("%q ended with %s", text, end)
		}
	}
	if len(reached) > 0 {
		t.Error("etcd was asked")
	}
}

func TestTooLargeABodyIsRefusedWithoutReadingIt(t *testing.T) {
	f := newFront(t, listen(t), standIn(t, func(http.ResponseWriter, *http.Request) { t.Error("etcd was asked") }), nil)
	a := f.exchange("PUT /v2/keys/eventlogging/a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1048577\r\n\r\n")
	if a.Status != 413 || !strings.Contains(a.Body, `"errorCode":210`) {
		t.Errorf("announced: %d %s", a.Status, a.Body)
	}
	status, body, _ := do(t, f.client("h2"), "PUT", f.url()+"/v2/keys/eventlogging/a", "", strings.Repeat("x", 1<<20+1))
	if status != 413 {
		t.Errorf("over HTTP/2: %d %s", status, body)
	}
}

func TestASmallLimitOnBodiesHoldsInBothLanes(t *testing.T) {
	f := newFront(t, listen(t), standIn(t, func(http.ResponseWriter, *http.Request) {}), func(s *lane.Snapshot, _ *proxytest.PKI) { s.Limits.Body = 1024 })
	for length, want := range map[int]int{1024: 200, 1025: 413} {
		if a := f.exchange(fmt.Sprintf("PUT /v2/keys/eventlogging/a HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", length, strings.Repeat("x", length))); a.Status != want {
			t.Errorf("%d bytes: %d %s", length, a.Status, a.Body)
		}
	}
}

func TestFailuresOfEtcdAreToldInItsOwnForm(t *testing.T) {
	f := newFront(t, listen(t), standIn(t, func(w http.ResponseWriter, r *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		if strings.HasSuffix(r.URL.Path, "nonsense") {
			_, _ = rw.WriteString("nonsense\r\n\r\n")
			_ = rw.Flush()
		}
	}), nil)
	for _, c := range []struct {
		method, key string
		status      int
		reason      *gate.Refusal
	}{
		{"GET", "nonsense", 502, gate.RefuseBroken}, {"GET", "closed", 502, gate.RefuseBroken},
		{"PUT", "nonsense", 503, gate.RefuseUnknownOutcome}, {"PUT", "closed", 503, gate.RefuseUnknownOutcome}, {"DELETE", "closed", 503, gate.RefuseUnknownOutcome},
	} {
		if status, body, _ := do(t, f.client("h1"), c.method, f.url()+"/v2/keys/eventlogging/"+c.key, "", ""); status != c.status || body != c.reason.Body {
			t.Errorf("%s %s: %d %s", c.method, c.key, status, body)
		}
	}
	nobody := listen(t)
	nobody.Close()
	f = newFront(t, listen(t), "http://"+nobody.Addr().String(), nil)
	for _, method := range []string{"GET", "PUT"} {
		if status, body, _ := do(t, f.client("h1"), method, f.url()+"/v2/keys/eventlogging/a", "", ""); status != 503 || body != gate.RefuseUnreachable.Body {
			t.Errorf("%s to nobody: %d %s", method, status, body)
		}
	}
	// A refusal needs no etcd.
	if status, body, _ := do(t, f.client("h1"), "PUT", f.url()+"/v2/keys/x", "", ""); status != 401 || body != gate.RefuseIdentity.Body {
		t.Errorf("a refusal without an etcd: %d %s", status, body)
	}
}

func TestAnAnswerThatBreaksOffIsNotEndedWell(t *testing.T) {
	f := newFront(t, listen(t), standIn(t, func(w http.ResponseWriter, r *http.Request) {
		// More than is received before the head goes out.
		_, _ = w.Write(make([]byte, upstream.MaxBuffered+100_000))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}), nil)
	c := f.raw()
	if err := c.Send("GET /v2/keys/a HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	a, err := c.Answer("GET")
	if err != nil || a.Status != 200 || a.Whole || len(a.Body) < upstream.MaxBuffered {
		t.Errorf("%d, whole %v, %d bytes, %v", a.Status, a.Whole, len(a.Body), err)
	}
	if end := c.End(); end != proxytest.EndedWell {
		t.Errorf("the connection ended with %s", end)
	}
}

func TestAnAnswerThatBreaksOffBeforeTheClientHasAnyOfItIsAnError(t *testing.T) {
	f := newFront(t, listen(t), standIn(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(make([]byte, 100_000))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}), nil)
	for _, proto := range []string{"h1", "h2"} {
		if status, body, _ := do(t, f.client(proto), "GET", f.url()+"/v2/keys/a", "", ""); status != 502 || body != gate.RefuseBroken.Body {
			t.Errorf("%s: %d %s", proto, status, body)
		}
	}
}

func TestWhatEtcdSaysWithoutEndReachesTheClientAsItComes(t *testing.T) {
	heard := make(chan struct{}, 2)
	f := newFront(t, listen(t), standIn(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(make([]byte, 100_000))
		_ = http.NewResponseController(w).Flush()
		select {
		case <-heard:
		case <-r.Context().Done():
		}
	}), func(s *lane.Snapshot, _ *proxytest.PKI) {
		s.Surfaces = map[gate.Surface]acl.Group{gate.Debug: acl.Everyone()}
	})
	for _, proto := range []string{"h1", "h2"} {
		resp, err := f.client(proto).Get(f.url() + "/debug/trace")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(resp.Body, make([]byte, 32_000)); err != nil {
			t.Errorf("%s: %v", proto, err)
		}
		heard <- struct{}{}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Errorf("%s: %v", proto, err)
		}
		resp.Body.Close()
	}
}
