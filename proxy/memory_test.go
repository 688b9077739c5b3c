package proxy

import (
	"runtime"
	"sync/atomic"
	"testing"

	"etcd-tlsproxy/proxy/proxytest"
)

// withMemory is a front before an etcd whose memory is as full as a test says, in percent.
func withMemory(t *testing.T) (f *front, percent *atomic.Uint64) {
	f, _ = newEmbedded(t, nil)
	percent = &atomic.Uint64{}
	f.server.memory.limit = 100
	f.server.memory.needs = func() (uint64, uint64) { return percent.Load(), 0 }
	return f, percent
}

func TestWritesAreServedLongerThanReadsWhenMemoryEnds(t *testing.T) {
	f, percent := withMemory(t)
	f.server.memory.shed = func(int) int { return 0 } // the client goes on, on its connection
	client := f.client("h1")
	expect := func(at uint64, read, write int) {
		t.Helper()
		percent.Store(at)
		f.server.memory.look()
		if status, body, header := do(t, client, "GET", f.url()+"/v2/keys", "", ""); status != read || status == 503 && (header.Get("Retry-After") != "1" || body != refuseSpace.Body) {
			t.Errorf("at %d %% a read is answered with %d %s", at, status, body)
		}
		if status, body, _ := do(t, client, "PUT", f.url()+"/v2/keys/conftool/a", "conftool", "value=1"); status/100 != write/100 {
			t.Errorf("at %d %% a write is answered with %d %s", at, status, body)
		}
	}
	expect(79, 200, 200)
	expect(80, 503, 200)
	expect(91, 503, 200)
	expect(92, 503, 503)
	expect(79, 200, 200)
}

func TestSilentConnectionsAreEndedWhenMemoryIsShort(t *testing.T) {
	f, percent := withMemory(t)
	if f.server.Snapshot().FastLane == false {
		t.Skip("net/http does not tell which connections are silent")
	}
	silent := f.raw()
	if err := silent.Send("GET /v2/keys HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if a, err := silent.Answer("GET"); err != nil || a.Status != 200 {
		t.Fatalf("%+v, %v", a, err)
	}
	percent.Store(85)
	eventually(t, "it is ended", func() bool {
		f.server.memory.look()
		return f.server.open.Load() == 0
	})
	if end := silent.End(); end != proxytest.EndedWell {
		t.Errorf("ended with %s", end)
	}
}

func TestACollectionIsAskedForWhenNoneComesByItself(t *testing.T) {
	_, before := liveBytes()
	m := newMemory(1, func(int) int { return 0 }, NewMetrics("test").memoryLevel)
	m.needs = func() (uint64, uint64) { return 1, 0 }
	for range collectAfter + 1 {
		m.look()
	}
	if _, after := liveBytes(); after == before {
		t.Error("there was none")
	}
}

func TestWhatIsNeededGrowsWithWhatIsHeld(t *testing.T) {
	runtime.GC()
	before, _ := liveBytes()
	held := make([]byte, 64<<20)
	runtime.GC()
	if after, _ := liveBytes(); after < before+32<<20 {
		t.Errorf("of 64 MiB %d bytes were noticed", int64(after)-int64(before))
	}
	runtime.KeepAlive(held)
}
