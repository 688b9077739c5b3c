package v2v3

import (
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// slowLink carries connections to an address, and from there only so many bytes a second. Zero is any number.
func slowLink(t *testing.T, to string) (at string, rate *atomic.Int64) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	rate = new(atomic.Int64)
	var running sync.WaitGroup
	t.Cleanup(func() { _ = ln.Close(); running.Wait() })
	running.Go(func() {
		for {
			near, err := ln.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				_ = near.Close()
				continue
			}
			running.Go(func() { _, _ = io.Copy(far, near); _ = far.Close() })
			running.Go(func() { carrySlowly(near, far, rate); _ = near.Close() })
		}
	})
	return ln.Addr().String(), rate
}

// carrySlowly makes up for a part of the time in which it does not run, so that the link is not slower on a busy machine.
func carrySlowly(to io.Writer, from io.Reader, rate *atomic.Int64) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	last := time.Now()
	for part := make([]byte, 1<<20); ; {
		n := int64(len(part))
		if r := rate.Load(); r > 0 {
			<-tick.C
			elapsed := min(time.Since(last), time.Second/4)
			n = min(n, max(1, r*elapsed.Milliseconds()/1000))
		}
		last = time.Now()
		got, err := from.Read(part[:n])
		if err == nil {
			_, err = to.Write(part[:got])
		}
		if err != nil {
			return
		}
	}
}

// TestAStoreCatchesUpOverASlowLink has one response that needs longer than a member may be silent.
func TestAStoreCatchesUpOverASlowLink(t *testing.T) {
	t.Parallel()
	etcd, o := startEtcd(t)
	if err := Init(testContext(t), o, 100); err != nil {
		t.Fatal(err)
	}
	other := open(t, o)
	slow, rate := slowLink(t, o.Endpoints[0].Addr)
	o.Endpoints = []Endpoint{{Addr: slow}}
	f := attach(t, etcd, o)
	f.away()
	for range 6 {
		op := parse(t, "PUT /large?value=1")
		op.Value = strings.Repeat("x", 1<<20)
		if a, err := other.Do(testContext(t), op); err != nil || a.Status >= 300 {
			t.Fatalf("got the answer %d and the error %v", a.Status, err)
		}
	}
	rate.Store(4 << 18) // the response needs 6 s
	f.link.Mend()
	eventually(t, "the store has caught up", func() bool { return f.applied.Load() >= other.applied.Load() })
}
