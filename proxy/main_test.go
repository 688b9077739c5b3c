package proxy_test

import (
	"net/http"
	"testing"
	"time"

	"go.uber.org/goleak"

	"etcd-tlsproxy/proxy"
	"etcd-tlsproxy/proxy/proxytest"
)

// idle limits the time that a connection may wait for its next request.
func idle(d time.Duration) func(*proxy.Options) {
	return func(o *proxy.Options) { o.IdleTimeout = d }
}

func TestMain(m *testing.M) {
	proxytest.WaitTogether()
	goleak.VerifyTestMain(tests{m})
}

// tests runs the tests and closes the connections of clients that all tests share, whose
// goroutines are not leaks.
type tests struct{ *testing.M }

func (t tests) Run() int {
	defer http.DefaultClient.CloseIdleConnections()
	return t.M.Run()
}
