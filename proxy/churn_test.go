package proxy_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"etcd-tlsproxy/proxy"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

// holdings is what the test's process holds.
type holdings struct {
	goroutines, files int
	heap              uint64
}

func held(t *testing.T) holdings {
	t.Helper()
	// A sync.Pool keeps its items until the second collection.
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

// TestTenThousandWatchersComeAndGo compares what the process holds before and after. If
// ETCD_TLSPROXY_TEST_CHURN is set to a duration, the rounds continue for that long.
func TestTenThousandWatchersComeAndGo(t *testing.T) {
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		rounds, until := 10, time.Now()
		if text := os.Getenv("ETCD_TLSPROXY_TEST_CHURN"); text != "" {
			length, err := time.ParseDuration(text)
			if err != nil {
				t.Fatal(err)
			}
			until = until.Add(length)
		}
		watchers := 500 // in each of 11 rounds and in each lane, so more than ten thousand
		if testing.Short() {
			rounds, watchers = 2, 300
		}
		// All clients of a round shake hands at once, which takes long on a busy machine.
		f := newProcessFront(t, l, func(o *proxy.Options) {
			o.MaxUserWatches, o.HandshakeTimeout = 20_000, time.Minute
			o.Snapshot.Limits.HeaderTimeout = time.Minute
		})
		writer := f.Client("h1") // one for all rounds, because the test keeps each client until it ends
		round := func(n int) {
			var all, started sync.WaitGroup
			for i := range watchers {
				started.Add(1)
				all.Go(func() { watchAndGo(t, f, i, &started) })
			}
			started.Wait()
			if status, body, _ := fronttest.Do(t, writer, "PUT", f.URL()+"/v2/keys/eventlogging/churn", "", "value="+fmt.Sprint(n)); status >= 300 {
				t.Errorf("writing in round %d: got %d %s, want 200 or 201", n, status, body)
			}
			writer.CloseIdleConnections()
			all.Wait()
			f.Access.Clear()
			f.Audit.Clear()
			fronttest.Eventually(t, "no watch and no connection is left", func() bool {
				return f.Metrics.Upstream.Watching.Load() == 0 && f.Metrics.Watches.Hubs.Load() == 0 && f.Connections() == 0
			})
		}
		round(0) // fills the pools
		var first holdings
		fronttest.Eventually(t, "the numbers of goroutines and files are stable", func() bool {
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
		fronttest.Eventually(t, "there are no more goroutines and files than before", func() bool {
			last = held(t)
			return last.goroutines <= first.goroutines && last.files <= first.files
		})
		t.Logf("%d watchers: %+v, then %+v", n*watchers, first, last)
		// Pools keep some memory between collections. A leak would take 100 KiB a round.
		if last.heap > first.heap+first.heap/4+1<<20 {
			t.Errorf("the heap grew from %d to %d bytes, want at most a quarter and 1 MiB more", first.heap, last.heap)
		}
	})
}

// newProcessFront starts a proxy in front of an installed etcd, whose memory does not
// count as this process's. Without an installed etcd it uses the embedded one.
func newProcessFront(t *testing.T, l fronttest.Lane, prepare func(*proxy.Options)) *fronttest.Front {
	t.Helper()
	path, _, ok := proxytest.FindEtcd()
	if !ok {
		f, _ := l.EmbeddedWith(t, prepare, nil)
		return f
	}
	e, err := proxytest.StartProcess(path, proxytest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return l.FrontWith(t, e.URL(), prepare, nil)
}

// watchAndGo is one client. It waits for its event or disconnects before.
func watchAndGo(t *testing.T, f *fronttest.Front, i int, started *sync.WaitGroup) {
	done := sync.OnceFunc(started.Done)
	defer done()
	c, err := proxytest.DialRaw(f.Addr, f.TLS())
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	request := "GET /v2/keys/eventlogging/churn?wait=true HTTP/1.1\r\nHost: h\r\n\r\n"
	switch i % 8 {
	case 0:
		request = request[:len(request)-2] // disconnects in the middle of its head
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
		t.Errorf("reading the head of a watch: got %+v, %v; want status 200", a, err)
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
		t.Errorf("reading the event of a watch: got %+v, %v; want a whole body", a, err)
	}
}
