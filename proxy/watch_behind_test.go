package proxy

import (
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/proxytest"
)

// TestAnEventThatItsClientDoesNotTakeAtOnceReachesItLater fills a connection as far as
// the kernel goes, with chunks before that of the event.
func TestAnEventThatItsClientDoesNotTakeAtOnceReachesItLater(t *testing.T) {
	onlyFast(t, "there each watch writes its own event")
	f, _ := newEmbedded(t, nil)
	for range 3 {
		client, head := startWatch(t, f, watchRequest)
		filler := f.fill(t)
		put(t, f, "/eventlogging/w", "late")
		eventually(t, "it is told", func() bool { return f.server.watches.count() == 0 })
		if err := client.ReadBody(head, "GET"); err != nil || !head.Whole {
			t.Fatalf("%d bytes, whole %t, %v", len(head.Body), head.Whole, err)
		}
		if fill, event := head.Body[:min(filler, len(head.Body))], head.Body[min(filler, len(head.Body)):]; fill != strings.Repeat("f", filler) || !strings.Contains(event, `"late"`) {
			t.Errorf("%d bytes instead of %d and %q", len(fill), filler, event)
		}
		if err := client.Send("GET /v2/keys/eventlogging/w HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if a, err := client.Answer("GET"); err != nil || a.Status != 200 {
			t.Errorf("after the watch: %+v, %v", a, err)
		}
		client.Close()
		eventually(t, "nothing is left", func() bool { return f.server.open.Load() == 0 })
	}
}

func TestAClientThatNeverTakesItsEventIsCut(t *testing.T) {
	onlyFast(t, "there each watch writes its own event")
	f, _ := newEmbedded(t, func(s *Snapshot, _ *proxytest.PKI) { s.Limits.BodyTimeout = 300 * time.Millisecond })
	client, _ := startWatch(t, f, watchRequest)
	// Else it grows, and the kernel takes what its owner does not.
	if err := client.NetConn().(*net.TCPConn).SetReadBuffer(16 << 10); err != nil {
		t.Fatal(err)
	}
	f.fill(t)
	put(t, f, "/eventlogging/w", "late")
	eventually(t, "its connection is closed", func() bool { return f.server.open.Load() == 0 })
}

// fill writes to the one client that watches until it takes no more at once.
func (f *front) fill(t *testing.T) (filler int) {
	t.Helper()
	c := f.waiting(t)
	c.mu.Lock() // as the hub has it
	defer c.mu.Unlock()
	for piece := strings.Repeat("f", 4000); ; filler += len(piece) {
		begun, all, err := c.wire.attempt(func() error {
			_, err := fmt.Fprintf(c.conn, "%x\r\n%s\r\n", len(piece), piece)
			return err
		})
		if err != nil || !begun {
			t.Fatal(begun, err)
		}
		if !all {
			return filler + len(piece)
		}
	}
}

// waiting is the one client that watches, when its goroutine waits for the hub.
func (f *front) waiting(t *testing.T) (c *fast) {
	t.Helper()
	eventually(t, "it waits, so that the hub will write", func() bool {
		stacks := make([]byte, 4<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		return slices.ContainsFunc(strings.Split(string(stacks), "\n\n"), func(stack string) bool {
			return strings.Contains(stack, "[IO wait") && strings.Contains(stack, "(*fastWatch).await")
		})
	})
	eventually(t, "one connection is left", func() bool {
		ls := f.server.lanes
		ls.mu.Lock()
		defer ls.mu.Unlock()
		for c = range ls.running {
		}
		return len(ls.running) == 1
	})
	return c
}

func TestAClientWhoseConnectionIsBeingWrittenToKeepsNoOtherWaiting(t *testing.T) {
	onlyFast(t, "there each watch writes its own event")
	f, _ := newEmbedded(t, nil)
	first, firstHead := startWatch(t, f, watchRequest)
	c := f.waiting(t)
	c.wire.mu.Lock() // as TLS has it, which answers a client by itself and waits for it
	var others []*proxytest.Raw
	var heads []*proxytest.Answer
	for range 3 {
		other, head := startWatch(t, f, watchRequest)
		others, heads = append(others, other), append(heads, head)
	}
	put(t, f, "/eventlogging/w", "event")
	for i, other := range others {
		if err := other.ReadBody(heads[i], "GET"); err != nil || !heads[i].Whole {
			t.Errorf("another one: %+v, %v", heads[i], err)
		}
	}
	eventually(t, "the hub does not wait, and whoever ends connections need not", func() bool {
		free := c.mu.TryLock()
		if free {
			c.mu.Unlock()
		}
		return free
	})
	c.wire.mu.Unlock()
	if err := first.ReadBody(firstHead, "GET"); err != nil || !firstHead.Whole || !strings.Contains(firstHead.Body, "event") {
		t.Errorf("the one that was held: %+v, %v", firstHead, err)
	}
}
