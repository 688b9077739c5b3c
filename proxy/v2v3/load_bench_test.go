package v2v3

import (
	"io"
	"log/slog"
	"net/url"
	"runtime"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// BenchmarkLoad loads a tree of 100,000 files, and reports the memory that it needs.
func BenchmarkLoad(b *testing.B) {
	etcd, err := proxytest.StartEmbedded(proxytest.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer etcd.Close()
	at, err := url.Parse(etcd.URL())
	if err != nil {
		b.Fatal(err)
	}
	o := Options{Endpoints: []Endpoint{{Addr: at.Host}}, Timeout: 10 * time.Second, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	c, err := rpc.New(o.Endpoints, "", "")
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	fill(b, c, "", 100000, 5, "a value of forty bytes, as many files have")
	if err := create(b.Context(), c, "", 1000); err != nil {
		b.Fatal(err)
	}
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
		s, err := Open(o)
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Ready(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		used = heap() - before
		s.Close()
		b.StartTimer()
	}
	b.ReportMetric(used/1e6, "MB")
}
