package std

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
)

// newHastyRig returns a rig that gives its clients little time.
func newHastyRig(t *testing.T, timeout time.Duration) *rig {
	t.Helper()
	r := newRig(t, func(*rig) {})
	s := *r.exchange.Current.Load()
	s.Limits.HeaderTimeout, s.Limits.BodyTimeout = timeout, timeout
	r.exchange.Current.Publish(&s)
	return r
}

const unfinishedWrite = "PUT /v2/keys/eventlogging/a HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 9\r\n\r\nvalue="

func TestAClientOfHTTP1ThatStopsIsEndedInTime(t *testing.T) {
	t.Parallel()
	r := newHastyRig(t, time.Second)
	clients := make(map[string]*proxytest.Raw)
	for what, test := range map[string]struct {
		before bool // it has had a request
		text   string
	}{
		"before its first request":       {},
		"in its first head":              {text: readRequest[:20]},
		"in its second head":             {before: true, text: readRequest[:20]},
		"in a head behind a request":     {text: readRequest + readRequest[:20]},
		"in its first body":              {text: unfinishedWrite},
		"in its second body":             {before: true, text: unfinishedWrite},
		"in the body of a refused write": {text: strings.Replace(unfinishedWrite, "eventlogging", "conftool", 1)},
		"in a body that is dropped":      {text: strings.Replace(unfinishedWrite, "PUT", "DELETE", 1)},
	} {
		client, _ := r.raw()
		if test.before {
			r.ask(client)
		}
		if err := client.Send(test.text); err != nil {
			t.Fatal(err)
		}
		clients[what] = client
	}
	for what, client := range clients {
		want := 0
		switch {
		case strings.Contains(what, "refused"):
			want = 401
		case strings.Contains(what, "body"):
			want = 408
		case strings.Contains(what, "behind"):
			want = 200
		}
		if want != 0 {
			if a, err := client.Answer("PUT"); err != nil || a.Status != want || !a.Whole {
				t.Errorf("a client that stops %s: got %+v and the error %v, want the status %d", what, a, err, want)
			}
		}
		if end := client.End(); end != proxytest.EndedWell {
			t.Errorf("a client that stops %s: got the end %q, want %q", what, end, proxytest.EndedWell)
		}
		client.Close()
	}
	if err := r.conns.Wait(t.Context(), lane.Standard); err != nil {
		t.Error(err)
	}
}

func TestAClientOfHTTP2ThatStopsIsEndedInTime(t *testing.T) {
	t.Parallel()
	r := newHastyRig(t, time.Second)
	ask := func(h *h2Client) *h2Client {
		h.ask(1)
		until[*http2.MetaHeadersFrame](h)
		return h
	}
	silent, err := tls.Dial("tcp", r.ln.Addr().String(), &tls.Config{RootCAs: r.pki.Pool(), ServerName: "localhost", NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	clients := map[string]net.Conn{"before its preface": silent}
	preface := r.http2(1 << 16)
	clients["behind its preface"] = preface.Conn
	frame := ask(r.http2(1 << 16))
	_, err = frame.Conn.Write([]byte{0, 0, 9, 1})
	frame.must(err)
	clients["in the head of a frame"] = frame.Conn
	block := ask(r.http2(1 << 16))
	block.must(block.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: versionHead[:3], EndStream: true}))
	clients["in a header block"] = block.Conn
	body := ask(r.http2(1 << 16))
	body.must(body.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, EndHeaders: true, BlockFragment: []byte("\x82\x87\x04\x08/version\x01\x01h")}))
	_, err = body.Conn.Write([]byte{0, 0, 9, 0, 0, 0, 0, 0, 3, 'v'})
	body.must(err)
	clients["in a frame of a body"] = body.Conn
	for what, c := range clients {
		if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a client that stops %s: its connection is open after a minute", what)
		}
		c.Close()
	}
	if err := r.conns.Wait(t.Context(), lane.Standard); err != nil {
		t.Error(err)
	}
}

// TestAClientOfHTTP2ThatSendsAFrameByteByByteIsEndedInTime has a client that is never silent for as long as the
// time limit.
func TestAClientOfHTTP2ThatSendsAFrameByteByByteIsEndedInTime(t *testing.T) {
	const limit = time.Second
	h := newHastyRig(t, limit).http2(1 << 16)
	h.ask(1)
	until[*http2.MetaHeadersFrame](h)
	h.must(h.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, EndHeaders: true, BlockFragment: versionHead}))
	_, err := h.Conn.Write([]byte{0, maxFrame >> 8, 0, 0, 0, 0, 0, 0, 3})
	h.must(err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, h.Conn)
	}()
	tick := time.NewTicker(limit / 5)
	defer tick.Stop()
	for range 100 {
		select {
		case <-ended:
			return
		case <-tick.C:
			_, _ = h.Conn.Write([]byte{'x'})
		}
	}
	t.Error("after 100 bytes the connection is still open")
}

// TestTheTimeForAHeadDoesNotEndTheWaitForTheNextRequest has another connection, which shows that
// the time has passed.
func TestTheTimeForAHeadDoesNotEndTheWaitForTheNextRequest(t *testing.T) {
	t.Parallel()
	r := newHastyRig(t, 2*time.Second)
	read, _ := r.raw()
	r.ask(read)
	pieces, _ := r.raw()
	for _, text := range []string{readRequest[:20], readRequest[20:]} {
		if err := pieces.Send(text); err != nil {
			t.Fatal(err)
		}
	}
	if a, err := pieces.Answer("GET"); err != nil || a.Status != 200 {
		t.Fatalf("a head in pieces: got %+v and the error %v, want the value", a, err)
	}
	wrote, _ := r.raw()
	for _, text := range []string{unfinishedWrite, "xyz"} {
		if err := wrote.Send(text); err != nil {
			t.Fatal(err)
		}
	}
	if a, err := wrote.Answer("PUT"); err != nil || a.Status != 200 {
		t.Fatalf("a body in pieces: got %+v and the error %v, want etcd's answer", a, err)
	}
	h := r.http2(1 << 16)
	h.ask(1)
	until[*http2.MetaHeadersFrame](h)
	stopped, _ := r.raw()
	if end := stopped.End(); end != proxytest.EndedWell {
		t.Fatalf("a client without a request: got the end %q, want %q", end, proxytest.EndedWell)
	}
	for _, client := range []*proxytest.Raw{read, pieces, wrote} {
		r.ask(client)
	}
	h.ask(3)
	for until[*http2.MetaHeadersFrame](h).StreamID != 3 { //nolint:revive // the loop waits
	}
}
