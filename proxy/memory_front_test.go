package proxy_test

import (
	"sync/atomic"
	"testing"

	"etcd-tlsproxy/proxy"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

// The levels of memory pressure, as the metric reports them.
const (
	enough = iota
	short  // reads are refused
	full   // everything is refused
)

// withMemory starts a proxy whose memory is used to a percentage that reach sets. It waits
// until the proxy has noticed the level.
func withMemory(t *testing.T, l fronttest.Lane, prepare func(*proxy.Server)) (f *fronttest.Front, reach func(percent uint64, level float64)) {
	t.Helper()
	var percent atomic.Uint64
	e, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	f = l.New(t, e.URL(), func(o *proxy.Options) {
		o.MaxMemory = 100
		o.SetUsage(percent.Load)
	}, nil)
	prepare(f.Server)
	f.Serve(fronttest.Listen(t))
	return f, func(now uint64, level float64) {
		t.Helper()
		percent.Store(now)
		fronttest.Eventually(t, "the level of memory is noticed", func() bool { return f.Gauge("etcd_tlsproxy_memory_pressure") == level })
	}
}

func TestWritesAreServedLongerThanReadsWhenMemoryEnds(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, reach := withMemory(t, l, (*proxy.Server).KeepIdle)
		client := f.Client("h1")
		expect := func(at uint64, level float64, read, write int) {
			t.Helper()
			reach(at, level)
			status, body, header := fronttest.Do(t, client, "GET", f.URL()+"/v2/keys", "", "")
			if status != read {
				t.Errorf("reading with %d %% of the memory used: got %d %s, want %d", at, status, body, read)
			}
			if status == 503 && (header.Get("Retry-After") != "1" || body != gate.RefuseSpace.Body) {
				t.Errorf("reading with %d %% of the memory used: got Retry-After %q and %s, want \"1\" and %s", at, header.Get("Retry-After"), body, gate.RefuseSpace.Body)
			}
			if status, body, _ := fronttest.Do(t, client, "PUT", f.URL()+"/v2/keys/conftool/a", "conftool", "value=1"); status/100 != write/100 {
				t.Errorf("writing with %d %% of the memory used: got %d %s, want %d", at, status, body, write)
			}
		}
		expect(79, enough, 200, 200)
		expect(80, short, 503, 200)
		expect(92, full, 503, 503)
		expect(91, short, 503, 200)
		expect(79, enough, 200, 200)
	})
}

func TestSilentConnectionsAreEndedWhenMemoryIsShort(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, reach := withMemory(t, l, func(*proxy.Server) {})
		idle := f.Dial()
		if err := idle.Send(plainRead); err != nil {
			t.Fatal(err)
		}
		if a, err := idle.Answer("GET"); err != nil || a.Status != 200 {
			t.Fatalf("reading with enough memory: got %+v, %v; want status 200", a, err)
		}
		reach(85, short)
		fronttest.Eventually(t, "the idle connection is closed", func() bool { return f.Connections() == 0 })
		if end := idle.End(); end != proxytest.EndedWell {
			t.Errorf("the idle connection ended with %s, want %s", end, proxytest.EndedWell)
		}
	})
}
