package lane

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/bulk"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/observe"
	"etcd-tlsproxy/proxy/share"
	"etcd-tlsproxy/proxy/upstream"
	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3"
)

func TestOnlyAnAnswerOfUpTo4MiBIsChargedToTheMemoryOfItsClient(t *testing.T) {
	table := account.NewTable()
	client := table.Address(netip.MustParseAddr("192.0.2.1"))
	defer client.Close()
	memory := table.NewPool(account.Options{Name: "memory", Total: 1 << 20})
	for _, c := range []struct {
		pool *account.Pool
		size int64
		want bool
	}{{memory, 4 << 20, true}, {memory, 4<<20 + 1, false}, {nil, 1 << 20, false}} {
		a := &Answer{stored: &stored{}}
		if got := a.holdMemory(&Exchange{Pools: Pools{Memory: c.pool}}, &Call{account: client}, c.size); got != c.want || (a.memory != nil) != c.want {
			t.Errorf("an answer of %d bytes with a pool %t: got charged %t, want %t", c.size, c.pool != nil, got, c.want)
		}
		if a.memory != nil {
			a.memory.end()
			a.stored.lease.Close()
		}
		if n := memory.Used(); n != 0 {
			t.Fatalf("after an answer of %d bytes: got %d units in use, want none", c.size, n)
		}
	}
}

func TestAClientThatTakesAPartOfItsAnswerIsNotStalled(t *testing.T) {
	a := &Answer{large: &hold{}, memory: &hold{}} // nothing was ever taken
	for _, want := range []account.Class{account.Stalled, account.Slow} {
		if large, memory := a.large.Class(), a.memory.Class(); large != want || memory != want {
			t.Errorf("got the classes %d and %d, want %d", large, memory, want)
		}
		a.Taken()
	}
}

// TestAWriteOfALargeValueClaimsAShareOfAllBytes knows values of 2 MiB and a little more. Etcd
// answers a write with the value before and the one after.
func TestAWriteOfALargeValueClaimsAShareOfAllBytes(t *testing.T) {
	r := newClaimRig(t, nil)
	r.Bulk = bulk.NewLimits(r.Accounts.NewPool(account.Options{Name: "more bytes", Total: 1000}), r.Accounts.NewPool(account.Options{Name: "two trees", Total: 2}), nil)
	client := r.Accounts.Address(netip.MustParseAddr("192.0.2.1"))
	defer client.Close()
	for path, c := range map[string]struct{ value, want int64 }{
		"/v2/keys/a": {upstream.MaxBuffered / 2, upstream.MaxBuffered},
		"/v2/keys/b": {upstream.MaxBuffered/2 + 1, 500 * bulk.Unit},
	} {
		learned := r.Bulk.Read(client, path, false)
		learned.Began(c.value, true)
		if got := r.expected(t, client, "DELETE", path); got != c.want {
			t.Errorf("a write of a value of %d bytes is charged with %d, want %d", c.value, got, c.want)
		}
	}
}

// TestAnAnswerThatGrewWhileItsReadWaitedIsSent lets another client take what is left of the pool
// before etcd answers again, with twice as much.
func TestAnAnswerThatGrewWhileItsReadWaitedIsSent(t *testing.T) {
	t.Parallel()
	var r *rig
	var other *account.Account
	var requests atomic.Int64
	r = newClaimRig(t, func(w http.ResponseWriter, _ *http.Request) {
		n := int(requests.Add(1))
		if n == 2 && !r.Bulk.Bytes.TryAcquire(other, 100, account.Ordinary) {
			t.Error("the pool is not free")
		}
		w.Header().Set("Content-Length", strconv.Itoa(n*len(large)))
		_, _ = io.WriteString(w, strings.Repeat(large, n))
	})
	r.Bulk = bulk.NewLimits(r.Accounts.NewPool(account.Options{Name: "200 units", Total: 200}), r.Accounts.NewPool(account.Options{Name: "more trees", Total: 1000}), nil)
	client := r.Accounts.Address(netip.MustParseAddr("192.0.2.1"))
	other = r.Accounts.Address(netip.MustParseAddr("198.51.100.1"))
	if !r.Bulk.Bytes.TryAcquire(other, 200, account.Ordinary) {
		t.Fatal("the pool is not free")
	}
	call, _ := r.charged(t, client, "GET", "/v2/keys/a", "")
	done := make(chan int, 1)
	go func() {
		a, refusal, err := r.Do(t.Context(), call, room(100))
		if refusal != nil || err != nil {
			t.Errorf("a read whose answer grew: got the refusal %v and the error %v, want its answer", refusal, err)
			done <- 0
			return
		}
		defer a.Close()
		done <- len(text(t, &a))
	}()
	for limit := time.Now().Add(10 * time.Second); r.Bulk.Bytes.Status().Waiting == 0 && time.Now().Before(limit); time.Sleep(time.Millisecond) { //nolint:forbidigo // a pool signals nothing
	}
	r.Bulk.Bytes.Release(other, 200, account.Ordinary)
	if got := <-done; got != 2*len(large) || requests.Load() != 2 {
		t.Errorf("got %d bytes after %d requests, want %d after 2", got, requests.Load(), 2*len(large))
	}
	r.Bulk.Bytes.Release(other, 100, account.Ordinary)
	other.Close()
	client.Close()
	r.quiet(t)
}

