package lane

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"time"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/bulk"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/proxytest/seed"
)

// noWatch sends no answer until its client disconnects, like an etcd without events.
func noWatch(_ http.ResponseWriter, q *http.Request) { <-q.Context().Done() }

// startWatch starts a watch of a user that the gate allows under the rig's snapshot.
func (r *rig) startWatch(t *testing.T, target, user string) (*Watch, *gate.Refusal, chan error) {
	t.Helper()
	call := r.call(t, "GET", target, user)
	ended := make(chan error, 1)
	w := &Watch{Op: call.Op, Peer: call.Peer, End: func(cause error) { ended <- cause }}
	return w, r.StartWatch(r.snapshot, w), ended
}

// restricted lets only some users read below /secret.
func restricted(t *testing.T, s *Snapshot, readers ...string) *Snapshot {
	next := *s
	next.Rules = seed.Rules(t, acl.Rule{Prefix: "/secret", Read: acl.Only(readers...), Write: acl.Only("root")})
	return &next
}

func TestAReloadBetweenTheDecisionAndTheRegistrationEndsAWatch(t *testing.T) {
	r := newRig(t, noWatch)
	old := restricted(t, r.snapshot, "alice")
	r.snapshot = old
	r.Current.Publish(restricted(t, old, "root"))
	_, refusal, _ := r.startWatch(t, "/v2/keys/secret?wait=true", "alice")
	if refusal != gate.RefuseIdentity {
		t.Errorf("got refusal %+v, want %+v", refusal, gate.RefuseIdentity)
	}
	if n := r.Watches.Count(); n != 0 {
		t.Errorf("%d watches are registered, want 0", n)
	}
}

func TestAReloadThatTakesTheRightAwayEndsARunningWatchAndNoOther(t *testing.T) {
	r := newRig(t, noWatch)
	r.snapshot = restricted(t, r.snapshot, "alice", "root")
	r.Current.Publish(r.snapshot)
	_, refusal, aliceEnded := r.startWatch(t, "/v2/keys/secret?wait=true", "alice")
	if refusal != nil {
		t.Fatalf("alice's watch was refused: %+v", refusal)
	}
	_, refusal, rootEnded := r.startWatch(t, "/v2/keys/secret?wait=true", "root")
	if refusal != nil {
		t.Fatalf("root's watch was refused: %+v", refusal)
	}
	next := restricted(t, r.snapshot, "root")
	r.Watches.Recheck(r.Gate, func() *gate.Policy { return &next.Policy })
	if cause := <-aliceEnded; CauseReason(cause) != "revoked" {
		t.Errorf("alice's watch ended with %v, want revoked", cause)
	}
	select {
	case cause := <-rootEnded:
		t.Errorf("root's watch ended with %v, although root may still read", cause)
	default:
	}
}

func TestWatchesAreBoundedForAUserAndAltogether(t *testing.T) {
	r := newRig(t, noWatch) // 10 watches, 2 of one user
	r.snapshot = restricted(t, r.snapshot, "alice", "root")
	r.Current.Publish(r.snapshot)
	var running []*Watch
	for i, want := range []*gate.Refusal{nil, nil, gate.RefuseUserWatches} {
		w, refusal, _ := r.startWatch(t, "/v2/keys/secret?wait=true", "alice")
		if refusal != want {
			t.Errorf("alice's watch %d: got refusal %+v, want %+v", i, refusal, want)
		}
		running = append(running, w)
	}
	if _, refusal, _ := r.startWatch(t, "/v2/keys/secret?wait=true", "root"); refusal != nil {
		t.Errorf("another user's watch: got refusal %+v, want none", refusal)
	}
	r.Watches.Release(running[0], "event")
	if _, refusal, _ := r.startWatch(t, "/v2/keys/secret?wait=true", "alice"); refusal != nil {
		t.Errorf("after one has ended: got refusal %+v, want none", refusal)
	}
	r.Watches.maxTotal = r.Watches.Count()
	if _, refusal, _ := r.startWatch(t, "/v2/keys/a?wait=true", ""); refusal != gate.RefuseWatches {
		t.Errorf("beyond all: got refusal %+v, want %+v", refusal, gate.RefuseWatches)
	}
}

