package lane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/bulk"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/share"
	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3"
)

// answers is a store that gives each operation the same answer. Tests of fronts have a real one.
type answers struct {
	Store
	answer v2store.Answer
	err    error
	size   int // that it expects of an answer
	asked  func(*v2store.Operation)
	waits  func(context.Context) error // for the turn of a write
	client *v2v3.Client                // of the last operation
	event  func() *v2v3.Event          // that watches receive at once
}

func (a *answers) DoFor(ctx context.Context, op *v2store.Operation, client *v2v3.Client) (v2store.Answer, error) {
	a.client = client
	if a.waits != nil {
		if err := client.Wait(ctx, a.waits); err != nil {
			return v2store.Answer{}, &v2v3.Error{Kind: v2v3.Busy, Reason: err.Error()}
		}
	}
	if a.asked != nil {
		a.asked(op)
	}
	return a.answer, a.err
}

func (a *answers) Size(*v2store.Operation) int { return a.size }

func (a *answers) Watch(_ *v2store.Operation, deliver func(*v2v3.Event), _ func(error)) (func(), v2store.Answer, error) {
	if a.event != nil {
		deliver(a.event())
		return func() {}, v2store.WatchHead(9), nil
	}
	return nil, a.answer, a.err
}

func (a *answers) Cluster() v2store.Cluster { return v2store.Cluster{ID: 7} }

// newStoreRig returns a rig before a store. Nothing may be sent to etcd.
func newStoreRig(t *testing.T, store *answers) *rig {
	t.Helper()
	r := newRig(t, func(_ http.ResponseWriter, q *http.Request) { t.Errorf("etcd received %s %s", q.Method, q.URL) })
	r.snapshot.Origin = &Origin{Store: store, Feed: share.NewFeed(r.metrics.Watches, 64<<20)}
	r.Memory = r.Accounts.NewPool(account.Options{Name: "answers", Unit: account.LeaseUnit, Total: 4096})
	r.Bulk = bulk.NewLimits(
		r.Accounts.NewPool(account.Options{Name: "large_answers", Unit: bulk.Unit, Total: 128}),
		r.Accounts.NewPool(account.Options{Name: "trees", Total: 16}),
		r.Accounts.NewPool(account.Options{Name: "events", Total: 16}))
	r.Slots = r.Accounts.NewPool(account.Options{Name: "requests", Total: 8, Reserve: 1})
	return r
}

// clientCall is a call of a client with an account.
func (r *rig) clientCall(t *testing.T, method, target string) *Call {
	t.Helper()
	call := r.call(t, method, target, "root")
	call.Peer.Account = r.Accounts.Address(call.Peer.Addr.Addr())
	t.Cleanup(call.Peer.Account.Close)
	call.Client = &client{}
	return call
}

// client is a client that records whether its answer was broken off.
type client struct{ broken bool }

func (c *client) BreakOff() { c.broken = true }

func (c *client) Queued(context.CancelFunc) {}

func found(size int) v2store.Answer {
	return v2store.Answer{Status: 200, Index: 9, Body: bytes.Repeat([]byte("x"), size)}
}

func TestTheAnswerOfAStoreIsChargedToItsClientUntilItIsClosed(t *testing.T) {
	for what, c := range map[string]struct {
		size          int
		memory, large int64
	}{
		"a small answer":              {64 << 10, 0, 0},
		"an answer of more than that": {64<<10 + 1, 80, 0}, // a lease grows in steps
		"an answer":                   {1 << 20, 1 << 10, 0},
		"an answer beyond the memory": {6 << 20, 0, 96},
	} {
		r := newStoreRig(t, &answers{answer: found(c.size)})
		a, refusal, err := r.Do(context.Background(), r.clientCall(t, "GET", "/v2/keys/a"), room(100))
		if refusal != nil || err != nil || !a.Whole || len(a.Body) != c.size {
			t.Fatalf("%s: got refusal %+v, error %v, %d bytes, whole %t; want the whole answer", what, refusal, err, len(a.Body), a.Whole)
		}
		if memory, large := r.Memory.Used(), r.Bulk.Bytes.Used(); memory != c.memory || large != c.large {
			t.Errorf("%s: holds %d units of memory and %d units of large answers, want %d and %d", what, memory, large, c.memory, c.large)
		}
		a.Finish()
		a.Close()
		if memory, large := r.Memory.Used(), r.Bulk.Bytes.Used(); memory != 0 || large != 0 {
			t.Errorf("%s: after it was closed, %d units of memory and %d units of large answers are held", what, memory, large)
		}
	}
}

