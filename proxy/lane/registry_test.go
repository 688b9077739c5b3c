package lane

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/http1"
	"etcd-tlsproxy/proxy/observe"
	"etcd-tlsproxy/proxy/proxytest/seed"
	"etcd-tlsproxy/proxy/upstream"
)

// brokenOff counts how often an answer was broken off.
type brokenOff int

func (b *brokenOff) BreakOff() { *b++ }

func (b *brokenOff) Queued(context.CancelFunc) {}

func TestAnAnswerIsTakenBackOnceAndOnlyAsWhatItsClientIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := account.NewTable()
		pool := table.NewPool(account.Options{Name: "bytes", Total: 100})
		a := table.Address(netip.MustParseAddr("192.0.2.1"))
		defer a.Close()
		var client brokenOff
		h := newHold(pool, a, 7, &client)
		expect := func(when string, class account.Class) {
			t.Helper()
			if got := h.Class(); got != class {
				t.Errorf("an answer %s: got the class %d, want %d", when, got, class)
			}
		}
		expect("at its beginning", account.Slow)
		time.Sleep(StalledAfter) //nolint:forbidigo // the clock is the bubble's: nothing waits
		expect("whose client has paused as long as it may", account.Slow)
		time.Sleep(time.Nanosecond) //nolint:forbidigo // the clock is the bubble's: nothing waits
		expect("whose client pauses longer", account.Stalled)
		for _, class := range []account.Class{account.Silent, account.Slow, account.Watching, account.Busy} {
			if got := h.Revoke(class); got != 0 || client != 0 {
				t.Errorf("revoking a stalled answer as class %d: got %d units, want none", class, got)
			}
		}
		h.taken()
		expect("of which the client has taken a part", account.Slow)
		if got := h.Revoke(account.Slow); got != 7 || client != 1 {
			t.Errorf("revoking a slow answer: got %d units and %d times broken off, want 7 and 1", got, client)
		}
		expect("that was broken off", account.Busy)
		if got := h.Revoke(account.Busy); got != 0 || client != 1 {
			t.Errorf("revoking it again: got %d units and %d times broken off, want none and 1", got, client)
		}
		complete := newHold(pool, a, 7, &client)
		complete.end()
		if got := complete.Revoke(account.Slow) + complete.Revoke(account.Busy); got != 0 || client != 1 {
			t.Errorf("revoking an answer that is complete: got %d units, want none", got)
		}
		(*hold)(nil).taken() // an answer that holds nothing
	})
}

func TestAClientIsSlowAfterItWasBlockedForSomeTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b Blocked
		for _, c := range []struct {
			after   time.Duration
			blocked bool
			want    bool
		}{
			{0, false, false}, {time.Hour, true, false}, {blockedFor - 1, true, false}, {1, true, true}, {time.Hour, true, true},
			{1, false, false}, {time.Hour, true, false}, {blockedFor, false, false}, {0, true, false}, {blockedFor, true, true},
		} {
			time.Sleep(c.after) //nolint:forbidigo // the clock is the bubble's: nothing waits
			if got := b.Slow(c.blocked); got != c.want {
				t.Errorf("after %v more, blocked %t: got slow %t, want %t", c.after, c.blocked, got, c.want)
			}
		}
	})
}

func TestAConnectionIsTakenBackAsWhatItIsAndReportedIfItEnds(t *testing.T) {
	for _, c := range []struct {
		idle  bool
		class account.Class
		want  int64
	}{{true, account.Silent, 1}, {false, account.Silent, 0}, {false, account.Watching, 1}, {true, account.Watching, 0}, {false, account.Slow, 0}} {
		reported := 0
		conn := &fakeConn{}
		conn.idle.Store(c.idle)
		r := revocable{&Conns{Revoked: func() { reported++ }}, conn}
		if got := r.Revoke(c.class); got != c.want || int64(reported) != c.want || conn.cut.Load() != (c.want == 1 && !c.idle) || conn.ended.Load() != (c.want == 1 && c.idle) {
			t.Errorf("revoking a connection, idle %t, as class %d: got %d units, %d reports, cut %t and ended %t; want %d", c.idle, c.class, got, reported, conn.cut.Load(), conn.ended.Load(), c.want)
		}
	}
}

