package proxy_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"etcd-tlsproxy/proxy"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

// fullable is a log whose disk can be full.
type fullable struct {
	io.Writer
	full    atomic.Bool
	written atomic.Int64 // bytes
}

func (f *fullable) Write(p []byte) (int, error) {
	if f.full.Load() {
		return 0, errors.New("no space left on device")
	}
	f.written.Add(int64(len(p)))
	return f.Writer.Write(p)
}

func TestWritesAreRefusedWhileTheRequiredAuditLogIsLost(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		var received atomic.Int64
		etcd := fronttest.StandIn(t, func(http.ResponseWriter, *http.Request) { received.Add(1) })
		var log fullable
		f := l.FrontWith(t, etcd, func(o *proxy.Options) {
			log.Writer = io.Discard
			o.Observer.Records.Audit.Switch(&log)
			o.Observer.Records.AuditRequired.Store(true)
		}, nil)
		t.Cleanup(func() { f.Records().Audit.Switch(nil) })
		status := func(method string) int {
			return f.Exchange(method + " /v2/keys/eventlogging/a HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n").Status
		}
		if got := status("PUT"); got != 200 {
			t.Fatalf("a write that is recorded: got status %d, want 200", got)
		}
		// The record is written behind the answer.
		fronttest.Eventually(t, "the first record is written", func() bool { return log.written.Load() > 0 })
		log.full.Store(true)
		if got := status("PUT"); got != 200 {
			t.Errorf("the write whose record is lost: got status %d, want 200, because etcd has carried it out", got)
		}
		fronttest.Eventually(t, "the loss is noticed", f.Records().Audit.Failing)
		before := received.Load()
		for _, method := range []string{"PUT", "DELETE", "POST"} {
			a := f.Exchange(method + " /v2/keys/eventlogging/a HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
			if a.Status != 503 || !strings.Contains(a.Body, "audit log cannot be written") {
				t.Errorf("%s after the loss: got status %d with %s, want 503 with the cause", method, a.Status, a.Body)
			}
		}
		if got := received.Load(); got != before {
			t.Errorf("etcd received %d requests of refused writes, want none", got-before)
		}
		if got := status("GET"); got != 200 {
			t.Errorf("a read after the loss: got status %d, want 200", got)
		}
		log.full.Store(false)
		fronttest.Eventually(t, "writes are served again", func() bool { return status("PUT") == 200 })
	})
}
