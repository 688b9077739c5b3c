package fronttest

import (
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// StandIn starts an HTTP server in place of etcd and returns its URL. It is for tests
// that inspect what etcd would receive, or that need an answer that etcd does not give.
// Without a function it answers 404.
func StandIn(t testing.TB, handle http.HandlerFunc) (url string) {
	t.Helper()
	if handle == nil {
		handle = http.NotFound
	}
	s := httptest.NewServer(handle)
	t.Cleanup(s.Close)
	return s.URL
}

// StandInConns is like [StandIn] for tests that read and write bytes. Each connection is
// closed when serve returns. The proxy has to be drained first when the test ends, so
// that serve returns.
func StandInConns(t testing.TB, serve func(net.Conn)) (url string) {
	t.Helper()
	ln := Listen(t)
	var serving sync.WaitGroup
	t.Cleanup(func() {
		ln.Close()
		serving.Wait()
	})
	serving.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer c.Close()
				serve(c)
			})
		}
	})
	return "http://" + ln.Addr().String()
}