func TestADrainEndsIdleConnectionsAtOnce(t *testing.T) {
	var conns Conns
	idle, busy := &fakeConn{}, &fakeConn{}
	idle.idle.Store(true)
	conns.Register(Fast, idle, nil)
	conns.Register(Standard, busy, nil)
	conns.StartDrain()
	if !conns.Draining() || !idle.ended.Load() || busy.ended.Load() || busy.cut.Load() {
		t.Errorf("a drain: got draining %t, the idle connection ended %t and the busy one %t; want true, true and false", conns.Draining(), idle.ended.Load(), busy.ended.Load())
	}
	if conns.StopDrain(); conns.Draining() {
		t.Error("after the drain was stopped: got draining, want not")
	}
	conns.Cut(Fast)
	conns.Cut(Standard)
	if err := conns.Wait(t.Context(), Fast); err != nil || !busy.cut.Load() {
		t.Errorf("after all connections were cut: got %v and the busy one cut %t, want none and true", err, busy.cut.Load())
	}
	conns.Release(Fast, idle) // it is not registered any more
}

// watchOf returns a watch of a user, or of an address without one, and the causes with which
// it was ended.
func watchOf(user, addr string) (*Watch, *[]error) {
	var causes []error
	return &Watch{
		Op: &gate.Operation{Identity: gate.Identity{Name: user}}, Peer: gate.NewPeer(netip.MustParseAddrPort(addr), nil),
		End: func(cause error) { causes = append(causes, cause) },
	}, &causes
}

func TestWatchesAreCountedForTheirUserOrTheirAddress(t *testing.T) {
	table := account.NewTable()
	ws := NewWatches(4, 2, observe.NewMetrics("test"))
	start := func(user, addr string) (*Watch, *gate.Refusal) {
		w, _ := watchOf(user, addr)
		w.account = table.Address(w.Peer.Addr.Addr())
		refusal := ws.register(w)
		if refusal != nil {
			w.account.Close()
		}
		return w, refusal
	}
	var running []*Watch
	for i, c := range []struct {
		user, addr string
		want       *gate.Refusal
		largest    int
	}{
		{"root", "192.0.2.1:1", nil, 1}, {"root", "192.0.2.2:1", nil, 2}, {"root", "192.0.2.3:1", gate.RefuseUserWatches, 2},
		{"", "192.0.2.1:1", nil, 2}, {"", "192.0.2.1:2", nil, 2}, {"", "192.0.2.9:1", gate.RefuseWatches, 2},
	} {
		w, refusal := start(c.user, c.addr)
		if refusal != c.want || ws.Largest() != c.largest {
			t.Errorf("watch %d, of %q at %s: got the refusal %v and at most %d of one, want %v and %d", i+1, c.user, c.addr, refusal, ws.Largest(), c.want, c.largest)
		}
		if refusal == nil {
			running = append(running, w)
		}
	}
	for i, w := range running {
		if ws.Count() != len(running)-i {
			t.Errorf("running watches: got %d, want %d", ws.Count(), len(running)-i)
		}
		ws.Release(w, "event")
	}
	if ws.Count() != 0 || ws.Largest() != 0 || len(ws.users) != 0 || table.Len() != 0 {
		t.Errorf("after all have ended: got %d watches, at most %d of one, %d users and %d accounts; want none", ws.Count(), ws.Largest(), len(ws.users), table.Len())
	}
}

func TestWithoutALimitOneUserCanHaveAllWatches(t *testing.T) {
	ws := NewWatches(3, 0, observe.NewMetrics("test"))
	for i, want := range []*gate.Refusal{nil, nil, nil, gate.RefuseWatches} {
		if w, _ := watchOf("root", "192.0.2.1:1"); ws.register(w) != want {
			t.Errorf("watch %d of one user, of 3 in total: got another refusal, want %v", i+1, want)
		}
	}
}

func TestAWatchWithoutAPlaceIsToldItsUsersLimitIfThatIsReached(t *testing.T) {
	for _, pooled := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			table := account.NewTable()
			ws := NewWatches(1, 1, observe.NewMetrics("test"))
			if pooled {
				ws.Pool = table.NewPool(account.Options{Name: "watches", Total: 1})
			}
			start := func(user string) *gate.Refusal {
				w, _ := watchOf(user, "192.0.2.1:1")
				if refusal := ws.acquire(w, table.Address(w.Peer.Addr.Addr())); refusal != nil {
					return refusal
				}
				return ws.register(w)
			}
			if refusal := start("root"); refusal != nil {
				t.Fatalf("the first watch: got the refusal %v, want none", refusal)
			}
			for user, want := range map[string]*gate.Refusal{"root": gate.RefuseUserWatches, "alice": gate.RefuseWatches} {
				if got := start(user); got != want {
					t.Errorf("with a pool %t: a watch of %s while root has the only place: got %v, want %v", pooled, user, got, want)
				}
			}
		})
	}
}

