package lane

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/observe"
	"etcd-tlsproxy/proxy/proxytest/seed"
	"etcd-tlsproxy/proxy/share"
	"etcd-tlsproxy/proxy/upstream"
)

// rig is an exchange before a server that takes etcd's place. No client has a socket.
type rig struct {
	*Exchange
	snapshot *Snapshot
	metrics  *observe.Metrics
}

func newRig(t *testing.T, handle http.HandlerFunc) *rig {
	t.Helper()
	server := httptest.NewServer(handle)
	t.Cleanup(server.Close)
	at, err := upstream.ParseEndpoint(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	metrics := observe.NewMetrics("test")
	pool, err := upstream.New(upstream.Options{Endpoints: []upstream.Endpoint{at}, Counters: metrics.Upstream})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	watches := share.NewWatches(share.WatchOptions{Pool: pool, Counters: metrics.Watches})
	t.Cleanup(watches.Close)
	r := &rig{metrics: metrics, snapshot: &Snapshot{Policy: *seed.Policy(t), Upstream: pool, Reads: share.NewReads(pool, &metrics.SharedReads), Watches: watches}}
	r.Exchange = &Exchange{
		Gate: &gate.Gate{
			Throttle: acl.NewThrottle(acl.ThrottleOptions{}),
			Admits:   func(*gate.Peer, acl.Access) bool { return true },
			Login:    metrics.CountLogin,
		},
		Observer: observe.New(metrics, observe.NewRecords(observe.RecordOptions{})),
		Current:  &Current{},
		Accounts: account.NewTable(),
		Watches:  NewWatches(10, 2, metrics),
		Log:      slog.New(slog.DiscardHandler),
		Outage:   NewOutage(slog.New(slog.DiscardHandler)),
		Held:     NewHeld(slog.New(slog.DiscardHandler)),
	}
	r.Current.Publish(r.snapshot)
	return r
}

// call passes a request of a user through the gate, which must allow it.
func (r *rig) call(t *testing.T, method, target, user string) *Call {
	t.Helper()
	rec := &observe.Record{}
	peer := seed.Peer()
	req := &gate.Request{Method: method, Target: target, Authorization: seed.Basic(user), Peer: peer}
	if refusal := r.Decide(context.Background(), r.snapshot, req, rec); refusal != nil {
		t.Fatalf("%s %s by %q was refused with %d %s", method, target, user, refusal.Status, refusal.Body)
	}
	return &Call{Snapshot: r.snapshot, Peer: peer, Op: &rec.Op}
}

// text reads the whole body of an answer.
func text(t *testing.T, a *Answer) string {
	t.Helper()
	if a.Whole {
		return string(a.Body)
	}
	var b bytes.Buffer
	if _, err := io.Copy(&b, a); err != nil {
		t.Fatalf("reading the answer: %v", err)
	}
	return b.String()
}

// quiet waits until nothing of any call is held: no slot, no byte.
func (r *rig) quiet(t *testing.T) {
	t.Helper()
	count := r.metrics.Upstream
	limit := time.Now().Add(30 * time.Second)
	for count.Active.Load() != 0 || count.Watching.Load() != 0 || count.Buffered.Held() != 0 || count.Shared.Held() != 0 {
		if time.Now().After(limit) {
			t.Fatalf("still held: %d slots, %d watches, %d bytes, %d shared bytes",
				count.Active.Load(), count.Watching.Load(), count.Buffered.Held(), count.Shared.Held())
		}
		time.Sleep(time.Millisecond) //nolint:forbidigo // the server side of a closed connection signals nothing
	}
}

// room returns a buffer for an answer.
func room(n int) func() []byte { return func() []byte { return make([]byte, n) } }

func TestAnAnswerThatFitsTheBufferLiesInIt(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "small") })
	buf := make([]byte, 100)
	a, refusal, err := r.Do(context.Background(), r.call(t, "GET", "/v2/keys/a", ""), func() []byte { return buf })
	if refusal != nil || err != nil {
		t.Fatalf("got refusal %v and error %v", refusal, err)
	}
	defer a.Close()
	if !a.Whole || a.Length != 5 || string(a.Body) != "small" || &a.Body[0] != &buf[0] {
		t.Errorf("got whole %t, length %d, body %q in the buffer %t; want the whole body in the buffer", a.Whole, a.Length, a.Body, &a.Body[0] == &buf[0])
	}
}

