package lane

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/bulk"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/upstream"
)

// charged makes an account pay for a call, and counts when its answer is broken off.
func (r *rig) charged(t *testing.T, a *account.Account, method, target, user string) (*Call, *atomicBreaks) {
	t.Helper()
	call := r.call(t, method, target, user)
	client := &atomicBreaks{}
	call.Peer.Account, call.Client = a, client
	return call, client
}

type atomicBreaks struct{ n atomic.Int64 }

func (b *atomicBreaks) BreakOff() { b.n.Add(1) }

func (b *atomicBreaks) Queued(context.CancelFunc) {}

// mustDo carries a call that must be answered.
func (r *rig) mustDo(t *testing.T, call *Call) Answer {
	t.Helper()
	a, refusal, err := r.Do(t.Context(), call, room(100))
	if refusal != nil || err != nil {
		t.Fatalf("%s %s: got the refusal %v and the error %v, want an answer", call.Op.Method, call.Op.Target, refusal, err)
	}
	return a
}

func TestTheMemoryOfAnAnswerIsItsClientsUntilItIsTaken(t *testing.T) {
	body := strings.Repeat("x", 300<<10)
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
	r.snapshot.Reads = nil
	r.Memory = r.Accounts.NewPool(account.Options{Name: "memory", Unit: account.LeaseUnit, Total: 1000})
	client := r.Accounts.Address(netip.MustParseAddr("192.0.2.1"))
	call, breaks := r.charged(t, client, "GET", "/v2/keys/a", "")
	a := r.mustDo(t, call)
	if !a.Whole || a.memory == nil || a.memory.units != 512 || client.Held(r.Memory) != 512 {
		t.Fatalf("an answer of 300 KiB: got whole %t and %d units of its client, want 512 that can be taken back, as much as was allocated", a.Whole, client.Held(r.Memory))
	}
	if a.Taken(); a.memory.Class() != account.Slow {
		t.Errorf("an answer of which a part was taken: got the class %d, want %d", a.memory.Class(), account.Slow)
	}
	h := a.memory
	if got := h.Revoke(account.Slow); got != 512 || breaks.n.Load() != 1 {
		t.Errorf("taking it back: got %d units and %d times broken off, want 512 and 1", got, breaks.n.Load())
	}
	a.Close()
	if client.Held(r.Memory) != 0 || h.Class() != account.Busy {
		t.Errorf("after it was closed: got %d units and the class %d, want none and %d", client.Held(r.Memory), h.Class(), account.Busy)
	}
	small := r.mustDo(t, func() *Call { c, _ := r.charged(t, client, "HEAD", "/v2/keys/a", ""); return c }())
	if small.memory != nil {
		t.Error("an answer without a body: got memory that can be taken back, want none")
	}
	small.Close()
	client.Close()
	r.quiet(t)
}

// large is the body of an answer that is streamed.
var large = strings.Repeat("0123456789", upstream.MaxBuffered/10+1)

// newBulkRig returns a rig whose large answers are bounded.
func newBulkRig(t *testing.T, units int64) (*rig, *atomic.Int64) {
	t.Helper()
	var requests atomic.Int64
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		_, _ = io.WriteString(w, large)
	})
	r.snapshot.Reads = nil
	r.Slots = r.Accounts.NewPool(account.Options{Name: "requests", Total: 2})
	r.Bulk = bulk.NewLimits(r.Accounts.NewPool(account.Options{Name: "bytes", Total: units, Queue: 10}), r.Accounts.NewPool(account.Options{Name: "trees", Total: 2}), nil)
	return r, &requests
}

func TestALargeAnswerHoldsItsShareButNoSlotWhileItIsTaken(t *testing.T) {
	t.Parallel()
	r, _ := newBulkRig(t, 1000)
	client := r.Accounts.Address(netip.MustParseAddr("192.0.2.1"))
	call, breaks := r.charged(t, client, "GET", "/v2/keys/a", "")
	a := r.mustDo(t, call)
	if a.Whole || a.large == nil || r.Slots.Used() != 0 || client.Held(r.Bulk.Bytes) == 0 || a.large.units != client.Held(r.Bulk.Bytes) {
		t.Fatalf("a large answer: got whole %t, %d slots and %d units in use, want it streamed without a slot", a.Whole, r.Slots.Used(), client.Held(r.Bulk.Bytes))
	}
	if a.Finish(); a.resp == nil {
		t.Error("an answer that is streamed: Finish closed its connection, want it open")
	}
	if got := text(t, &a); got != large {
		t.Errorf("the answer: got %d bytes, want %d", len(got), len(large))
	}
	h := a.large
	a.Close()
	if h.Revoke(account.Slow) != 0 || breaks.n.Load() != 0 || client.Held(r.Bulk.Bytes) != 0 {
		t.Errorf("after it was closed: got %d times broken off and %d units in use, want none", breaks.n.Load(), client.Held(r.Bulk.Bytes))
	}
	a.Close() // a second time changes nothing
	client.Close()
	r.quiet(t)
}

