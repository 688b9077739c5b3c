package proxy_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"os"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

// http2Bytes are the bytes of frames that a client sends.
type http2Bytes struct {
	t *testing.T
	bytes.Buffer
	*http2.Framer
}

func newHTTP2Bytes(t *testing.T) *http2Bytes {
	b := &http2Bytes{t: t}
	b.Framer = http2.NewFramer(&b.Buffer, nil)
	return b
}

// start appends the preface and the settings.
func (b *http2Bytes) start() *http2Bytes {
	b.WriteString(http2.ClientPreface)
	b.must(b.WriteSettings())
	return b
}

// versionHead is a header block in the terms of the static table: :method GET, :scheme
// https, :path /version, :authority h.
const versionHead = "\x82\x87\x04\x08/version\x01\x01h"

// ask appends a whole request.
func (b *http2Bytes) ask(stream uint32) *http2Bytes {
	b.must(b.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: []byte(versionHead), EndStream: true, EndHeaders: true}))
	return b
}

func (b *http2Bytes) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// cut returns the bytes without the last n.
func (b *http2Bytes) cut(n int) string { return string(b.Bytes()[:b.Len()-n]) }

// dialHTTP2 connects a client of HTTP/2 that has sent nothing.
func dialHTTP2(t *testing.T, f *fronttest.Front) *tls.Conn {
	t.Helper()
	return dialFrom(t, f, "127.0.0.1", "h2")
}

// endOf reads until the connection ends, and answers PINGs like any client.
func endOf(c *tls.Conn) string {
	framer := http2.NewFramer(c, c)
	for {
		frame, err := framer.ReadFrame()
		if ping, ok := frame.(*http2.PingFrame); ok && !ping.IsAck() {
			_ = framer.WritePing(true, ping.Data)
		}
		switch {
		case errors.Is(err, io.EOF):
			return proxytest.EndedWell
		case errors.Is(err, os.ErrDeadlineExceeded):
			return proxytest.StaysOpen
		case err != nil:
			return err.Error()
		}
	}
}

// TestAClientOfHTTP2ThatFinishesNothingIsCut covers what header_timeout bounds on HTTP/1.
// All connections run at the same time, because each takes as long as the limit.
func TestAClientOfHTTP2ThatFinishesNothingIsCut(t *testing.T) {
	f := fronttest.Fast.Front(t, fronttest.StandIn(t, func(http.ResponseWriter, *http.Request) {}), func(s *lane.Snapshot, _ *proxytest.PKI) {
		s.Limits.HeaderTimeout, s.Limits.BodyTimeout = 300*time.Millisecond, 300*time.Millisecond
	})
	half := func(stream uint32, b *http2Bytes) *http2Bytes {
		b.must(b.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: []byte(versionHead[:5]), EndStream: true}))
		return b
	}
	body := newHTTP2Bytes(t).start().ask(1)
	body.must(body.WriteData(1, false, make([]byte, 1000)))
	ping := newHTTP2Bytes(t).start().ask(1)
	ping.must(ping.WritePing(false, [8]byte{}))
	continued := newHTTP2Bytes(t)
	continued.must(continued.WriteContinuation(1, false, []byte{}))
	pings := newHTTP2Bytes(t)
	pings.must(pings.WritePing(false, [8]byte{}))
	for what, sent := range map[string]struct{ first, then string }{
		"nothing":                              {},
		"half a preface":                       {first: http2.ClientPreface[:10]},
		"a preface":                            {first: http2.ClientPreface},
		"a preface of another protocol":        {first: "GET / HTTP/1.1\r\nHost: h\r\n\r\n"},
		"settings":                             {first: newHTTP2Bytes(t).start().cut(0)},
		"settings and PINGs":                   {first: newHTTP2Bytes(t).start().cut(0), then: pings.cut(0)},
		"half a frame of a head":               {first: newHTTP2Bytes(t).start().ask(1).cut(3)},
		"half a head":                          {first: half(1, newHTTP2Bytes(t).start()).cut(0)},
		"a head that never ends":               {first: half(1, newHTTP2Bytes(t).start()).cut(0), then: continued.cut(0)},
		"half a head behind a request":         {first: half(3, newHTTP2Bytes(t).start().ask(1)).cut(0)},
		"half the head of a frame":             {first: ping.cut(12)},
		"half a frame behind a request":        {first: ping.cut(3)},
		"half a frame of a body":               {first: body.cut(500)},
		"half a frame of a body, byte by byte": {first: body.cut(900), then: "x"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			c := dialHTTP2(t, f)
			if _, err := io.WriteString(c, sent.first); err != nil {
				t.Fatal(err)
			}
			if sent.then != "" { // at intervals that are shorter than the limits
				defer trickle(20*time.Millisecond, func() { _, _ = io.WriteString(c, sent.then) })()
			}
			if end := endOf(c); end == proxytest.StaysOpen {
				t.Errorf("after %s the connection stays open, want it closed", what)
			}
		})
	}
}

// TestAClientOfHTTP2MayWaitBetweenRequests uses a silent connection, which ends after
// header_timeout, to know that more time has passed than a head may take.
func TestAClientOfHTTP2MayWaitBetweenRequests(t *testing.T) {
	f := fronttest.Fast.Front(t, fronttest.StandIn(t, func(http.ResponseWriter, *http.Request) {}), func(s *lane.Snapshot, _ *proxytest.PKI) {
		s.Limits.HeaderTimeout = 200 * time.Millisecond
	})
	client := f.Client("h2")
	version := func() {
		t.Helper()
		if status, _, _ := fronttest.Do(t, client, "GET", f.URL()+"/version", "", ""); status != 200 {
			t.Fatalf("reading the version: got %d, want 200", status)
		}
	}
	version()
	if end := endOf(dialHTTP2(t, f)); end == proxytest.StaysOpen {
		t.Fatal("a silent connection stays open, want it closed")
	}
	version()
	if n := f.Counter("etcd_tlsproxy_handshakes_total", "full"); n != 2 {
		t.Errorf("got %v handshakes, want 2: the idle connection has to stay", n)
	}
}
