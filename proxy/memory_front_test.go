package proxy_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"

	"etcd-tlsproxy/proxy"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

// The levels of memory pressure, as the metric reports them.
const (
	enough = iota
	short  // reads of clients above their share are refused
	full   // everything of these clients is refused
	out    // everything is refused
)

// withMemory starts a proxy whose memory is used to a percentage that reach sets. It waits
// until the proxy has noticed the level.
func withMemory(t *testing.T, l fronttest.Lane, prepare func(*proxy.Server)) (f *fronttest.Front, reach func(percent uint64, level float64)) {
	t.Helper()
	var percent atomic.Uint64
	e, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	f = l.New(t, e.URL(), func(o *proxy.Options) {
		o.MaxMemory = 100
		o.SetUsage(percent.Load)
	}, nil)
	prepare(f.Server)
	f.Serve(fronttest.Listen(t))
	return f, func(now uint64, level float64) {
		t.Helper()
		percent.Store(now)
		fronttest.Eventually(t, "the level of memory is noticed", func() bool { return f.Gauge("etcd_tlsproxy_memory_pressure") == level })
	}
}

func TestWritesAreServedLongerThanReadsWhenMemoryEnds(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, reach := withMemory(t, l, (*proxy.Server).KeepIdle)
		client := f.Client("h1")
		expect := func(at uint64, level float64, read, write int) {
			t.Helper()
			reach(at, level)
			status, body, header := fronttest.Do(t, client, "GET", f.URL()+"/v2/keys", "", "")
			if status != read {
				t.Errorf("reading with %d %% of the memory used: got %d %s, want %d", at, status, body, read)
			}
			if status == 503 && (header.Get("Retry-After") != "1" || body != gate.RefuseSpace.Body) {
				t.Errorf("reading with %d %% of the memory used: got Retry-After %q and %s, want \"1\" and %s", at, header.Get("Retry-After"), body, gate.RefuseSpace.Body)
			}
			if status, body, _ := fronttest.Do(t, client, "PUT", f.URL()+"/v2/keys/conftool/a", "conftool", "value=1"); status/100 != write/100 {
				t.Errorf("writing with %d %% of the memory used: got %d %s, want %d", at, status, body, write)
			}
		}
		expect(79, enough, 200, 200)
		expect(80, short, 503, 200)
		expect(92, full, 503, 503)
		expect(91, short, 503, 200)
		expect(79, enough, 200, 200)
	})
}

func TestSilentConnectionsAreEndedWhenMemoryIsShort(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, reach := withMemory(t, l, func(*proxy.Server) {})
		idle := f.Dial()
		if err := idle.Send(plainRead); err != nil {
			t.Fatal(err)
		}
		if a, err := idle.Answer("GET"); err != nil || a.Status != 200 {
			t.Fatalf("reading with enough memory: got %+v, %v; want status 200", a, err)
		}
		reach(85, short)
		fronttest.Eventually(t, "the idle connection is closed", func() bool { return f.Connections() == 0 })
		if end := idle.End(); end != proxytest.EndedWell {
			t.Errorf("the idle connection ended with %s, want %s", end, proxytest.EndedWell)
		}
	})
}

// TestAClientWithLittleIsServedWhileMemoryIsShort has a client that holds nearly everything.
func TestAClientWithLittleIsServedWhileMemoryIsShort(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, reach := withMemory(t, l, (*proxy.Server).KeepIdle)
		var hoard []*tls.Conn
		for range 10 {
			hoard = append(hoard, dialFrom(t, f, "127.0.0.2"))
		}
		fronttest.Eventually(t, "all connections of the other client are open", func() bool { return f.Connections() == len(hoard) })
		// status returns that of a request on a connection.
		status := func(c *tls.Conn, request string) string {
			t.Helper()
			if _, err := io.WriteString(c, request); err != nil {
				return err.Error()
			}
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				return err.Error()
			}
			defer resp.Body.Close()
			_, _ = io.Copy(io.Discard, resp.Body)
			return strconv.Itoa(resp.StatusCode)
		}
		const write = "PUT /v2/keys/eventlogging/a HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\nvalue=1"
		if got := status(hoard[0], write); got != "201" {
			t.Fatalf("writing with enough memory: got %s, want 201", got)
		}
		for at, c := range map[uint64]struct {
			level       float64
			read, write string // of the client that holds nearly everything
		}{
			80: {short, "503", "200"}, 92: {full, "503", "503"},
		} {
			reach(at, c.level)
			if got := [...]string{status(hoard[1], plainRead), status(hoard[2], write)}; got != [...]string{c.read, c.write} {
				t.Errorf("with %d %% of the memory used, who holds nearly everything reads and writes: got %v, want %v", at, got, [...]string{c.read, c.write})
			}
			little := f.Dial() // a new connection
			for _, request := range []string{plainRead, write} {
				if err := little.Send(request); err != nil {
					t.Fatal(err)
				}
				if a, err := little.Answer(request[:3]); err != nil || a.Status != 200 {
					t.Errorf("with %d %% of the memory used, a new client sends %.3s: got %+v, %v; want status 200", at, request, a, err)
				}
			}
			little.Close()
		}
		reach(100, out)
		if reads(f) {
			t.Error("with all memory used, a new client reads: got an answer, want none")
		}
		if f.Counter("etcd_tlsproxy_connections_refused_total", "memory") == 0 {
			t.Error("with all memory used, no connection was refused for lack of it, want one")
		}
	})
}

// TestMemoryThatIsShortIsTakenBackOnHTTP2 has streams that take no answers, on a connection
// with a stream that etcd works for.
func TestMemoryThatIsShortIsTakenBackOnHTTP2(t *testing.T) {
	t.Parallel()
	var percent atomic.Uint64
	asked, answer := make(chan struct{}, 1), make(chan struct{})
	endpoint := fronttest.StandIn(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v2/keys/eventlogging") {
			asked <- struct{}{}
			<-answer
		}
		_, _ = io.WriteString(w, "value")
	})
	defer close(answer)
	f := fronttest.Fast.FrontWith(t, endpoint, func(o *proxy.Options) {
		o.MaxMemory = 100 << 10
		o.SetUsage(func() uint64 { return percent.Load() << 10 })
	}, nil)
	client := f.Client("h2") // with another stream
	wait := make(chan error, 1)
	go func() {
		resp, err := client.Get(f.URL() + "/v2/keys/eventlogging/a")
		if err == nil {
			err = resp.Body.Close()
		}
		wait <- err
	}()
	<-asked
	c := dialFrom(t, f, "127.0.0.2", "h2")
	b := newHTTP2Bytes(t)
	b.WriteString(http2.ClientPreface)
	b.must(b.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}))
	for i := range uint32(20) {
		b.ask(2*i + 1)
	}
	if _, err := io.WriteString(c, b.cut(0)); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(io.Discard, c)
	for heads := 0; heads < 20; {
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if frame.Header().Type == http2.FrameHeaders {
			heads++
		}
	}
	percent.Store(85)
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatalf("waiting for a stream to be taken back: %v", err)
		}
		if frame.Header().Type == http2.FrameRSTStream {
			break
		}
	}
	fronttest.Eventually(t, "the metric counts it", func() bool { return f.Counter("etcd_tlsproxy_pool_revoked_total", "streams") > 0 })
	answer <- struct{}{}
	if err := <-wait; err != nil {
		t.Errorf("the stream of a client with little: got %v, want an answer", err)
	}
}