func TestAReadWaitsForItsTurnToBeSentALargeAnswer(t *testing.T) {
	t.Parallel()
	r, requests := newBulkRig(t, 100)
	other, client := r.Accounts.Address(netip.MustParseAddr("198.51.100.1")), r.Accounts.Address(netip.MustParseAddr("192.0.2.1"))
	if !r.Bulk.Bytes.TryAcquire(other, 100, account.Ordinary) {
		t.Fatal("the pool is not free")
	}
	call, _ := r.charged(t, client, "GET", "/v2/keys/a", "")
	done := make(chan Answer)
	go func() {
		a, refusal, err := r.Do(t.Context(), call, room(100))
		if refusal != nil || err != nil {
			t.Errorf("a read that waited: got the refusal %v and the error %v, want its answer", refusal, err)
		}
		done <- a
	}()
	for limit := time.Now().Add(10 * time.Second); r.Bulk.Bytes.Status().Waiting == 0 && time.Now().Before(limit); time.Sleep(time.Millisecond) { //nolint:forbidigo // a pool signals nothing
	}
	if r.Slots.Used() != 0 || requests.Load() != 1 {
		t.Errorf("while the read waits: got %d slots in use after %d requests, want none after 1", r.Slots.Used(), requests.Load())
	}
	r.Bulk.Bytes.Release(other, 100, account.Ordinary)
	a := <-done
	if got := text(t, &a); got != large || requests.Load() != 2 {
		t.Errorf("the read after its wait: got %d bytes after %d requests, want %d after 2", len(got), requests.Load(), len(large))
	}
	a.Close()
	other.Close()
	client.Close()
	r.quiet(t)
}

func TestACallThatGetsNoTurnIsRefusedOrBrokenOff(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x") })
	r.Slots = r.Accounts.NewPool(account.Options{Name: "requests", Total: 1, Queue: 1})
	holder, client := r.Accounts.Address(netip.MustParseAddr("198.51.100.1")), r.Accounts.Address(netip.MustParseAddr("192.0.2.1"))
	r.Slots.TryAcquire(holder, 1, account.Ordinary)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	call, _ := r.charged(t, client, "PUT", "/v2/keys/eventlogging/a", "")
	if _, refusal, err := r.Do(gone, call, room(100)); refusal != nil || !errors.Is(err, ErrBrokenOff) {
		t.Errorf("a call whose client has left while it waits: got the refusal %v and the error %v, want %v", refusal, err, ErrBrokenOff)
	}
	// Two wait for one place in the queue, and the one that waits longest keeps it.
	waiting, done := make(chan error, 1), make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		waiting <- r.Slots.Acquire(ctx, client, 1, account.Ordinary)
		close(done)
	}()
	for limit := time.Now().Add(10 * time.Second); r.Slots.Status().Waiting == 0 && time.Now().Before(limit); time.Sleep(time.Millisecond) { //nolint:forbidigo // a pool signals nothing
	}
	call, _ = r.charged(t, client, "GET", "/v2/keys/a", "")
	if _, refusal, err := r.Do(t.Context(), call, room(100)); refusal != gate.RefuseUpstreamBusy || err != nil {
		t.Errorf("a call beyond the queue: got the refusal %v and the error %v, want %v", refusal, err, gate.RefuseUpstreamBusy)
	}
	stop()
	<-done
	r.Slots.Release(holder, 1, account.Ordinary)
	if r.Slots.Used() != 0 {
		t.Errorf("in the end: got %d slots in use, want none", r.Slots.Used())
	}
	holder.Close()
	client.Close()
	r.quiet(t)
}

