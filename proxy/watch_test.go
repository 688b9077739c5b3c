package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/proxytest"
)

const watchRequest = "GET /v2/keys/eventlogging/w?wait=true HTTP/1.1\r\nHost: h\r\n\r\n"

// startWatch sends a watch and reads the head of its answer, which etcd sends
// before there is an event.
func startWatch(t *testing.T, f *front, request string) (*proxytest.Raw, *proxytest.Answer) {
	t.Helper()
	c := f.raw()
	if err := c.Send(request); err != nil {
		t.Fatal(err)
	}
	a, err := c.Head()
	if err != nil {
		t.Fatal(err)
	}
	if index, ok := a.Field("X-Etcd-Index"); a.Status != 200 || !ok || index == "" {
		t.Fatalf("the head of a watch: %+v", a)
	}
	return c, a
}

func put(t *testing.T, f *front, key, value string) {
	t.Helper()
	client := f.client("h1")
	defer client.CloseIdleConnections()
	if status, body, _ := do(t, client, "PUT", f.url()+"/v2/keys"+key, "root", "value="+value); status >= 300 {
		t.Fatalf("writing %s: %d %s", key, status, body)
	}
}

func TestAWatchIsAnsweredAtOnceAndHearsOfItsEvent(t *testing.T) {
	withEtcd(t, func(t *testing.T, f *front, _ etcd) {
		c, a := startWatch(t, f, watchRequest)
		put(t, f, "/eventlogging/w", "event")
		if err := c.ReadBody(a, "GET"); err != nil || !a.Whole || !strings.Contains(a.Body, `"value":"event"`) {
			t.Errorf("%+v, %v", a, err)
		}
		// The connection serves on.
		if err := c.Send("GET /v2/keys/eventlogging/w HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if a, err := c.Answer("GET"); err != nil || a.Status != 200 {
			t.Errorf("after the watch: %+v, %v", a, err)
		}
	})
}

