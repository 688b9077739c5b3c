package proxy

import (
	"etcd-tlsproxy/proxy/gate"
	"runtime"
	"sync/atomic"
	"testing"

	"etcd-tlsproxy/proxy/proxytest"
)

// withMemory is a front before an etcd whose memory is as full as a test says, in
// percent; reach waits until that has been noticed.
func withMemory(t *testing.T, prepare func(*Options)) (f *front, reach func(percent uint64, level int32)) {
	var percent atomic.Uint64
	f, _ = newPreparedEmbedded(t, func(o *Options) {
		o.MaxMemory = 100
		o.usage = func() usage { return usage{live: percent.Load()} }
		if prepare != nil {
			prepare(o)
		}
	}, nil)
	return f, func(now uint64, level int32) {
		t.Helper()
		percent.Store(now)
		eventually(t, "it is noticed", func() bool { return f.server.memory.level.Load() == level })
	}
}

func TestWritesAreServedLongerThanReadsWhenMemoryEnds(t *testing.T) {
	// The client goes on, on its connection.
	f, reach := withMemory(t, nil)
	client := f.client("h1")
	expect := func(at uint64, level int32, read, write int) {
		t.Helper()
		reach(at, level)
		if status, body, header := do(t, client, "GET", f.url()+"/v2/keys", "", ""); status != read || status == 503 && (header.Get("Retry-After") != "1" || body != gate.RefuseSpace.Body) {
			t.Errorf("at %d %% a read is answered with %d %s", at, status, body)
		}
		if status, body, _ := do(t, client, "PUT", f.url()+"/v2/keys/conftool/a", "conftool", "value=1"); status/100 != write/100 {
			t.Errorf("at %d %% a write is answered with %d %s", at, status, body)
		}
	}
	expect(79, memoryFree, 200, 200)
	expect(80, memoryShort, 503, 200)
	expect(92, memoryFull, 503, 503)
	expect(91, memoryShort, 503, 200)
	expect(79, memoryFree, 200, 200)
}

func TestGarbageThatIsNotCollectedInTimeCountsBeyondTheLimit(t *testing.T) {
	m := &memory{limit: 100, shed: func(int) int { return 0 }, publish: func(int) {}}
	for mapped, want := range map[uint64]int32{109: memoryFree, 110: memoryFull} {
		m.read = func() usage { return usage{live: 50, mapped: mapped} }
		if m.poll(); m.level.Load() != want {
			t.Errorf("with %d %% from the kernel the level is %d", mapped, m.level.Load())
		}
	}
}

func TestSilentConnectionsAreEndedWhenMemoryIsShort(t *testing.T) {
	f, reach := withMemory(t, nil)
	silent := f.raw()
	if err := silent.Send("GET /v2/keys HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if a, err := silent.Answer("GET"); err != nil || a.Status != 200 {
		t.Fatalf("%+v, %v", a, err)
	}
	reach(85, memoryShort)
	eventually(t, "it is ended", func() bool { return f.server.open.Load() == 0 })
	if end := silent.End(); end != proxytest.EndedWell {
		t.Errorf("ended with %s", end)
	}
}

func TestACollectionIsAskedForWhenNoneComesByItself(t *testing.T) {
	before := readUsage().collections
	m := &memory{limit: 1, shed: func(int) int { return 0 }, publish: func(int) {}}
	m.read = func() usage { return usage{live: 1} }
	for range maxPollsWithoutGC + 1 {
		m.poll()
	}
	if readUsage().collections == before {
		t.Error("there was none")
	}
}

func TestWhatIsNeededGrowsWithWhatIsHeld(t *testing.T) {
	runtime.GC()
	before := readUsage().live
	held := make([]byte, 64<<20)
	runtime.GC()
	if after := readUsage().live; after < before+32<<20 {
		t.Errorf("of 64 MiB %d bytes were noticed", int64(after)-int64(before))
	}
	runtime.KeepAlive(held)
}