func TestAWatchIsTakenBackOnlyWhileItRuns(t *testing.T) {
	table := account.NewTable()
	ws := NewWatches(4, 2, observe.NewMetrics("test"))
	ws.Pool = table.NewPool(account.Options{Name: "watches", Total: 1})
	w, causes := watchOf("root", "192.0.2.1:1")
	r := runningWatch{ws, w}
	if got := r.Revoke(account.Watching); got != 0 || len(*causes) != 0 {
		t.Errorf("revoking a watch that is not registered: got %d units and the causes %v, want none", got, *causes)
	}
	if ws.acquire(w, table.Address(w.Peer.Addr.Addr())) != nil || ws.register(w) != nil {
		t.Fatal("a watch was refused")
	}
	if r.Class() != account.Watching || r.Revoke(account.Silent) != 0 || r.Revoke(account.Busy) != 0 || len(*causes) != 0 {
		t.Errorf("revoking a watch as another class: got the causes %v, want none", *causes)
	}
	if got := r.Revoke(account.Watching); got != 1 || len(*causes) != 1 || !errors.Is((*causes)[0], ErrShort) {
		t.Errorf("revoking a running watch: got %d units and the causes %v, want 1 and %v", got, *causes, ErrShort)
	}
	ws.Release(w, "shed")
	if used := ws.Pool.Used(); used != 0 || table.Len() != 0 {
		t.Errorf("after the watch has ended: got %d places and %d accounts in use, want none", used, table.Len())
	}
	if got := r.Revoke(account.Watching); got != 0 {
		t.Errorf("revoking a watch that has ended: got %d units, want none", got)
	}
}

func TestDrainingAndEndingAllDifferInNewWatches(t *testing.T) {
	table := account.NewTable()
	ws := NewWatches(4, 2, observe.NewMetrics("test"))
	start := func() (*Watch, *[]error, *gate.Refusal) {
		w, causes := watchOf("", "192.0.2.1:1")
		w.account = table.Address(w.Peer.Addr.Addr())
		return w, causes, ws.register(w)
	}
	w, causes, _ := start()
	if ws.EndAll(); len(*causes) != 1 || !errors.Is((*causes)[0], errDraining) {
		t.Errorf("ending all watches: got the causes %v, want %v", *causes, errDraining)
	}
	ws.Release(w, "drain")
	w, causes, refusal := start()
	if refusal != nil {
		t.Errorf("a watch after all were ended: got the refusal %v, want none", refusal)
	}
	if ws.Drain(); len(*causes) != 1 || !errors.Is((*causes)[0], errDraining) {
		t.Errorf("draining: got the causes %v, want %v", *causes, errDraining)
	}
	ws.Release(w, "drain")
	if w, _, refusal = start(); refusal != gate.RefuseDraining {
		t.Errorf("a watch after the drain: got the refusal %v, want %v", refusal, gate.RefuseDraining)
	}
	w.account.Close()
}

func TestFailuresOfEtcdAndTheirRefusals(t *testing.T) {
	x := newRig(t, nil)
	for _, c := range []struct {
		kind        upstream.Kind
		read, write *gate.Refusal
	}{
		{upstream.Unreachable, gate.RefuseUnreachable, gate.RefuseUnreachable}, {upstream.Busy, gate.RefuseUpstreamBusy, gate.RefuseUpstreamBusy},
		{upstream.TooLong, gate.RefuseTooLong, gate.RefuseTooLong}, {upstream.UnknownOutcome, gate.RefuseUnknownOutcome, gate.RefuseUnknownOutcome},
		{upstream.Broken, gate.RefuseBroken, gate.RefuseUnknownOutcome}, {upstream.Timeout, gate.RefuseReadTimeout, gate.RefuseTimeout}, {upstream.Canceled, nil, nil},
	} {
		for access, want := range map[acl.Access]*gate.Refusal{acl.Read: c.read, acl.Write: c.write} {
			refusal, err := x.failed(fmt.Errorf("wrapped: %w", &upstream.Error{Kind: c.kind}), &gate.Operation{Access: access})
			if refusal != want || errors.Is(err, ErrBrokenOff) != (want == nil) {
				t.Errorf("a %v that fails as %v: got the refusal %v and the error %v, want %v", access, c.kind, refusal, err, want)
			}
		}
	}
}

func TestFieldsThatBelongToTheConnectionToEtcd(t *testing.T) {
	for name, want := range map[string]bool{
		"Connection": true, "keep-alive": true, "Proxy-Connection": true, "TE": true, "Trailer": true, "transfer-encoding": true, "Upgrade": true, "Content-Length": true,
		"Access-Control-Allow-Origin": true, "access-control-x": true, "Access-Control-": false, "Access-Control": false,
		"X-Etcd-Index": false, "Content-Type": false, "Date": false, "": false, "Content-Lengths": false,
	} {
		if got := ConnectionField(name); got != want {
			t.Errorf("ConnectionField(%q): got %t, want %t", name, got, want)
		}
	}
}

