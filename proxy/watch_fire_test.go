package proxy_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

// fire is one run of writers, watchers and shadows.
type fire struct {
	t       *testing.T
	f       *fronttest.Front
	etcd    string // its URL
	shadows []*shadow
	stop    context.Context
	dies    atomic.Bool // etcd is killed during the run

	mu       sync.Mutex
	observed []observation
	broken   int // watches that ended without an event
	cleared  int // refused, because etcd's history is too short
}

func (x *fire) index() (uint64, bool) {
	resp, err := http.Head(x.etcd + "/v2/keys/")
	if err != nil {
		return 0, false
	}
	resp.Body.Close()
	index, err := strconv.ParseUint(resp.Header.Get("X-Etcd-Index"), 10, 64)
	return index, err == nil
}

// TestWatchesAreExactUnderFire compares the events that clients get through the proxy with
// those that a shadow gets from etcd. ETCD_TLSPROXY_TEST_WATCH sets the duration of a run,
// and ETCD_TLSPROXY_TEST_SEED repeats its random choices.
func TestWatchesAreExactUnderFire(t *testing.T) {
	t.Parallel()
	length := 3 * time.Second
	if text := os.Getenv("ETCD_TLSPROXY_TEST_WATCH"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	seed := rand.Uint64()
	if text := os.Getenv("ETCD_TLSPROXY_TEST_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("ETCD_TLSPROXY_TEST_SEED=%d", seed)
	fronttest.EachEtcd(t, func(t *testing.T, f *fronttest.Front, e fronttest.Etcd) {
		x := &fire{t: t, f: f, etcd: e.URL()}
		x.run(seed, length, e)
	})
}

func (x *fire) run(seed uint64, length time.Duration, e fronttest.Etcd) {
	t := x.t
	x.f.Put(t, "/w/d/k", "0")
	var shadows, watching, started sync.WaitGroup
	shadowing, endShadows := context.WithCancel(context.Background())
	defer endShadows()
	for _, w := range []watched{{"/w", true}, {"/w/d", true}, {"/w/d", false}, {"/w/d/k", false}, {"/w/q", true}, {"/w/d/sub/deep", true}, {"/w/d/sub", false}, {"/w/d/_hidden", false}} {
		s := newShadow(x.etcd, w)
		x.shadows = append(x.shadows, s)
		started.Add(1)
		shadows.Go(func() { s.run(shadowing, t, &started) })
	}
	started.Wait()
	var cancel context.CancelFunc
	x.stop, cancel = context.WithCancel(context.Background())
	defer cancel()
	over := time.After(length)
	for i := range uint64(3) {
		watching.Go(func() { x.write(seed + i) })
	}
	for i := range uint64(24) {
		watching.Go(func() { x.watch(seed + 100 + i) })
	}
	if process, ok := e.(fronttest.Mortal); ok {
		x.dies.Store(true)
		for range 2 {
			<-time.After(length / 3)
			process.Kill()
			if err := process.Start(); err != nil {
				t.Error(err)
			}
		}
	}
	<-over
	fronttest.Eventually(t, "100 watches were answered", func() bool { return x.answered() >= 100 })
	cancel()
	watching.Wait()
	// A last event for each watched key shows that the shadows have seen all events.
	x.f.Put(t, "/w/any", "1")
	x.remove()
	for _, key := range []string{"/w/d/k", "/w/d/_hidden", "/w/d/sub/deep/x", "/w/q/last"} {
		x.f.Put(t, key, "1")
	}
	last := x.remove()
	for _, s := range x.shadows {
		fronttest.Eventually(t, fmt.Sprintf("the shadow of %v has event %d", s.watched, last), func() bool { return s.reached(last) })
	}
	endShadows()
	shadows.Wait()
	x.report()
}

// answered returns how many watches were answered.
func (x *fire) answered() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.observed)
}

// remove deletes all watched keys and returns the index of the event.
func (x *fire) remove() uint64 {
	client := x.f.Client("h1")
	defer client.CloseIdleConnections()
	_, body, _ := fronttest.Do(x.t, client, "DELETE", x.f.URL()+"/v2/keys/w?recursive=true", "root", "")
	index, err := eventIndex(body)
	if err != nil {
		x.t.Fatal(err)
	}
	return index
}

func (x *fire) report() {
	for _, s := range x.shadows {
		s.check(x.t)
	}
	all := make(map[uint64]string)
	for _, s := range x.shadows {
		maps.Copy(all, s.late)
		maps.Copy(all, s.live)
	}
	wrong := 0
	for i := range x.observed {
		o := &x.observed[i]
		if err := o.check(all); err != nil {
			if wrong++; wrong <= 10 {
				x.t.Errorf("watching %v since %d: %v", o.watched, o.waitIndex, err)
			}
		}
	}
	events := 0
	for _, s := range x.shadows {
		events += len(s.live)
	}
	x.t.Logf("%d events of %d watched keys; %d watches answered, %d broken off, %d too old; %d wrong; %d ring misses",
		events, len(x.shadows), len(x.observed), x.broken, x.cleared, wrong, x.f.Metrics.Watches.Misses.Load())
}
