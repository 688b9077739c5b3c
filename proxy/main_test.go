package proxy_test

import (
	"flag"
	"net/http"
	"runtime"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"etcd-tlsproxy/proxy"
)

// idle limits the time that a connection may wait for its next request.
func idle(d time.Duration) func(*proxy.Options) {
	return func(o *proxy.Options) { o.IdleTimeout = d }
}

func TestMain(m *testing.M) {
	flag.Parse()
	// Parallel tests mostly wait, for timeouts and for other processes, so more of them can run
	// than the machine has processors. -parallel still changes it.
	if limit := flag.Lookup("test.parallel"); limit.Value.String() == limit.DefValue {
		if err := limit.Value.Set(strconv.Itoa(2 * runtime.GOMAXPROCS(0))); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(tests{m})
}

// tests runs the tests and closes the connections of clients that all tests share, whose
// goroutines are not leaks.
type tests struct{ *testing.M }

func (t tests) Run() int {
	defer http.DefaultClient.CloseIdleConnections()
	return t.M.Run()
}