func TestTargetsThatTheStandardLibraryCannotReadAreRefused(t *testing.T) {
	for _, c := range []struct {
		method, target string
		good           bool
	}{
		{"GET", "/v2/keys/a?b", true}, {"GET", "*", true}, {"GET", "http://h/a", true}, {"GET", "/%zz", false}, {"GET", "a", false}, {"GET", "localhost:1", true}, {"GET", "h:x", true},
		{"CONNECT", "localhost:4001", true}, {"CONNECT", "/a", true}, {"CONNECT", "h:x", false}, {"CONNECT", "/%zz", false},
	} {
		if err := CheckTarget(&http1.Request{Method: c.method, Target: c.target}); (err == nil) != c.good {
			t.Errorf("%s %s: got the error %v, want it accepted: %t", c.method, c.target, err, c.good)
		}
	}
}

func TestASlotIsReleasedOnce(t *testing.T) {
	table := account.NewTable()
	pool := table.NewPool(account.Options{Name: "requests", Total: 1})
	a := table.Address(netip.MustParseAddr("192.0.2.1"))
	defer a.Close()
	first, second := slot{pool: pool, account: a}, slot{pool: pool, account: a}
	if !first.try() || second.try() || pool.Used() != 1 {
		t.Errorf("trying for the only slot twice: got %t and %t with %d in use, want true, false and 1", first.held, second.held, pool.Used())
	}
	second.release() // it holds nothing
	if pool.Used() != 1 {
		t.Errorf("after a slot that is not held was released: got %d in use, want 1", pool.Used())
	}
	first.release()
	if first.release(); pool.Used() != 0 {
		t.Errorf("after the slot was released twice: got %d in use, want none", pool.Used())
	}
	if err := second.acquire(t.Context()); err != nil || !second.held || pool.Used() != 1 {
		t.Errorf("acquiring a free slot: got %v, held %t and %d in use; want none, true and 1", err, second.held, pool.Used())
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := first.acquire(gone); err == nil || first.held {
		t.Errorf("acquiring a slot for a client that has left: got %v and held %t, want an error and false", err, first.held)
	}
	second.release()
	var none slot
	if !none.try() || none.held || none.acquire(t.Context()) != nil || none.held {
		t.Errorf("a slot without a pool: got held %t, want it granted and not held", none.held)
	}
	none.release()
	for access, want := range map[acl.Access]account.Kind{acl.Read: account.Ordinary, acl.Write: account.Write} {
		if got := kindOf(&gate.Operation{Access: access}); got != want {
			t.Errorf("the kind of a %v: got %d, want %d", access, got, want)
		}
	}
}

func TestASnapshotThatWasInForceIsCopiedWithItsCounts(t *testing.T) {
	var c Current
	first := &Snapshot{Policy: *seed.Policy(t)}
	c.Publish(first)
	counts := c.Load().Counts()
	if c.Load() != first || counts == nil {
		t.Fatalf("the first snapshot: got %p with the counts %p, want %p with some", c.Load(), counts, first)
	}
	if c.Publish(first); c.Load() != first || first.Counts() != counts {
		t.Error("publishing the same snapshot again: got another one or other counts, want the same")
	}
	second := &Snapshot{Policy: first.Policy}
	second.Rules = seed.Rules(t, acl.Rule{Prefix: "/new", Read: acl.Everyone(), Write: acl.Only("alice")})
	c.Publish(second)
	if c.Load() != second || second.Counts() == nil || second.Counts() == counts {
		t.Errorf("a snapshot with another table: got the counts %p, want others than %p", second.Counts(), counts)
	}
	c.Publish(first)
	if c.Load() == first || first.Counts() != counts {
		t.Error("an earlier snapshot in force again: it was changed, want a copy, because requests may still read it")
	}
}

func TestWhichCredentialsEtcdIsSent(t *testing.T) {
	for users, want := range map[gate.EtcdUsers]string{gate.NoEtcdUser: "", gate.EtcdRoot: "", gate.EtcdClients: "Basic x"} {
		s := newRig(t, nil).snapshot
		s.EtcdUsers = users
		if got := s.forwarded("Basic x"); got != want {
			t.Errorf("the credentials that etcd is sent where its users are %d: got %q, want %q", users, got, want)
		}
		if got := s.SharesWatches("Basic x"); got != (want == "") || !s.SharesWatches("") {
			t.Errorf("watches with credentials are shared where etcd's users are %d: got %t, want %t", users, got, want == "")
		}
		if s.Watches = nil; s.SharesWatches("") {
			t.Error("watches are shared without anything that shares them")
		}
	}
}
