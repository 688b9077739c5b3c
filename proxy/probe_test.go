package proxy_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"etcd-tlsproxy/proxy"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

// TestTwoOutagesOfAnIdleProxyAreTwo sends one request, which fails. Nothing else shows the proxy
// that etcd comes back, and is away again.
func TestTwoOutagesOfAnIdleProxyAreTwo(t *testing.T) {
	t.Parallel()
	f, e := fronttest.Fast.EmbeddedWith(t, func(o *proxy.Options) { o.ProbeEvery = 100 * time.Millisecond }, nil)
	logged := func(state, text string, times int) {
		t.Helper()
		fronttest.Eventually(t, state, func() bool { return strings.Count(f.Log.String(), text) == times })
	}
	const away, back = `msg="etcd did not answer"`, `msg="etcd answers again"`
	e.Cut()
	f.Exchange("PUT /v2/keys/a HTTP/1.1\r\nHost: h\r\nAuthorization: " + fronttest.Basic("root") + "\r\nContent-Length: 0\r\n\r\n")
	logged("the failed request begins an outage", away, 1)
	first := f.Server.Status().Upstream.Since
	e.Mend()
	logged("a probe ends the outage", back, 1)
	if since := f.Server.Status().Upstream.Since; first.IsZero() || !since.IsZero() {
		t.Errorf("failing since: got %v in the outage and %v afterwards, want a time and none", first, since)
	}
	e.Cut()
	defer e.Mend()
	logged("a probe begins a second outage", away, 2)
	if since := f.Server.Status().Upstream.Since; !since.After(first) {
		t.Errorf("failing since: got %v in the second outage, want a time after %v", since, first)
	}
	if text := f.Log.String(); strings.Contains(text, "still does not answer") {
		t.Errorf("the log: got\n%s\nwant one line for the begin of each outage", text)
	}
}

// TestAnEtcdThatHangsIsNoticedWhileRequestsWaitForIt has an etcd that accepts writes and answers
// nothing. Their timeout is much later.
func TestAnEtcdThatHangsIsNoticedWhileRequestsWaitForIt(t *testing.T) {
	t.Parallel()
	f, e := fronttest.Fast.EmbeddedWith(t, func(o *proxy.Options) { o.ProbeEvery = 100 * time.Millisecond }, nil)
	write := "PUT /v2/keys/a HTTP/1.1\r\nHost: h\r\nAuthorization: " + fronttest.Basic("root") + "\r\nContent-Length: 0\r\n\r\n"
	fronttest.Eventually(t, "a write is answered", func() bool { return f.Exchange(write).Status < 300 })
	e.Pause()
	answered := make(chan int, 2)
	for range 2 {
		go func() { answered <- f.Exchange(write).Status }()
	}
	fronttest.Eventually(t, "the log tells how many writes wait", func() bool {
		text := f.Log.String()
		return strings.Contains(text, `msg="etcd did not answer" found_by=probe waiting=2 no_answer_for=`)
	})
	select {
	case status := <-answered:
		t.Errorf("a write that etcd has not answered: got status %d, want none yet", status)
	default:
	}
	e.Resume()
	for range 2 {
		if status := <-answered; status >= 300 {
			t.Errorf("a write after the hang: got status %d, want success", status)
		}
	}
	fronttest.Eventually(t, "the log has the end", func() bool { return strings.Contains(f.Log.String(), `msg="etcd answers again" since=`) })
}

// TestTheBeginningOfAnOutageStaysTheSame has an etcd that hangs. Whoever looks finds that before
// a request does.
func TestTheBeginningOfAnOutageStaysTheSame(t *testing.T) {
	t.Parallel()
	f, e := fronttest.Fast.EmbeddedWith(t, func(o *proxy.Options) { o.ProbeEvery = 100 * time.Millisecond }, nil)
	write := "PUT /v2/keys/a HTTP/1.1\r\nHost: h\r\nAuthorization: " + fronttest.Basic("root") + "\r\nContent-Length: 0\r\n\r\n"
	fronttest.Eventually(t, "a write is answered", func() bool { return f.Exchange(write).Status < 300 })
	e.Pause()
	paused := time.Now()
	answered := make(chan int, 1)
	var first time.Time
	fronttest.Eventually(t, "the status has the outage", func() bool {
		first = f.Server.Status().Upstream.Since
		return !first.IsZero()
	})
	go func() { answered <- f.Exchange(write).Status }()
	fronttest.Eventually(t, "the log has the outage", func() bool { return strings.Contains(f.Log.String(), "etcd did not answer") })
	if since := f.Server.Status().Upstream.Since; !since.Equal(first) || first.After(paused) {
		t.Errorf("the beginning: got %v at the first look and %v later, want one time before %v", first, since, paused)
	}
	e.Resume()
	<-answered
	fronttest.Eventually(t, "the log has the end", func() bool {
		return strings.Contains(f.Log.String(), "since="+first.Local().Round(time.Millisecond).Format("2006-01-02T15:04:05.000"))
	})
}

// TestAnOutageFromTheStartBeginsWithIt has no etcd.
func TestAnOutageFromTheStartBeginsWithIt(t *testing.T) {
	t.Parallel()
	started := time.Now()
	f := fronttest.Fast.FrontWith(t, "http://127.0.0.1:1", nil, nil)
	serving := time.Now()
	if since := f.Server.Status().Upstream.Since; since.Before(started) || since.After(serving) {
		t.Errorf("the beginning: got %v, want the start between %v and %v", since, started, serving)
	}
}

// TestAnEtcdBehindAnotherProxyIsNotAway has an endpoint that refuses what a probe reads.
func TestAnEtcdBehindAnotherProxyIsNotAway(t *testing.T) {
	fronttest.SkipWithV3(t, "a store is not probed")
	t.Parallel()
	var refused atomic.Int64
	endpoint := fronttest.StandIn(t, func(w http.ResponseWriter, _ *http.Request) {
		refused.Add(1)
		http.Error(w, "closed", http.StatusForbidden)
	})
	f := fronttest.Fast.FrontWith(t, endpoint, func(o *proxy.Options) { o.ProbeEvery = 100 * time.Millisecond }, nil)
	fronttest.Eventually(t, "two probes are refused", func() bool { return refused.Load() >= 2 })
	if status := f.Server.Status().Upstream; !status.Since.IsZero() || f.Log.String() != "" {
		t.Errorf("got an outage since %v and the log %q, want none", status.Since, f.Log)
	}
}