// TestALargeReadOfAStoreWaitsForItsTurn lets a client read a large answer while another one takes
// such an answer. The second read is made only in its turn. The third, of a tree that has grown since
// the store told its size, is made before its turn, and again in it.
func TestALargeReadOfAStoreWaitsForItsTurn(t *testing.T) {
	asked := make(chan struct{}, 10)
	store := &answers{answer: found(6 << 20), asked: func(*v2store.Operation) { asked <- struct{}{} }}
	r := newStoreRig(t, store)
	read := func(key string) Answer {
		a, refusal, err := r.Do(context.Background(), r.clientCall(t, "GET", "/v2/keys/"+key), room(100))
		if refusal != nil || err != nil || len(a.Body) != 6<<20 {
			t.Errorf("reading %s: got refusal %+v, error %v and %d bytes; want all %d", key, refusal, err, len(a.Body), 6<<20)
		}
		return a
	}
	made := 0
	for _, c := range []struct {
		key         string
		size        int
		before, all int
	}{{"a", 6 << 20, 1, 1}, {"b", 6 << 20, 0, 1}, {"b", 100, 1, 2}} {
		first := Answer{}
		store.size = 6 << 20
		if made > 0 {
			first = read("other")
			<-asked
		}
		made++
		store.size = c.size
		done := make(chan struct{})
		go func() {
			defer close(done)
			a := read(c.key)
			a.Close()
		}()
		for range c.before {
			<-asked
		}
		if made > 1 {
			for limit := time.Now().Add(10 * time.Second); r.Bulk.Bytes.Status().Waiting == 0; {
				if time.Now().After(limit) {
					t.Fatalf("after 10 s the read %d does not wait for its turn", made)
				}
				time.Sleep(time.Millisecond) //nolint:forbidigo // a waiter of a pool signals nothing
			}
		}
		first.Close()
		<-done
		if n := c.before + len(asked); n != c.all {
			t.Errorf("the read %d was made %d times, want %d", made, n, c.all)
		}
		for range len(asked) {
			<-asked
		}
		if large := r.Bulk.Bytes.Used(); large != 0 {
			t.Errorf("%d units of large answers are held, want 0", large)
		}
	}
}

// TestALargeAnswerOfAStoreIsRenderedWhileItsClientTakesIt reads an answer that is never whole in
// memory, and is charged to its client until it is closed.
func TestALargeAnswerOfAStoreIsRenderedWhileItsClientTakesIt(t *testing.T) {
	tree := v2store.New(8)
	if err := tree.Load(v2store.Record{Key: "/a", Value: strings.Repeat("\x01", 1<<20), Recorded: 8}); err != nil {
		t.Fatal(err)
	}
	o := &v2store.Operation{Action: v2store.Get, Key: "/a"}
	want := tree.Answer(o, time.Now()).Large.Body()
	for _, method := range []string{"GET", "HEAD"} {
		r := newStoreRig(t, &answers{answer: tree.Answer(o, time.Now()), size: tree.Size(o)})
		a, refusal, err := r.Do(context.Background(), r.clientCall(t, method, "/v2/keys/a"), room(100))
		if refusal != nil || err != nil || a.Length != -1 || a.Whole != (method == "HEAD") || len(a.Body) > 100 {
			t.Fatalf("%s: got refusal %+v, error %v, length %d, whole %t and %d bytes at once; want a part", method, refusal, err, a.Length, a.Whole, len(a.Body))
		}
		got, err := io.ReadAll(&a)
		if method == "HEAD" && len(got) > 0 || method == "GET" && !bytes.Equal(got, want) || err != nil {
			t.Errorf("%s: got %d bytes and error %v, want the %d bytes of the value", method, len(got), err, len(want))
		}
		if held := r.Bulk.Bytes.Used(); (held >= int64(len(want)/bulk.Unit)) != (method == "GET") {
			t.Errorf("%s: %d units are held, want those of the %d bytes that a client takes", method, held, len(want))
		}
		a.Close()
		if held := r.Bulk.Bytes.Used(); held != 0 {
			t.Errorf("%s: %d units are held after the end, want none", method, held)
		}
	}
}