func TestDrainingEndsTheWatchesAndRefusesNewOnes(t *testing.T) {
	r := newRig(t, noWatch)
	_, _, ended := r.startWatch(t, "/v2/keys/a?wait=true", "")
	r.Watches.Drain()
	if cause := <-ended; CauseReason(cause) != "drain" {
		t.Errorf("the running watch ended with %v, want drain", cause)
	}
	if _, refusal, _ := r.startWatch(t, "/v2/keys/a?wait=true", ""); refusal != gate.RefuseDraining {
		t.Errorf("a new watch: got refusal %+v, want %+v", refusal, gate.RefuseDraining)
	}
}

func TestAWatchThatEndsBeforeEtcdAnswersSaysWhy(t *testing.T) {
	received := make(chan struct{}, 10)
	r := newRig(t, func(_ http.ResponseWriter, q *http.Request) {
		received <- struct{}{}
		<-q.Context().Done()
	})
	for cause, want := range map[error]End{
		errDraining: {Reason: "drain", Refusal: gate.RefuseDraining},
		errRevoked:  {Reason: "revoked", Err: ErrBrokenOff},
		ErrGone:     {Reason: "client", Err: ErrBrokenOff},
	} {
		for _, alone := range []bool{false, true} {
			call := r.call(t, "GET", "/v2/keys/a?wait=true", "")
			ctx, cancel := context.WithCancelCause(context.Background())
			go func() {
				<-received
				cancel(cause)
			}()
			var end End
			if alone {
				_, end = r.Alone(ctx, call, &Watch{Op: call.Op})
			} else {
				_, _, end = r.Join(ctx, r.snapshot, &Watch{Op: call.Op}, nil)
			}
			if end != want {
				t.Errorf("cause %q, alone %t: got %+v, want %+v", cause, alone, end, want)
			}
		}
	}
	r.quiet(t)
}

func TestAWatchThatEtcdRefusesHasAHeadAndNoWatcher(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, "no")
	})
	watcher, head, end := r.Join(context.Background(), r.snapshot, &Watch{Op: r.call(t, "GET", "/v2/keys/a?wait=true", "").Op}, nil)
	if watcher != nil || head == nil || head.Status != 400 || string(head.Body) != "no" || end != (End{Reason: "refused"}) {
		t.Errorf("got watcher %v, head %+v, end %+v; want etcd's refusal", watcher, head, end)
	}
}

// TestWatchesOfOneKeyThatCannotBeSharedAreBounded is about watches that cost etcd a copy of each
// event for every one of them.
func TestWatchesOfOneKeyThatCannotBeSharedAreBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(w http.ResponseWriter, q *http.Request) {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		<-q.Context().Done()
	})
	pool := func(name string) *account.Pool {
		return r.Accounts.NewPool(account.Options{Name: name, Total: 200, Reserve: 20, ForNewcomers: true})
	}
	r.Bulk = bulk.NewLimits(pool("bytes"), pool("trees"), pool("watched"))
	client := r.Accounts.Address(netip.MustParseAddr("192.0.2.1"))
	defer client.Close()
	var answers []Answer
	defer func() {
		for i := range answers {
			answers[i].Close()
		}
		if n := r.Bulk.Watched.Used(); n != 0 {
			t.Errorf("in the end: got %d units in use, want 0", n)
		}
	}()
	start := func(ctx context.Context, query string) End {
		call := r.call(t, "GET", "/v2/keys/a?wait=true"+query, "")
		w := &Watch{Op: call.Op, account: client}
		answer, end := r.Alone(ctx, call, w)
		if end.Reason == "" {
			answers = append(answers, answer)
		}
		return end
	}
	for i := range 2 {
		if end := start(t.Context(), "&stream=true"); end != (End{}) {
			t.Fatalf("watch %d of two that are within the bound: got %+v, want its answer", i+1, end)
		}
	}
	if end, want := start(t.Context(), "&stream=true"), (End{Reason: "upstream", Refusal: gate.RefuseUpstreamBusy}); end != want {
		t.Errorf("a watch beyond the bound: got %+v, want %+v", end, want)
	}
	gone, cancel := context.WithCancelCause(t.Context())
	cancel(ErrGone)
	if end, want := start(gone, "&stream=true"), (End{Reason: "client", Err: ErrBrokenOff}); end != want {
		t.Errorf("a watch beyond the bound whose client has left: got %+v, want %+v", end, want)
	}
	// Where nothing is shared, each client has its own watch of a key.
	for range 20 {
		if end := start(t.Context(), ""); end != (End{}) {
			t.Errorf("a watch that could be shared: got %+v, want its answer", end)
		}
	}
}