func TestAWatchThatIsRefusedGivesItsPlaceBack(t *testing.T) {
	r := newRig(t, nil)
	r.Watches.Pool = r.Accounts.NewPool(account.Options{Name: "watches", Total: 10})
	start := func() *gate.Refusal {
		call := r.call(t, "GET", "/v2/keys/a?wait=true", "")
		w := &Watch{Op: call.Op, Peer: call.Peer, End: func(error) {}}
		refusal := r.StartWatch(r.snapshot, w)
		if refusal == nil {
			t.Cleanup(func() { r.Watches.Release(w, "event") })
		}
		return refusal
	}
	for i, want := range []*gate.Refusal{nil, nil, gate.RefuseUserWatches, gate.RefuseUserWatches} {
		if got := start(); got != want {
			t.Errorf("watch %d of an address that may have two: got the refusal %v, want %v", i+1, got, want)
		}
	}
	if used := r.Watches.Pool.Used(); used != 2 || r.Accounts.Len() != 1 {
		t.Errorf("with two running watches: got %d places and %d accounts in use, want 2 and 1", used, r.Accounts.Len())
	}
	w, _ := watchOf("", "192.0.2.1:1")
	r.Watches.Pool.Resize(1, 0)
	expiring := time.AfterFunc(time.Hour, func() {})
	w.expiry, w.account = expiring, r.Accounts.Address(w.Peer.Addr.Addr())
	r.Watches.running[w] = struct{}{}
	r.Watches.users[w.user()]++
	r.Watches.Pool.Resize(10, 0)
	r.Watches.Pool.TryAcquire(w.account, 1, account.Ordinary)
	if r.Watches.Release(w, "event"); expiring.Stop() {
		t.Error("the timer of a watch that has ended: it still runs, want it stopped")
	}
}

func TestAnAnswerIsReadFromTheBufferAndThenFromEtcd(t *testing.T) {
	a := Answer{Body: []byte("abc"), Whole: true}
	p := make([]byte, 2)
	if n, err := a.ReadFull(p); n != 2 || err != nil || string(p) != "ab" {
		t.Errorf("the first two bytes: got %d, %v and %q; want 2, none and ab", n, err, p)
	}
	if n, err := a.ReadFull(make([]byte, 5)); n != 1 || !errors.Is(err, io.EOF) {
		t.Errorf("the rest: got %d, %v; want 1, %v", n, err, io.EOF)
	}
	if n, err := a.ReadFull(nil); n != 0 || err != nil {
		t.Errorf("nothing: got %d, %v; want 0, none", n, err)
	}
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, large) })
	streamed := r.mustDo(t, r.call(t, "GET", "/v2/keys/a", ""))
	var got bytes.Buffer
	for {
		n, err := streamed.ReadFull(p)
		got.Write(p[:n])
		if err != nil {
			break
		}
		if len(p) == 2 {
			p = make([]byte, 1<<20)
		}
	}
	if got.String() != large {
		t.Errorf("a streamed answer in pieces: got %d bytes, want %d", got.Len(), len(large))
	}
	streamed.Close()
	r.quiet(t)
}

// The memory of an answer that many share is freed with the last of them.
func TestASharedAnswerIsReleasedByEachOfItsClients(t *testing.T) {
	body := strings.Repeat("x", 1<<20)
	entered, release := make(chan struct{}, 10), make(chan struct{})
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		entered <- struct{}{}
		<-release
		_, _ = io.WriteString(w, body)
	})
	results := make(chan Answer, 3)
	do := func() {
		a, refusal, err := r.Do(t.Context(), r.call(t, "GET", "/v2/keys/a", ""), room(100))
		if refusal != nil || err != nil {
			t.Errorf("a read: got the refusal %v and the error %v, want an answer", refusal, err)
		}
		results <- a
	}
	go do()
	<-entered
	go do()
	go do()
	for limit := time.Now().Add(10 * time.Second); r.snapshot.Reads.Waiting() < 2 && time.Now().Before(limit); time.Sleep(time.Millisecond) { //nolint:forbidigo // a reader that joins signals nothing
	}
	close(release)
	shared := 0
	for range 3 {
		a := <-results
		if a.Shared {
			shared++
		}
		if text(t, &a) != body {
			t.Error("a read: got another body")
		}
		a.Close()
		a.Close()
	}
	if shared != 2 {
		t.Errorf("of three reads: got %d shared answers, want 2", shared)
	}
	r.quiet(t)
}