func TestAnAnswerLargerThanTheBufferIsReceivedWholeAndItsConnectionGivenBack(t *testing.T) {
	body := strings.Repeat("0123456789", 30_000)
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
	a, refusal, err := r.Do(context.Background(), r.call(t, "GET", "/v2/keys/a", ""), room(100))
	if refusal != nil || err != nil {
		t.Fatalf("got refusal %v and error %v", refusal, err)
	}
	if !a.Whole || a.Length != int64(len(body)) || string(a.Body) != body {
		t.Errorf("got whole %t and %d bytes, length %d; want all %d bytes", a.Whole, len(a.Body), a.Length, len(body))
	}
	if a.Finish(); r.metrics.Upstream.Active.Load() != 0 {
		t.Error("after Finish the connection to etcd is still in use")
	}
	if string(a.Body) != body {
		t.Error("after Finish the body is not there any more")
	}
	a.Close()
	r.quiet(t)
}

func TestAnAnswerTooLargeToHoldIsReadFromItsStart(t *testing.T) {
	body := strings.Repeat("0123456789", upstream.MaxBuffered/10+1000)
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
	a, refusal, err := r.Do(context.Background(), r.call(t, "GET", "/v2/keys/a", ""), room(100))
	if refusal != nil || err != nil || a.Whole {
		t.Fatalf("got refusal %v, error %v, whole %t; want an answer that is not whole", refusal, err, a.Whole)
	}
	if got := text(t, &a); got != body {
		t.Errorf("read %d bytes, want %d", len(got), len(body))
	}
	a.Close()
	r.quiet(t)
}

func TestAReadThatWaitsForAnotherIsAnsweredByTheNextRequest(t *testing.T) {
	started, release := make(chan struct{}), make(chan struct{})
	var requests atomic.Int32
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		if requests.Add(1) == 1 {
			close(started)
			<-release
		}
		_, _ = io.WriteString(w, "value")
	})
	var readers sync.WaitGroup
	read := func() {
		a, refusal, err := r.Do(context.Background(), r.call(t, "GET", "/v2/keys/a", ""), room(100))
		if refusal != nil || err != nil || !a.Whole || string(a.Body) != "value" {
			t.Errorf("got refusal %v, error %v and body %q, want value", refusal, err, a.Body)
		}
		a.Close()
	}
	readers.Go(read)
	<-started
	for range 10 {
		readers.Go(read)
	}
	close(release)
	readers.Wait()
	if n := requests.Load(); n > 11 || n < 2 {
		t.Errorf("etcd got %d requests for 11 reads", n)
	}
	r.quiet(t)
}

// TestEqualReadsWaitForOneRequest lets reads of different spelling wait while one is under
// way. Each of them must be answered by the next request.
func TestEqualReadsWaitForOneRequest(t *testing.T) {
	for what, c := range map[string]struct {
		first string
		then  [][2]string // methods and targets
		sent  string
	}{
		"HEADs, and parameters that etcd does not know": {
			"/v2/keys/a?sorted=true&recursive=true",
			[][2]string{{"HEAD", "/v2/keys/a?recursive=1&sorted=1"}, {"GET", "/v2/keys/a?sorted=t&x=1&recursive=t"}, {"HEAD", "/v2/keys//a/?x=2&sorted=true&recursive=true"}},
			"GET /v2/keys/a?recursive=true&sorted=true",
		},
		"checks of etcd's health": {"/health", [][2]string{{"GET", "/health"}, {"GET", "/health?x=1"}, {"GET", "/health?x=2"}}, "GET /health"},
	} {
		t.Run(what, func(t *testing.T) {
			received, release := make(chan string, 10), make(chan struct{})
			r := newRig(t, func(w http.ResponseWriter, q *http.Request) {
				received <- q.Method + " " + q.URL.RequestURI()
				<-release
				_, _ = io.WriteString(w, "value")
			})
			var readers sync.WaitGroup
			read := func(method, target string) {
				readers.Go(func() {
					a, refusal, err := r.Do(context.Background(), r.call(t, method, target, ""), room(100))
					if want := map[string]string{"GET": "value"}[method]; refusal != nil || err != nil || !a.Whole || string(a.Body) != want || a.Length != 5 {
						t.Errorf("%s %s: got refusal %v, error %v, %q of %d bytes; want %q and a length of 5", method, target, refusal, err, a.Body, a.Length, want)
					}
					a.Close()
				})
			}
			read("GET", c.first)
			<-received
			for _, then := range c.then {
				read(then[0], then[1])
			}
			limit := time.Now().Add(30 * time.Second)
			for r.snapshot.Reads.Waiting() < len(c.then) && len(received) == 0 && time.Now().Before(limit) {
				time.Sleep(time.Millisecond) //nolint:forbidigo // a reader that joins signals nothing
			}
			close(release)
			readers.Wait()
			close(received)
			var sent []string
			for line := range received {
				sent = append(sent, line)
			}
			if len(sent) != 1 || sent[0] != c.sent {
				t.Errorf("for %d reads that waited etcd got %q, want %q", len(c.then), sent, c.sent)
			}
			r.quiet(t)
		})
	}
}

