package fast

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/proxytest"
)

// fill writes chunks to a client that watches until the socket accepts no more bytes, like a
// hub that writes an event. It returns the number of bytes in the chunks.
func fill(t *testing.T, c *conn) (filler int) {
	t.Helper()
	c.mu.Lock() // a hub also holds it
	defer c.mu.Unlock()
	for piece := strings.Repeat("f", 4000); ; filler += len(piece) {
		begun, all, err := c.wire.TryWrite(func() error {
			_, err := fmt.Fprintf(c.tls, "%x\r\n%s\r\n", len(piece), piece)
			return err
		})
		if err != nil || !begun {
			t.Fatalf("filling the connection: begun %t, error %v", begun, err)
		}
		if !all {
			return filler + len(piece)
		}
	}
}

// TestAnEventThatItsClientDoesNotTakeAtOnceReachesItLater fills the socket's buffers with
// chunks before the chunk of the event.
func TestAnEventThatItsClientDoesNotTakeAtOnceReachesItLater(t *testing.T) {
	r := newRig(t, patientLimits)
	for range 3 {
		client, head, served, _ := r.watch()
		filler := fill(t, served)
		r.write("late")
		r.eventually("the event is reported", func() bool { return r.Exchange.Watches.Count() == 0 })
		if err := client.ReadBody(head, "GET"); err != nil || !head.Whole {
			t.Fatalf("got %d bytes, whole %t, error %v; want the whole answer", len(head.Body), head.Whole, err)
		}
		got, event := head.Body[:min(filler, len(head.Body))], head.Body[min(filler, len(head.Body)):]
		if got != strings.Repeat("f", filler) || !strings.Contains(event, `"late"`) {
			t.Errorf("got %d bytes of filler and %q, want %d and the event", len(got), event, filler)
		}
		if err := client.Send("GET /v2/keys" + watchedKey + " HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if a, err := client.Answer("GET"); err != nil || a.Status != 200 {
			t.Errorf("the request after the watch: got %+v and error %v, want 200", a, err)
		}
	}
}

func TestAClientGoesOnWhileOthersAreStillToBeNotified(t *testing.T) {
	r := newRig(t, patientLimits)
	client, head, _, _ := r.watch()
	other, otherHead, held, _ := r.watch()
	held.mu.Lock() // the hub waits for it
	r.write("event")
	err := client.ReadBody(head, "GET")
	if err == nil {
		err = client.Send("GET /v2/keys" + watchedKey + " HTTP/1.1\r\nHost: h\r\n\r\n")
	}
	a, next := client.Answer("GET")
	running := r.Exchange.Watches.Count()
	held.mu.Unlock()
	if err != nil || next != nil || a.Status != 200 || running != 1 {
		t.Errorf("the event: got error %v; the request after it: got %+v, error %v and %d running watches, want 200 and that of the other", err, a, next, running)
	}
	if err := other.ReadBody(otherHead, "GET"); err != nil || !otherHead.Whole {
		t.Errorf("the other client: got %+v and error %v, want the event", otherHead, err)
	}
	r.eventually("the other event is reported", func() bool { return r.Exchange.Watches.Count() == 0 })
}

func TestAClientThatNeverTakesItsEventIsCut(t *testing.T) {
	t.Parallel()
	limits := patientLimits
	limits.BodyTimeout = 300 * time.Millisecond
	r := newRig(t, limits)
	client, _, served, closed := r.watch()
	// Otherwise the buffer grows, and the kernel accepts the bytes that the client does not read.
	if err := client.NetConn().(*net.TCPConn).SetReadBuffer(16 << 10); err != nil {
		t.Fatal(err)
	}
	fill(t, served)
	r.write("late")
	select {
	case <-closed:
	case <-time.After(time.Minute):
		t.Fatal("after a minute the connection is still open")
	}
}

func TestAClientWhoseConnectionIsBeingWrittenToKeepsNoOtherWaiting(t *testing.T) {
	t.Parallel()
	r := newRig(t, patientLimits)
	first, firstHead, served, _ := r.watch()
	var others []*proxytest.Raw
	var heads []*proxytest.Answer
	for range 3 {
		other, head, _, _ := r.watch()
		others, heads = append(others, other), append(heads, head)
	}
	// crypto/tls also writes on its own, when it answers certain records. Here it writes more
	// than the client reads.
	var writing sync.WaitGroup
	writing.Go(func() {
		filler := strings.Repeat("f", 16<<20)
		if _, err := fmt.Fprintf(served.tls, "%x\r\n%s\r\n", len(filler), filler); err != nil {
			t.Errorf("filling the connection: %v", err)
		}
	})
	inARow := 0
	r.eventually("the socket accepts no more bytes", func() bool {
		if inARow++; !served.wire.Blocked() {
			inARow = 0
		}
		return inARow > 300 // milliseconds, in which a socket that is not full would accept all of it
	})
	r.write("event")
	for i, other := range others {
		if err := other.ReadBody(heads[i], "GET"); err != nil || !heads[i].Whole {
			t.Errorf("another client: got %+v and error %v, want the event", heads[i], err)
		}
	}
	r.eventually("the hub does not wait for the connection", func() bool {
		free := served.mu.TryLock()
		if free {
			served.mu.Unlock()
		}
		return free
	})
	if err := first.ReadBody(firstHead, "GET"); err != nil || !firstHead.Whole || !strings.Contains(firstHead.Body, "event") {
		t.Errorf("the client that was held: got %+v and error %v, want the event", firstHead, err)
	}
	writing.Wait()
}