func TestOnlyWritesToAStoreHaveASlot(t *testing.T) {
	for request, want := range map[string]int64{"GET": 0, "HEAD": 0, "PUT": 1, "DELETE": 1, "POST": 1} {
		store := &answers{answer: found(10)}
		r := newStoreRig(t, store)
		held := int64(-1)
		store.asked = func(*v2store.Operation) { held = r.Slots.Used() }
		a, refusal, err := r.Do(context.Background(), r.clientCall(t, request, "/v2/keys/a"), room(100))
		if refusal != nil || err != nil {
			t.Fatalf("%s: got refusal %+v and error %v", request, refusal, err)
		}
		if held != want || r.Slots.Used() != 0 {
			t.Errorf("%s: held %d slots at the store and %d with the answer, want %d and 0", request, held, r.Slots.Used(), want)
		}
		if request == "HEAD" && (a.Body != nil || a.Length != 10) {
			t.Errorf("HEAD: got body %q and length %d, want none and 10", a.Body, a.Length)
		}
		a.Close()
	}
}

func TestTheBodyOfAReadOrADeletionIsNotPartOfItsForm(t *testing.T) {
	for method, want := range map[string]string{"PUT": "1", "DELETE": "", "GET": ""} {
		store := &answers{answer: found(10)}
		r := newStoreRig(t, store)
		store.asked = func(op *v2store.Operation) {
			if op.Value != want {
				t.Errorf("%s: the operation has the value %q, want %q", method, op.Value, want)
			}
		}
		call := r.clientCall(t, method, "/v2/keys/a")
		call.Body, call.ContentType = []byte("value=1"), "application/x-www-form-urlencoded"
		a, refusal, err := r.Do(context.Background(), call, room(100))
		if refusal != nil || err != nil {
			t.Fatalf("%s: got refusal %+v and error %v", method, refusal, err)
		}
		a.Close()
	}
}

func TestFailuresOfAStoreAreRefusedAndCounted(t *testing.T) {
	for what, c := range map[string]struct {
		method  string
		failure *v2v3.Error
		body    string
		sent    bool
		counted string
	}{
		"a read that is not served":  {"GET", &v2v3.Error{Kind: v2v3.NotServed}, gate.RefuseStore.Body, false, "unreachable"},
		"a write that is not served": {"PUT", &v2v3.Error{Kind: v2v3.NotServed}, gate.RefuseStore.Body, false, "unreachable"},
		"a write that was not made":  {"PUT", &v2v3.Error{Kind: v2v3.NotExecuted}, gate.RefuseStore.Body, false, "unreachable"},
		"a write without an outcome": {"PUT", &v2v3.Error{Kind: v2v3.UnknownOutcome}, gate.RefuseUnknownOutcome.Body, true, "lost"},
		"a write without an answer": {"PUT", &v2v3.Error{Kind: v2v3.Executed, Index: 1234},
			`{"errorCode":300,"message":"The answer is lost","cause":"The write was carried out at the index of this error; do not repeat it","index":1234}`, true, "broken"},
	} {
		r := newStoreRig(t, &answers{err: c.failure})
		_, refusal, err := r.Do(context.Background(), r.clientCall(t, c.method, "/v2/keys/a"), room(100))
		if err != nil || refusal == nil || refusal.Status != 503 || refusal.Body != c.body || refusal.Sent() != c.sent {
			t.Errorf("%s: got refusal %+v and error %v; want status 503, sent %t and %s", what, refusal, err, c.sent, c.body)
		}
		if n := r.Slots.Used(); n != 0 {
			t.Errorf("%s: %d slots are held, want 0", what, n)
		}
		counted := ""
		families, err := r.metrics.Registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.Metric {
				if f.GetName() == "etcd_tlsproxy_upstream_failures_total" && m.GetCounter().GetValue() > 0 {
					counted += fmt.Sprintf("%s %v", m.Label[0].GetValue(), m.GetCounter().GetValue())
				}
			}
		}
		if counted != c.counted+" 1" {
			t.Errorf("%s: the failures are %q, want one of the kind %s", what, counted, c.counted)
		}
	}
}

func TestAClientThatLeavesAStoreIsBrokenOff(t *testing.T) {
	r := newStoreRig(t, &answers{err: &v2v3.Error{Kind: v2v3.NotServed}})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, refusal, err := r.Do(ctx, r.clientCall(t, "GET", "/v2/keys/a"), room(100)); refusal != nil || !errors.Is(err, ErrBrokenOff) {
		t.Errorf("got refusal %+v and error %v, want %v", refusal, err, ErrBrokenOff)
	}
}

