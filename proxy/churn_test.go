package proxy

import (
	"crypto/tls"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/proxytest"
)

// holdings is what a process has in use.
type holdings struct {
	goroutines, files int
	heap              uint64
}

func held(t *testing.T) holdings {
	t.Helper()
	// Twice: pools keep what was in use until the second collection.
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("the files of a process cannot be counted here")
	}
	return holdings{runtime.NumGoroutine(), len(files), m.HeapAlloc}
}

// TestTenThousandWatchersComeAndGo looks at what is left of them. With
// ETCD_TLSPROXY_TEST_CHURN, a duration, they come and go for so long.
func TestTenThousandWatchersComeAndGo(t *testing.T) {
	rounds, until := 10, time.Now()
	if text := os.Getenv("ETCD_TLSPROXY_TEST_CHURN"); text != "" {
		length, err := time.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		until = until.Add(length)
	}
	watchers := 1000
	if testing.Short() {
		rounds, watchers = 2, 300
	}
	// All of a round shake hands at once, which takes a busy machine its time.
	f := newProcessFront(t, func(o *Options) {
		o.MaxUserWatches, o.HandshakeTimeout = 20_000, time.Minute
		o.Snapshot.Limits.HeaderTimeout = time.Minute
	})
	writer := f.client("h1") // one: each is remembered until the test ends
	round := func(n int) {
		var all, started sync.WaitGroup
		for i := range watchers {
			started.Add(1)
			all.Go(func() { watchAndGo(t, f, i, &started) })
		}
		started.Wait()
		if status, body, _ := do(t, writer, "PUT", f.url()+"/v2/keys/eventlogging/churn", "", "value="+fmt.Sprint(n)); status >= 300 {
			t.Errorf("%d %s", status, body)
		}
		writer.CloseIdleConnections()
		all.Wait()
		f.access.clear()
		f.audit.clear()
		eventually(t, "no watch is left", func() bool {
			return f.metrics.Upstream.Watching.Load() == 0 && f.metrics.Watches.Hubs.Load() == 0 && f.server.open.Load() == 0
		})
	}
	round(0) // what is kept for the next ones
	var first holdings
	eventually(t, "nothing goes on", func() bool {
		before := first
		first = held(t)
		return before.goroutines == first.goroutines && before.files == first.files
	})
	n := 1
	for ; n <= rounds || time.Now().Before(until); n++ {
		round(n)
		if n%100 == 0 {
			t.Logf("after %d watchers: %+v", n*watchers, held(t))
		}
	}
	var last holdings
	eventually(t, "goroutines and files are as many as before", func() bool {
		last = held(t)
		return last.goroutines <= first.goroutines && last.files <= first.files
	})
	t.Logf("%d watchers: %+v, then %+v", n*watchers, first, last)
	// Pools keep some memory between collections; what leaks would be 100 KiB a round.
	if last.heap > first.heap+first.heap/4+1<<20 {
		t.Errorf("the heap grew from %d to %d bytes", first.heap, last.heap)
	}
}

// newProcessFront is before an etcd whose memory is not this process's, if there is
// one.
func newProcessFront(t *testing.T, prepare func(*Options)) *front {
	t.Helper()
	path, _, ok := proxytest.FindEtcd()
	if !ok {
		f, _ := newPreparedEmbedded(t, prepare, nil)
		return f
	}
	e, err := proxytest.StartProcess(path, proxytest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return newPreparedFront(t, listen(t), e.URL(), prepare, nil)
}

// watchAndGo is a client that watches and hears, or does not wait so long.
func watchAndGo(t *testing.T, f *front, i int, started *sync.WaitGroup) {
	done := sync.OnceFunc(started.Done)
	defer done()
	c, err := proxytest.DialRaw(f.addr, &tls.Config{RootCAs: f.pki.Pool(), ServerName: "localhost"})
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	request := "GET /v2/keys/eventlogging/churn?wait=true HTTP/1.1\r\nHost: h\r\n\r\n"
	switch i % 8 {
	case 0:
		request = request[:len(request)-2] // it goes in the middle of its head
	case 1:
		request = strings.Replace(request, "1.1", "1.0", 1)
	}
	if err := c.Send(request); err != nil {
		t.Error(err)
		return
	}
	if i%8 == 0 {
		return
	}
	a, err := c.Head()
	if err != nil || a.Status != 200 {
		t.Errorf("%+v, %v", a, err)
		return
	}
	switch i % 8 {
	case 2:
		_ = c.CloseWrite()
		return
	case 3:
		_ = c.NetConn().Close()
		return
	}
	done()
	if err := c.ReadBody(a, "GET"); err != nil || !a.Whole || a.Body == "" {
		t.Errorf("%+v, %v", a, err)
	}
}