func TestTheClientsAddressIsForwardedButForKeys(t *testing.T) {
	got := make(chan http.Header, 1)
	r := newRig(t, func(_ http.ResponseWriter, q *http.Request) { got <- q.Header })
	for target, want := range map[string]string{"/v2/keys/a": "", "/v2/members": "192.0.2.1", "/version": "192.0.2.1"} {
		a, refusal, err := r.Do(context.Background(), r.call(t, "GET", target, ""), room(100))
		if refusal != nil || err != nil {
			t.Fatalf("%s: got refusal %v and error %v", target, refusal, err)
		}
		a.Close()
		header := <-got
		if header.Get("X-Forwarded-For") != want || header.Get("X-Real-Ip") != want {
			t.Errorf("%s: etcd got the addresses %q and %q, want %q", target, header.Get("X-Forwarded-For"), header.Get("X-Real-Ip"), want)
		}
	}
}

func TestABodyIsForwardedOnlyIfEtcdReadsIt(t *testing.T) {
	got := make(chan string, 1)
	r := newRig(t, func(_ http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		got <- string(body)
	})
	for method, want := range map[string]string{"PUT": "value=1", "POST": "value=1", "DELETE": "", "GET": ""} {
		call := r.call(t, method, "/v2/keys/eventlogging/a", "")
		call.Body, call.ContentType = []byte("value=1"), "application/x-www-form-urlencoded"
		a, refusal, err := r.Do(context.Background(), call, room(100))
		if refusal != nil || err != nil {
			t.Fatalf("%s: got refusal %v and error %v", method, refusal, err)
		}
		a.Close()
		if body := <-got; body != want {
			t.Errorf("%s: etcd got the body %q, want %q", method, body, want)
		}
	}
}

func TestAnAnswerThatBreaksOffAtOnceBecomesARefusal(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "ten bytes.")
		panic(http.ErrAbortHandler)
	})
	for method, want := range map[string]*gate.Refusal{"GET": gate.RefuseBroken, "PUT": gate.RefuseUnknownOutcome} {
		for _, size := range []int{200, 5} {
			_, refusal, err := r.Do(context.Background(), r.call(t, method, "/v2/keys/eventlogging/a", ""), room(size))
			if refusal != want || err != nil {
				t.Errorf("%s with a buffer of %d bytes: got refusal %+v and error %v, want %q", method, size, refusal, err, want.Reason)
			}
		}
	}
	r.quiet(t)
}

func TestACallThatIsCanceledGivesItsSlotAndItsBytesBack(t *testing.T) {
	body := strings.Repeat("x", upstream.MaxBuffered+1<<20)
	gone := make(chan struct{})
	r := newRig(t, func(w http.ResponseWriter, q *http.Request) {
		_, _ = io.WriteString(w, body)
		w.(http.Flusher).Flush()
		<-q.Context().Done()
		close(gone)
	})
	ctx, cancel := context.WithCancel(context.Background())
	a, refusal, err := r.Do(ctx, r.call(t, "GET", "/v2/keys/a", ""), room(100))
	if refusal != nil || err != nil {
		t.Fatalf("got refusal %v and error %v", refusal, err)
	}
	cancel()
	if _, err := io.Copy(io.Discard, &a); err == nil {
		t.Error("the canceled answer was read to its end")
	}
	a.Close()
	<-gone // the connection to etcd was closed
	r.quiet(t)
}

