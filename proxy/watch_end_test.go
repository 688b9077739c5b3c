package proxy_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
	"etcd-tlsproxy/proxy/proxytest/seed"
)

func TestAClientThatGoesFreesItsConnectionToEtcd(t *testing.T) {
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, _ := l.Embedded(t, nil)
		watching := func() int64 {
			if fronttest.V3() {
				return int64(f.Watches())
			}
			return f.Metrics.Upstream.Watching.Load()
		}
		for how, disconnect := range map[string]func(*proxytest.Raw){
			"close_notify alone": func(c *proxytest.Raw) { _ = c.CloseWrite() },
			"the end of TCP":     func(c *proxytest.Raw) { _ = c.NetConn().Close() },
		} {
			c, _ := startWatch(t, f, watchRequest)
			if watching() != 1 {
				t.Errorf("before %s: got %d watches at etcd, want 1", how, watching())
			}
			start := time.Now()
			disconnect(c)
			fronttest.Eventually(t, "no watch is left at etcd after "+how, func() bool { return watching() == 0 })
			if duration := time.Since(start); duration > time.Second {
				t.Errorf("after %s the watch at etcd ended in %v, want at most 1 s", how, duration)
			}
		}
		ctx, cancel := context.WithCancel(context.Background())
		req, err := http.NewRequestWithContext(ctx, "GET", f.URL()+"/v2/keys/eventlogging/w?wait=true", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := f.Client("h2").Do(req)
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		resp.Body.Close()
		fronttest.Eventually(t, "no watch is left at etcd after a reset stream", func() bool { return watching() == 0 })
	})
}

func TestAWatchIsBrokenOffWhenEtcdGoesAway(t *testing.T) {
	t.Parallel()
	fronttest.SkipWithV3(t, "the watches of a store continue when etcd is back")
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, e := l.Embedded(t, nil)
		modern, answer := startWatch(t, f, watchRequest)
		old, oldAnswer := startWatch(t, f, "GET /v2/keys/eventlogging/w?wait=true HTTP/1.0\r\nHost: h\r\n\r\n")
		resp, err := f.Client("h2").Get(f.URL() + "/v2/keys/eventlogging/w?wait=true")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		e.Cut()
		if err := modern.ReadBody(answer, "GET"); err != nil || answer.Whole || answer.Body != "" {
			t.Errorf("HTTP/1.1: got %+v, %v; want an answer without its final chunk, which would be an empty event", answer, err)
		}
		if end := modern.End(); end != proxytest.EndedWell {
			t.Errorf("HTTP/1.1: the connection ended with %s, want %s", end, proxytest.EndedWell)
		}
		// Over HTTP/1.0 an answer that breaks off looks like a whole one; it needs close_notify.
		if err := old.ReadBody(oldAnswer, "GET"); err != nil || !oldAnswer.Whole || oldAnswer.Body != "" {
			t.Errorf("HTTP/1.0: got %+v, %v; want an empty body and close_notify", oldAnswer, err)
		}
		if body, err := io.ReadAll(resp.Body); err == nil {
			t.Errorf("HTTP/2: got %q without an error, want a stream that breaks off", body)
		}
		e.Mend()
		f.Put(t, "/eventlogging/w", "again")
	})
}

func TestAnEmptyAnswerToAWatchIsBrokenOff(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f := l.Front(t, fronttest.StandIn(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Etcd-Index", "7")
			_ = http.NewResponseController(w).Flush() // and then a clean end, like an etcd that shuts down
		}), nil)
		c, a := startWatch(t, f, watchRequest)
		if err := c.ReadBody(a, "GET"); err != nil || a.Whole {
			t.Errorf("reading a watch that etcd ended without an event: got %+v, %v; want it to break off", a, err)
		}
	})
}

func TestAWatchEndsWhenItsReaderLosesTheRight(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, e := l.Embedded(t, func(s *lane.Snapshot, _ *proxytest.PKI) {
			s.Rules = seed.Rules(t, acl.Rule{Prefix: "/secret", Read: acl.Only("root", "alice"), Write: acl.Only("root")})
		})
		watch := func(user, key string) (*proxytest.Raw, *proxytest.Answer) {
			return startWatch(t, f, "GET /v2/keys"+key+"?wait=true HTTP/1.1\r\nHost: h\r\nAuthorization: "+fronttest.Basic(user)+"\r\n\r\n")
		}
		alice, aliceAnswer := watch("alice", "/secret/a")
		root, rootAnswer := watch("root", "/secret/a")
		anyone, anyoneAnswer := startWatch(t, f, watchRequest)
		next := f.Snapshot(e.URL(), nil)
		old := f.Server.Snapshot()
		next.Upstream.Close()
		next.Upstream, next.Users, next.Certs = old.Upstream, old.Users, old.Certs
		next.Rules = seed.Rules(t, acl.Rule{Prefix: "/secret", Read: acl.Only("root"), Write: acl.Only("root")})
		f.Server.Publish(next)
		if err := alice.ReadBody(aliceAnswer, "GET"); err != nil || aliceAnswer.Whole {
			t.Errorf("the watch of alice, who lost the right: got %+v, %v; want it to break off", aliceAnswer, err)
		}
		f.Put(t, "/secret/a", "1")
		f.Put(t, "/eventlogging/w", "1")
		for user, c := range map[string]struct {
			raw *proxytest.Raw
			a   *proxytest.Answer
		}{"root": {root, rootAnswer}, "anyone": {anyone, anyoneAnswer}} {
			if err := c.raw.ReadBody(c.a, "GET"); err != nil || !c.a.Whole {
				t.Errorf("the watch of %s, who kept the right: got %+v, %v; want a whole event", user, c.a, err)
			}
		}
	})
}

func TestAWatchWithABodyStillNoticesThatItsClientIsGone(t *testing.T) {
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, _ := l.Embedded(t, nil)
		c, _ := startWatch(t, f, "GET /v2/keys/eventlogging/w?wait=true HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\nvalue=1")
		c.Close()
		fronttest.Eventually(t, "no watch is left at etcd", func() bool { return f.Metrics.Upstream.Watching.Load() == 0 })
	})
}

func TestAThousandWatchesLeaveNothingBehind(t *testing.T) {
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, _ := l.Embedded(t, nil)
		f.Exchange("GET /v2/keys/a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
		var before int
		fronttest.Eventually(t, "the number of goroutines is stable", func() bool {
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
					client := f.Client("h1")
					defer client.CloseIdleConnections()
					req, err := http.NewRequestWithContext(ctx, "GET", f.URL()+"/v2/keys/eventlogging/many?wait=true", nil)
					if err != nil {
						t.Error(err)
					}
					resp, err := client.Do(req)
					started.Done()
					if err != nil {
						t.Errorf("starting a watch in round %d: %v", round, err)
						return
					}
					defer resp.Body.Close()
					if _, err := io.ReadAll(resp.Body); err != nil && !errors.Is(err, context.Canceled) {
						t.Errorf("reading a watch in round %d: %v", round, err)
					}
				})
			}
			started.Wait()
			if round%2 == 0 {
				f.Put(t, "/eventlogging/many", "1") // the watches end with an event
			}
			cancel() // or because their clients disconnect
			all.Wait()
		}
		f.Server.Snapshot().Upstream.Close() // the embedded etcd has goroutines for idle connections
		fronttest.Eventually(t, "there are no more goroutines than before", func() bool { return runtime.NumGoroutine() <= before })
		if n := f.Metrics.Upstream.Watching.Load(); n != 0 {
			t.Errorf("got %d watches at etcd after all clients disconnected, want none", n)
		}
	})
}