func TestAWatchThatAStoreRefusesIsCompleteOrRefused(t *testing.T) {
	cleared := v2store.Answer{Status: 400, Index: 9, Body: []byte("cleared"), Failed: true}
	r := newStoreRig(t, &answers{answer: cleared})
	op := r.call(t, "GET", "/v2/keys/a?wait=true&waitIndex=1", "").Op
	client := r.Accounts.Address(netip.MustParseAddr("192.0.2.1"))
	defer client.Close()
	w, head, end := r.Join(context.Background(), r.snapshot, &Watch{Op: op, account: client}, nil)
	if w != nil || head == nil || head.Status != 400 || string(head.Body) != "cleared" || end.Reason != "refused" || end.Refusal != nil {
		t.Errorf("an index of the past: got %v, %+v and %+v; want etcd's complete answer", w, head, end)
	}
	if waiting := r.metrics.Watches.Waiting.Load(); waiting != 0 {
		t.Errorf("an index of the past: %d watchers wait, want 0", waiting)
	}
	r = newStoreRig(t, &answers{err: &v2v3.Error{Kind: v2v3.NotServed}})
	other := r.Accounts.Address(netip.MustParseAddr("192.0.2.1"))
	defer other.Close()
	w, head, end = r.Join(context.Background(), r.snapshot, &Watch{Op: op, account: other}, nil)
	if w != nil || head != nil || end.Refusal != gate.RefuseStore || end.Reason != "upstream" {
		t.Errorf("a store that is not served: got %v, %+v and %+v; want a refusal", w, head, end)
	}
	if waiting := r.metrics.Watches.Waiting.Load(); waiting != 0 {
		t.Errorf("a store that is not served: %d watchers wait, want 0", waiting)
	}
}

// TestALargeOldEventOfAStoreWaitsForItsTurn asks for one event from many indexes. While it is
// rendered, it needs memory several times.
func TestALargeOldEventOfAStoreWaitsForItsTurn(t *testing.T) {
	const watches = 40
	var underWay, most atomic.Int64
	text := make([]byte, 2<<20)
	r := newStoreRig(t, &answers{event: func() *v2v3.Event {
		n := underWay.Add(1)
		defer underWay.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		time.Sleep(time.Millisecond) //nolint:forbidigo // the time that rendering takes
		return &v2v3.Event{Event: &v2store.Event{Index: 9}, Body: text, Chunked: text}
	}})
	client := r.Accounts.Address(netip.MustParseAddr("192.0.2.1"))
	defer client.Close()
	var all sync.WaitGroup
	for range watches {
		all.Go(func() {
			op := r.call(t, "GET", "/v2/keys/a?wait=true&waitIndex=1", "").Op
			w, _, end := r.Join(context.Background(), r.snapshot, &Watch{Op: op, account: client}, untold{})
			if w == nil {
				t.Errorf("got the end %+v, want the event", end)
				return
			}
			w.Close()
		})
	}
	all.Wait()
	// As many as fit among the large answers, and one that began when its size was unknown.
	if n := most.Load(); n > 5 {
		t.Errorf("got %d of %d events of 2 MiB rendered at the same time, want at most 5", n, watches)
	}
	if bytes, trees := r.Bulk.Bytes.Used(), r.Bulk.Trees.Used(); bytes != 0 || trees != 0 {
		t.Errorf("in the end: got %d units of large answers and %d of trees in use, want none", bytes, trees)
	}
}

// untold is a watch that needs no notification.
type untold struct{}

func (untold) Notify()      {}
func (untold) AfterNotify() {}
func (untold) BreakOff()    {}

func TestAWatchWaitsUnlessTheStoreAnswersAtOnce(t *testing.T) {
	r := newStoreRig(t, &answers{})
	etcd := *r.snapshot
	etcd.Origin = nil
	for query, want := range map[string]bool{
		"wait=true": true, "wait=true&stream=true": true, "wait=true&quorum=true": false, "wait=true&sorted=x": false, "quorum=true": false,
	} {
		op := r.call(t, "GET", "/v2/keys/a?"+query, "").Op
		if got := r.snapshot.Waits(op); got != want {
			t.Errorf("%s at a store: got %t, want %t", query, got, want)
		}
		if got := etcd.Waits(op); got != op.Watch {
			t.Errorf("%s at etcd: got %t, want %t", query, got, op.Watch)
		}
	}
}