func TestAWatchThatEtcdDoesNotAnswerIsRefusedOrBrokenOff(t *testing.T) {
	r := newRig(t, nil)
	op := r.call(t, "GET", "/v2/keys/a?wait=true", "").Op
	for kind, want := range map[upstream.Kind]End{
		upstream.Unreachable: {Reason: "upstream", Refusal: gate.RefuseUnreachable},
		upstream.Busy:        {Reason: "upstream", Refusal: gate.RefuseUpstreamBusy},
		upstream.Canceled:    {Reason: "upstream", Err: ErrBrokenOff},
	} {
		if got := r.unanswered(t.Context(), &upstream.Error{Kind: kind, Err: io.EOF}, op); got != want {
			t.Errorf("a watch that failed with the kind %v: got %+v, want %+v", kind, got, want)
		}
	}
}

// stuckConn is a connection whose writes wait from some time on, until it is closed.
type stuckConn struct {
	net.Conn
	stuck   bool
	writing chan struct{}
	closed  chan struct{}
}

func (c *stuckConn) Write(p []byte) (int, error) {
	if !c.stuck {
		return c.Conn.Write(p)
	}
	close(c.writing)
	<-c.closed
	return 0, net.ErrClosed
}

func (c *stuckConn) Close() error {
	close(c.closed)
	return c.Conn.Close()
}

func TestCutDoesNotWaitBehindBytesThatAClientDoesNotTake(t *testing.T) {
	raw, inner, _ := accepted(t)
	stuck := &stuckConn{Conn: inner, writing: make(chan struct{}), closed: make(chan struct{})}
	wire := NewClientConn(stuck, false, func() {})
	_, server := handshake(t, raw, wire)
	stuck.stuck = true
	wire.Cork()
	if _, err := wire.Write([]byte("answer")); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- wire.Uncork() }()
	<-stuck.writing
	go Cut(server)
	select {
	case <-stuck.closed:
	case <-time.After(30 * time.Second):
		t.Error("cutting a connection whose client takes nothing: it waits, want it closed")
		stuck.Close()
	}
	if err := <-ended; err == nil {
		t.Error("the write to a connection that was cut: got no error")
	}
}

// TestAWatchThatAStoreAnswersEndsAnOutage lets the time pass after which an outage has ended.
func TestAWatchThatAStoreAnswersEndsAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := &Exchange{Outage: NewOutage(slog.New(slog.DiscardHandler))}
		x.Outage.Failed()
		event := func() *v2v3.Event { return &v2v3.Event{Event: &v2store.Event{Index: 9}} }
		o := &Origin{Store: &answers{event: event}, Feed: share.NewFeed(observe.NewMetrics("test").Watches, 1<<20)}
		w, _, end := x.startStore(context.Background(), o, &v2store.Operation{}, &Watch{}, untold{})
		if w == nil {
			t.Fatalf("a watch of a store: got the end %+v, want the event", end)
		}
		w.Close()
		synctest.Wait()
		time.Sleep(time.Hour) //nolint:forbidigo // of the bubble's clock
		if since, _ := x.Outage.Since(); !since.IsZero() {
			t.Errorf("an hour after a watch was answered: got an outage since %v, want none", since)
		}
	})
}