// breakable is a client that records that its answer was broken off.
type breakable chan struct{}

func (b breakable) BreakOff()                 { close(b) }
func (b breakable) Queued(context.CancelFunc) {}

// TestAWatchThatCannotBeSharedMakesRoomForThatOfAnotherClient lets clients of two networks have
// as many of these watches as there can be.
func TestAWatchThatCannotBeSharedMakesRoomForThatOfAnotherClient(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(w http.ResponseWriter, q *http.Request) {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		<-q.Context().Done()
	})
	pool := func(name string) *account.Pool {
		return r.Accounts.NewPool(account.Options{Name: name, Total: 1024, Reserve: 128, ForNewcomers: true})
	}
	r.Bulk = bulk.NewLimits(pool("bytes"), pool("trees"), pool("watched"))
	var all sync.WaitGroup
	defer all.Wait()
	broken := make(chan error, 100)
	// start starts a watch, which its client closes when it is broken off.
	start := func(ctx context.Context, address string) End {
		client := r.Accounts.Address(netip.MustParseAddr(address))
		call := r.call(t, "GET", "/v2/keys/a?wait=true&stream=true", "")
		off := make(breakable)
		call.Client = off
		ctx, cancel := context.WithCancelCause(ctx)
		answer, end := r.Alone(ctx, call, &Watch{Op: call.Op, account: client, End: cancel})
		if end != (End{}) {
			client.Close()
			return end
		}
		all.Go(func() {
			defer client.Close()
			defer answer.Close()
			if _, err := answer.Read(make([]byte, 1)); err != nil && errors.Is(context.Cause(ctx), ErrShort) {
				<-off
				broken <- context.Cause(ctx)
			}
		})
		return End{}
	}
	ctx, stop := context.WithCancelCause(t.Context())
	defer stop(ErrGone)
	for _, address := range []string{"192.0.2.1", "198.51.100.1"} {
		n := 0
		for start(ctx, address) == (End{}) {
			n++
		}
		if n == 0 {
			t.Fatalf("the first watches of %s: got none started, want some", address)
		}
	}
	if used := r.Bulk.Watched.Used(); used < 1024-128 {
		t.Fatalf("after the watches of two clients: got %d units in use, want nearly all", used)
	}
	for i := range 3 {
		if end := start(ctx, "203.0.113.1"); end != (End{}) {
			t.Fatalf("watch %d of a third client: got %+v, want its answer", i+1, end)
		}
	}
	if cause := <-broken; !errors.Is(cause, ErrShort) {
		t.Errorf("a watch of the first clients ended with %v, want %v", cause, ErrShort)
	}
}

func TestOnlyPlainWatchesAreShared(t *testing.T) {
	for query, want := range map[string]bool{
		"wait=true": true, "wait=true&recursive=true": true, "waitIndex=7&wait=true": true, "wait=true&waitIndex=0": true,
		"wait=true&stream=true": false, "wait=true&wait=true": false, "wait=true&recursive=true&recursive=false": false, "wait=true&waitIndex=7&waitIndex=8": false, "wait=true&waitIndex=-1": false, "wait=true&recursive=yes": false,
		"wait=true&sorted=true": false, "w%61it=true": false, "waitIndex=7": false, "": false, "wait=true&": false,
	} {
		if _, got := ParseWatch(query); got != want {
			t.Errorf("%q: got shared %t, want %t", query, got, want)
		}
	}
}