func TestPyBalsWatchOverHTTP10IsNotChunkedAndEndsItsConnection(t *testing.T) {
	withEtcd(t, func(t *testing.T, f *front, _ etcd) {
		put(t, f, "/conftool/v1/pools/a", "old")
		// As PyBal sends it: no ALPN, no SNI, no port in the host, a slash before the query.
		c, err := proxytest.DialRaw(f.addr, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.Send("GET /v2/keys/conftool/v1/pools/?recursive=true&wait=true HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		a, err := c.Head()
		if err != nil {
			t.Fatal(err)
		}
		_, spelled := a.Field("X-Etcd-Index")
		_, chunked := a.Field("Transfer-Encoding")
		if !spelled || chunked {
			t.Errorf("head %q", a.Lines)
		}
		put(t, f, "/conftool/v1/pools/a", "new")
		if err := c.ReadBody(a, "GET"); err != nil || !a.Whole || !strings.HasPrefix(a.Body, `{"action":"set"`) || !strings.Contains(a.Body, `"value":"new"`) {
			t.Errorf("%+v, %v; whole means that the connection ended with close_notify", a, err)
		}
	})
}

func TestAClientThatGoesFreesItsConnectionToEtcd(t *testing.T) {
	f, _ := newEmbedded(t, nil)
	watching := func() int64 { return f.metrics.Upstream.Watching.Load() }
	for how, leave := range map[string]func(*proxytest.Raw){
		"close_notify alone": func(c *proxytest.Raw) { _ = c.CloseWrite() },
		"the end of TCP":     func(c *proxytest.Raw) { _ = c.NetConn().Close() },
	} {
		c, _ := startWatch(t, f, watchRequest)
		if watching() != 1 {
			t.Errorf("%s: %d watches at etcd", how, watching())
		}
		left := time.Now()
		leave(c)
		eventually(t, "no watch is left at etcd after "+how, func() bool { return watching() == 0 })
		if took := time.Since(left); took > time.Second {
			t.Errorf("%s: it took %v", how, took)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, "GET", f.url()+"/v2/keys/eventlogging/w?wait=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := f.client("h2").Do(req)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	resp.Body.Close()
	eventually(t, "no watch is left at etcd after a reset stream", func() bool { return watching() == 0 })
}

func TestAWatchIsBrokenOffWhenEtcdGoesAway(t *testing.T) {
	f, e := newEmbedded(t, nil)
	modern, answer := startWatch(t, f, watchRequest)
	old, oldAnswer := startWatch(t, f, "GET /v2/keys/eventlogging/w?wait=true HTTP/1.0\r\nHost: h\r\n\r\n")
	resp, err := f.client("h2").Get(f.url() + "/v2/keys/eventlogging/w?wait=true")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	e.Cut()
	if err := modern.ReadBody(answer, "GET"); err != nil || answer.Whole || answer.Body != "" {
		t.Errorf("HTTP/1.1: %+v, %v; a final chunk would be an empty event", answer, err)
	}
	if end := modern.End(); end != proxytest.EndedWell {
		t.Errorf("HTTP/1.1 ended with %s", end)
	}
	// HTTP/1.0 cannot tell a broken answer from a whole one, but needs close_notify.
	if err := old.ReadBody(oldAnswer, "GET"); err != nil || !oldAnswer.Whole || oldAnswer.Body != "" {
		t.Errorf("HTTP/1.0: %+v, %v", oldAnswer, err)
	}
	if body, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("HTTP/2 was ended well: %q", body)
	}
	e.Mend()
	put(t, f, "/eventlogging/w", "again")
}

func TestAnEmptyAnswerToAWatchIsBrokenOff(t *testing.T) {
	f := newFront(t, listen(t), standIn(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Etcd-Index", "7")
		_ = http.NewResponseController(w).Flush() // and a clean end, as a dying etcd leaves
	}), nil)
	c, a := startWatch(t, f, watchRequest)
	if err := c.ReadBody(a, "GET"); err != nil || a.Whole {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestAWatchEndsWhenItsReaderLosesTheRight(t *testing.T) {
	f, e := newEmbedded(t, func(s *lane.Snapshot, _ *proxytest.PKI) {
		s.Rules = seedRules(t, acl.Rule{Prefix: "/secret", Read: acl.Only("root", "alice"), Write: acl.Only("root")})
	})
	watch := func(user, key string) (*proxytest.Raw, *proxytest.Answer) {
		return startWatch(t, f, "GET /v2/keys"+key+"?wait=true HTTP/1.1\r\nHost: h\r\nAuthorization: "+basic(user)+"\r\n\r\n")
	}
	alice, aliceAnswer := watch("alice", "/secret/a")
	root, rootAnswer := watch("root", "/secret/a")
	anyone, anyoneAnswer := startWatch(t, f, watchRequest)
	next := f.snapshot(e.URL(), nil)
	old := f.server.Snapshot()
	next.Upstream.Close()
	next.Upstream, next.Users, next.Certs = old.Upstream, old.Users, old.Certs
	next.Rules = seedRules(t, acl.Rule{Prefix: "/secret", Read: acl.Only("root"), Write: acl.Only("root")})
	f.server.Publish(next)
	if err := alice.ReadBody(aliceAnswer, "GET"); err != nil || aliceAnswer.Whole {
		t.Errorf("alice's watch goes on: %+v, %v", aliceAnswer, err)
	}
	put(t, f, "/secret/a", "1")
	put(t, f, "/eventlogging/w", "1")
	for who, c := range map[string]struct {
		raw *proxytest.Raw
		a   *proxytest.Answer
	}{"root": {root, rootAnswer}, "anyone": {anyone, anyoneAnswer}} {
		if err := c.raw.ReadBody(c.a, "GET"); err != nil || !c.a.Whole {
			t.Errorf("%s was disturbed: %+v, %v", who, c.a, err)
		}
	}
}

func TestAWatchMayWaitLongerThanABodyMayPause(t *testing.T) {
	const pause = 50 * time.Millisecond
	f, _ := newEmbedded(t, func(s *lane.Snapshot, _ *proxytest.PKI) { s.Limits.BodyTimeout = pause })
	for _, proto := range []string{"h1", "h2"} {
		resp, err := f.client(proto).Get(f.url() + "/v2/keys/eventlogging/w?wait=true")
		if err != nil {
			t.Fatal(err)
		}
		later := time.AfterFunc(4*pause, func() { put(t, f, "/eventlogging/w", "late") })
		if body, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(body), "late") {
			t.Errorf("%s: %q, %v", proto, body, err)
		}
		resp.Body.Close()
		later.Stop()
	}
}

func TestAWatchWithABodyStillNoticesThatItsClientIsGone(t *testing.T) {
	f, _ := newEmbedded(t, nil)
	c, _ := startWatch(t, f, "GET /v2/keys/eventlogging/w?wait=true HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\nvalue=1")
	c.Close()
	eventually(t, "no watch is left at etcd", func() bool { return f.metrics.Upstream.Watching.Load() == 0 })
}

func TestWatchesBeyondTheLimitAreTurnedAway(t *testing.T) {
	f, _ := newPreparedEmbedded(t, func(o *Options) { o.MaxWatches = 1 }, nil)
	startWatch(t, f, watchRequest)
	if a := f.exchange(watchRequest); a.Status != 503 || a.Body != gate.RefuseWatches.Body {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}

func TestAThousandWatchesLeaveNothingBehind(t *testing.T) {
	f, _ := newEmbedded(t, nil)
	f.exchange("GET /v2/keys/a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	var before int
	eventually(t, "nothing goes on", func() bool {
		last := before
		before = runtime.NumGoroutine()
		return before == last
	})
	for round := range 4 {
		ctx, cancel := context.WithCancel(context.Background())
		var all, started sync.WaitGroup
		for range 250 {
			started.Add(1)
			all.Go(func() {
				client := f.client("h1")
				defer client.CloseIdleConnections()
				req, err := http.NewRequestWithContext(ctx, "GET", f.url()+"/v2/keys/eventlogging/many?wait=true", nil)
				if err != nil {
					t.Error(err)
				}
				resp, err := client.Do(req)
				started.Done()
				if err != nil {
					t.Errorf("round %d: %v", round, err)
					return
				}
				defer resp.Body.Close()
				if _, err := io.ReadAll(resp.Body); err != nil && !errors.Is(err, context.Canceled) {
					t.Errorf("round %d: %v", round, err)
				}
			})
		}
		started.Wait()
		if round%2 == 0 {
			put(t, f, "/eventlogging/many", "1") // they come and hear
		}
		cancel() // or they come and go
		all.Wait()
	}
	f.server.Snapshot().Upstream.Close() // an idle connection to etcd has goroutines at its other end
	eventually(t, "the goroutines are as many as before", func() bool { return runtime.NumGoroutine() <= before })
	if n := f.metrics.Upstream.Watching.Load(); n != 0 {
		t.Errorf("%d watches are left at etcd", n)
	}
}