func TestACallWhoseClientLeavesBeforeTheAnswerIsBrokenOff(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	r := newRig(t, func(_ http.ResponseWriter, q *http.Request) {
		cancel()
		<-q.Context().Done()
	})
	_, refusal, err := r.Do(ctx, r.call(t, "GET", "/v2/keys/a", ""), room(100))
	if refusal != nil || !errors.Is(err, ErrBrokenOff) {
		t.Errorf("got refusal %+v and error %v, want ErrBrokenOff", refusal, err)
	}
	r.quiet(t)
}

func TestACallThatPanicsGivesItsSlotAndItsTargetBack(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "value") })
	func() {
		defer func() {
			if recover() == nil {
				t.Error("Do did not panic with its buffer")
			}
		}()
		_, _, _ = r.Do(context.Background(), r.call(t, "GET", "/v2/keys/a", ""), func() []byte { panic("a bug") })
	}()
	r.quiet(t)
	a, refusal, err := r.Do(context.Background(), r.call(t, "GET", "/v2/keys/a", ""), room(100))
	if refusal != nil || err != nil || string(a.Body) != "value" {
		t.Errorf("the next read: got refusal %v, error %v and body %q, want value", refusal, err, a.Body)
	}
	a.Close()
}

// readsAtEtcd returns the number of reads whose duration at etcd was measured.
func (r *rig) readsAtEtcd(t *testing.T) uint64 {
	t.Helper()
	families, err := r.metrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == "etcd_tlsproxy_upstream_duration_seconds" {
			return family.GetMetric()[0].GetHistogram().GetSampleCount()
		}
	}
	t.Fatal("the durations at etcd are not exported")
	return 0
}

func TestTheTimeThatAClientTakesForALargeAnswerIsNotThatOfEtcd(t *testing.T) {
	body := strings.Repeat("0123456789", upstream.MaxBuffered/10+1)
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
	a, refusal, err := r.Do(context.Background(), r.call(t, "GET", "/v2/keys/a", ""), room(100))
	if refusal != nil || err != nil {
		t.Fatalf("got refusal %v and error %v", refusal, err)
	}
	if n := r.readsAtEtcd(t); a.Whole || n != 1 {
		t.Errorf("before the client takes any of the answer: got %d durations, whole %t; want 1 of an answer that is sent at its pace", n, a.Whole)
	}
	if got := text(t, &a); got != body {
		t.Errorf("got %d bytes, want %d", len(got), len(body))
	}
	a.Close()
	if n := r.readsAtEtcd(t); n != 1 {
		t.Errorf("after the client has taken the answer: got %d durations, want 1", n)
	}
	r.quiet(t)
}

func TestEachDecisionIsCounted(t *testing.T) {
	r := newRig(t, nil)
	decide := func(method, target string) {
		t.Helper()
		rec := &observe.Record{Peer: seed.Peer()}
		r.Decide(t.Context(), r.snapshot, &gate.Request{Method: method, Target: target, Peer: rec.Peer}, rec)
	}
	before := r.decisions(t)
	decide("GET", "/v2/keys/a")
	decide("GET", "/v2/keys/b")
	decide("PUT", "/v2/keys/a")
	after := r.decisions(t)
	if allowed, all := after["allowed"]-before["allowed"], after["all"]-before["all"]; allowed != 2 || all != 3 {
		t.Errorf("two reads that are allowed and a write that is not: got %v of %v decisions counted as allowed, want 2 of 3", allowed, all)
	}
}

// decisions returns how many decisions are counted, and how many of them are allowed.
func (r *rig) decisions(t *testing.T) map[string]float64 {
	t.Helper()
	families, err := r.metrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := make(map[string]float64)
	for _, family := range families {
		if family.GetName() != "etcd_tlsproxy_decisions_total" {
			continue
		}
		for _, metric := range family.GetMetric() {
			counts["all"] += metric.GetCounter().GetValue()
			for _, label := range metric.GetLabel() {
				if label.GetValue() == "allowed" {
					counts["allowed"] += metric.GetCounter().GetValue()
				}
			}
		}
	}
	return counts
}