func TestAnEndHasAReasonFromTheClosedSet(t *testing.T) {
	plain, cancelPlain := context.WithCancel(context.Background())
	if got := EndReason(plain); got != "upstream" {
		t.Errorf("of a watch that was not ended from outside: got %s, want upstream", got)
	}
	cancelPlain()
	if got := EndReason(plain); got != "client" {
		t.Errorf("of a client that left: got %s, want client", got)
	}
	if got := CauseReason(errors.New("another")); got != "client" {
		t.Errorf("of another cause: got %s, want client", got)
	}
}

// TestAWatchMakesRoomForThatOfAnotherClient lets one client have all the watches.
func TestAWatchMakesRoomForThatOfAnotherClient(t *testing.T) {
	t.Parallel()
	r := newRig(t, noWatch)
	r.Watches.maxTotal, r.Watches.maxPerUser = 100, 100
	r.Watches.Pool = r.Accounts.NewPool(account.Options{Name: "watches", Total: 16, Reserve: 2, ForNewcomers: true})
	ended := make(chan error, 100)
	start := func(user string) (*Watch, *gate.Refusal) {
		call := r.call(t, "GET", "/v2/keys/secret?wait=true", user)
		var w *Watch
		w = &Watch{Op: call.Op, Peer: call.Peer, End: func(cause error) {
			ended <- cause
			go r.Watches.Release(w, CauseReason(cause))
		}}
		return w, r.StartWatch(r.snapshot, w)
	}
	r.snapshot = restricted(t, r.snapshot, "alice", "root")
	r.Current.Publish(r.snapshot)
	var refusal *gate.Refusal
	for refusal == nil {
		_, refusal = start("alice")
	}
	if n := r.Watches.Count(); refusal != gate.RefuseWatches || n < 14 || n > 16 {
		t.Fatalf("one client got %d watches and then the refusal %v, want 14 to 16 and %v", n, refusal, gate.RefuseWatches)
	}
	for i := range 4 {
		if _, refusal := start("root"); refusal != nil {
			t.Errorf("watch %d of another client: got the refusal %v, want none", i+1, refusal)
		}
	}
	select {
	case cause := <-ended:
		if CauseReason(cause) != "shed" {
			t.Errorf("a watch of the client that had all ended with %v, want %v", cause, ErrShort)
		}
	default:
		t.Error("no watch of the client that had all has ended, want one for each of the other client's")
	}
	r.Watches.Drain()
	limit := time.Now().Add(30 * time.Second)
	for r.Watches.Pool.Used() > 0 && time.Now().Before(limit) {
		time.Sleep(time.Millisecond) //nolint:forbidigo // a release signals nothing
	}
	if n := r.Watches.Pool.Used(); n != 0 {
		t.Errorf("after all watches have ended %d are held, want none", n)
	}
}

func TestWhichWatchesAreJoined(t *testing.T) {
	r := newRig(t, nil)
	plain, stream := r.call(t, "GET", "/v2/keys/a?wait=true", "").Op, r.call(t, "GET", "/v2/keys/a?wait=true&stream=true", "").Op
	withStore, forwarding, alone := *r.snapshot, *r.snapshot, *r.snapshot
	withStore.Origin, forwarding.EtcdUsers, alone.Watches = &Origin{}, gate.EtcdClients, nil
	for _, c := range []struct {
		what     string
		snapshot *Snapshot
		op       *gate.Operation
		login    string
		want     bool
	}{
		{"a plain watch", r.snapshot, plain, "Basic x", true},
		{"a stream", r.snapshot, stream, "", false},
		{"a stream of a store", &withStore, stream, "", true},
		{"a plain watch of a login that etcd is sent", &forwarding, plain, "Basic x", false},
		{"a plain watch without a login", &forwarding, plain, "", true},
		{"a plain watch where none are shared", &alone, plain, "", false},
	} {
		if got := c.snapshot.Joins(c.op, c.login); got != c.want {
			t.Errorf("%s: got joined %t, want %t", c.what, got, c.want)
		}
	}
}
