package v2v3

import (
	"log/slog"
	"net/url"
	"runtime"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// benchOptions starts an etcd with a tree of n files.
func benchOptions(b *testing.B, n int) Options {
	b.Helper()
	etcd, err := proxytest.StartEmbedded(proxytest.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(etcd.Close)
	at, err := url.Parse(etcd.URL())
	if err != nil {
		b.Fatal(err)
	}
	o := Options{Endpoints: []Endpoint{{Addr: at.Host}}, Timeout: 10 * time.Second, Log: slog.New(slog.DiscardHandler)}
	c, err := rpc.New(o.Endpoints, "", "")
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	fill(b, c, "", n, 5, "a value of forty bytes, as many files have")
	if err := create(b.Context(), c, "", 1000); err != nil {
		b.Fatal(err)
	}
	return o
}

func benchOpen(b *testing.B, o Options) *Store {
	b.Helper()
	s, err := Open(o)
	if err == nil {
		err = s.Ready(b.Context())
	}
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// benchStore starts a store with a tree of n files.
func benchStore(b *testing.B, n int) *Store {
	s := benchOpen(b, benchOptions(b, n))
	b.Cleanup(s.Close)
	return s
}

// BenchmarkLoad loads a tree of 100,000 files, and reports the memory that it needs.
func BenchmarkLoad(b *testing.B) {
	o := benchOptions(b, 100000)
	heap := func() float64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	used := 0.0
	for b.Loop() {
		b.StopTimer()
		before := heap()
		b.StartTimer()
		s := benchOpen(b, o)
		b.StopTimer()
		used = heap() - before
		s.Close()
		b.StartTimer()
	}
	b.ReportMetric(used/1e6, "MB")
}
