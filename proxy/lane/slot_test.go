package lane

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/bulk"
	"etcd-tlsproxy/proxy/gate"
)

func TestASlotIsOneUnitOrNone(t *testing.T) {
	accounts := account.NewTable()
	p := accounts.NewPool(account.Options{Name: "requests", Total: 1, Queue: 10})
	a := accounts.Address(netip.MustParseAddr("192.0.2.1"))
	defer a.Close()
	free := slot{}
	if !free.try() || free.held || free.acquire(t.Context()) != nil || free.held {
		t.Error("a slot without a pool is refused, or held")
	}
	free.release()

	first, second := slot{pool: p, account: a}, slot{pool: p, account: a}
	if !first.try() || !first.held || p.Used() != 1 {
		t.Errorf("the first slot: held is %v, and %d are in use, want one", first.held, p.Used())
	}
	if second.try() || second.held {
		t.Error("there is a second slot, want one")
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := second.acquire(gone); err == nil || second.held {
		t.Errorf("waiting without time: got the error %v, held is %v", err, second.held)
	}
	second.release() // is not held
	if p.Used() != 1 {
		t.Errorf("%d are in use, want the first one", p.Used())
	}
	first.release()
	first.release()
	if first.held || p.Used() != 0 {
		t.Errorf("after its release %d are in use, want none", p.Used())
	}
	if err := second.acquire(t.Context()); err != nil || !second.held || p.Used() != 1 {
		t.Errorf("waiting for a slot that is free: got the error %v, and %d in use", err, p.Used())
	}
	second.release()
}

func TestAUnitIsAwaitedOnlySoLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		accounts := account.NewTable()
		p := accounts.NewPool(account.Options{Name: "watches", Total: 3, Queue: 10})
		a := accounts.Address(netip.MustParseAddr("192.0.2.1"))
		if err := acquireWithin(t.Context(), time.Second, nil, a, account.Ordinary); err != nil {
			t.Errorf("without a pool: %v", err)
		}
		for n := int64(1); n <= 3; n++ {
			if err := acquireWithin(t.Context(), time.Second, p, a, account.Ordinary); err != nil || p.Used() != n {
				t.Errorf("the unit %d: got the error %v and %d in use", n, err, p.Used())
			}
		}
		began := time.Now()
		if err := acquireWithin(t.Context(), time.Second, p, a, account.Ordinary); err == nil || time.Since(began) != time.Second || p.Used() != 3 {
			t.Errorf("a unit too many: got the error %v after %s and %d in use, want one after 1 s", err, time.Since(began), p.Used())
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := acquireWithin(ctx, time.Second, p, a, account.Ordinary); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a unit too many for a client that leaves: got the error %v", err)
		}
		time.AfterFunc(time.Second, func() { p.Release(a, 2, account.Ordinary) })
		if err := acquireWithin(t.Context(), time.Minute, p, a, account.Ordinary); err != nil || p.Used() != 2 {
			t.Errorf("a unit that becomes free: got the error %v and %d in use, want 2", err, p.Used())
		}
		p.Release(a, 2, account.Ordinary)
		a.Close()
	})
}

// queued records what the client is told about the wait of its request.
type queued struct {
	atomicBreaks
	ends []context.CancelFunc
}

func (q *queued) Queued(end context.CancelFunc) { q.ends = append(q.ends, end) }

func TestAClientIsToldWhenItsRequestWaits(t *testing.T) {
	r := newRig(t, nil)
	client := &queued{}
	call := &Call{Snapshot: r.snapshot, Client: client, Turn: time.Hour}
	ended := errors.New("ended")
	err := call.wait(t.Context(), func(ctx context.Context) error {
		if len(client.ends) != 1 || client.ends[0] == nil {
			t.Fatalf("while it waits: the client was told %d times, want once with the end of the wait", len(client.ends))
		}
		if limit, ok := ctx.Deadline(); !ok || time.Until(limit) > r.snapshot.Upstream.Patience() {
			t.Errorf("it waits until %v, want no longer than for an answer of etcd", limit)
		}
		client.ends[0]()
		<-ctx.Done()
		return ended
	})
	if !errors.Is(err, ended) || len(client.ends) != 2 || client.ends[1] != nil || call.Turn <= time.Hour {
		t.Errorf("got the error %v, the client was told %d times and the turns took %s; want that the wait has ended, and its time", err, len(client.ends), call.Turn)
	}
	call = &Call{Snapshot: r.snapshot}
	if err := call.wait(t.Context(), func(context.Context) error { return ended }); !errors.Is(err, ended) {
		t.Errorf("without a client: got the error %v, want %v", err, ended)
	}
}

// TestAnAnswerThatGetsNoSlotHoldsNothing has room for its bytes, and no slot.
func TestAnAnswerThatGetsNoSlotHoldsNothing(t *testing.T) {
	r := newRig(t, nil)
	r.Slots = r.Accounts.NewPool(account.Options{Name: "requests", Total: 1, Queue: 10})
	r.Bulk = bulk.NewLimits(r.Accounts.NewPool(account.Options{Name: "bytes", Total: 100}), r.Accounts.NewPool(account.Options{Name: "trees", Total: 100}), nil)
	a := r.Accounts.Address(netip.MustParseAddr("192.0.2.1"))
	defer a.Close()
	if !r.Slots.TryAcquire(a, 1, account.Ordinary) {
		t.Fatal("the slot is not free")
	}
	call := r.call(t, "GET", "/v2/keys/a?recursive=true", "")
	call.account = a
	answer := &Answer{slot: r.newSlot(call), claim: r.newClaim(call)}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := answer.acquire(gone, call); err == nil || r.Bulk.Trees.Used() != 0 {
		t.Errorf("without a slot: got the error %v, and %d places for trees are in use, want none", err, r.Bulk.Trees.Used())
	}
	r.Slots.Release(a, 1, account.Ordinary)
	for range 2 { // what is held is not acquired again
		if err := answer.acquire(t.Context(), call); err != nil || r.Slots.Used() != 1 || r.Bulk.Trees.Used() == 0 {
			t.Errorf("with a slot: got the error %v, %d slots and %d places, want both", err, r.Slots.Used(), r.Bulk.Trees.Used())
		}
	}
	answer.Close()
	if r.Slots.Used() != 0 || r.Bulk.Trees.Used() != 0 {
		t.Errorf("after it was closed: %d slots and %d places are in use, want none", r.Slots.Used(), r.Bulk.Trees.Used())
	}
}

// TestAProposalNeedsAPlaceAmongTheProposalsAsWell has two slots, one of them for proposals.
func TestAProposalNeedsAPlaceAmongTheProposalsAsWell(t *testing.T) {
	r := newRig(t, nil)
	r.Slots = r.Accounts.NewPool(account.Options{Name: "requests", Total: 2, Queue: 10})
	r.Proposals = r.Accounts.NewPool(account.Options{Name: "proposals", Total: 1, Queue: 10})
	a := r.Accounts.Address(netip.MustParseAddr("192.0.2.1"))
	defer a.Close()
	newSlot := func(method, target string) *slot {
		call := r.call(t, method, target, "")
		call.account = a
		s := r.newSlot(call)
		return &s
	}
	expect := func(when string, requests, proposals int64) {
		t.Helper()
		if r.Slots.Used() != requests || r.Proposals.Used() != proposals {
			t.Errorf("%s: got %d slots and %d proposals in use, want %d and %d", when, r.Slots.Used(), r.Proposals.Used(), requests, proposals)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	first := newSlot("GET", "/v2/keys/a?quorum=true")
	if !first.try() {
		t.Error("a quorum read got no slot, want one")
	}
	expect("with a quorum read", 1, 1)
	for _, second := range []*slot{newSlot("GET", "/v2/keys/b?quorum=true"), newSlot("GET", "/health"), newSlot("DELETE", "/v2/keys/eventlogging/b")} {
		if second.try() || second.acquire(gone) == nil {
			t.Errorf("another proposal got a slot, want none")
		}
		expect("after another proposal", 1, 1)
	}
	read := newSlot("GET", "/v2/keys/b")
	if !read.try() {
		t.Error("a plain read got no slot, want one")
	}
	expect("with a plain read", 2, 1)
	first.release()
	expect("with a plain read alone", 1, 0)
	other := newSlot("GET", "/v2/keys/b")
	if !other.try() {
		t.Error("another plain read got no slot, want one")
	}
	if write := newSlot("PUT", "/v2/keys/eventlogging/a"); write.try() || write.acquire(gone) == nil {
		t.Error("a write without a slot got one, want none")
	}
	expect("after a write that got no slot", 2, 0)
	read.release()
	write := newSlot("PUT", "/v2/keys/eventlogging/a")
	if err := write.acquire(t.Context()); err != nil {
		t.Errorf("a write: got the error %v, want none", err)
	}
	expect("with a write", 2, 1)
}

func TestWritesAreChargedAsWrites(t *testing.T) {
	r := newRig(t, nil)
	for method, want := range map[string]account.Kind{"GET": account.Ordinary, "HEAD": account.Ordinary, "PUT": account.Write, "POST": account.Write, "DELETE": account.Write} {
		if got := kindOf(r.call(t, method, "/v2/keys/eventlogging/a", "").Op); got != want {
			t.Errorf("%s: got the kind %v, want %v", method, got, want)
		}
	}
	if got := kindOf(&gate.Operation{}); got != account.Ordinary {
		t.Errorf("another operation: got the kind %v, want %v", got, account.Ordinary)
	}
}

// TestAHoldIsTakenBackAsWhatItIs lets the client of an answer stop taking it.
func TestAHoldIsTakenBackAsWhatItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		accounts := account.NewTable()
		p := accounts.NewPool(account.Options{Name: "memory", Total: 100})
		a := accounts.Address(netip.MustParseAddr("192.0.2.1"))
		defer a.Close()
		client := &atomicBreaks{}
		h := newHold(p, a, 7, client)
		class := func(want account.Class) {
			t.Helper()
			if got := h.Class(); got != want {
				t.Errorf("got the class %d, want %d", got, want)
			}
		}
		class(account.Slow)
		time.Sleep(StalledAfter) //nolint:forbidigo // the clock is the bubble's: nothing waits
		class(account.Slow)
		time.Sleep(time.Nanosecond) //nolint:forbidigo // the clock is the bubble's: nothing waits
		class(account.Stalled)
		h.taken()
		class(account.Slow)
		for _, other := range []account.Class{account.Stalled, account.Busy} {
			if got := h.Revoke(other); got != 0 || client.n.Load() != 0 {
				t.Errorf("taking it back as the class %d: got %d units and broke it off %d times, want none", other, got, client.n.Load())
			}
		}
		if got := h.Revoke(account.Slow); got != 7 || client.n.Load() != 1 {
			t.Errorf("taking it back: got %d units and broke it off %d times, want 7 and once", got, client.n.Load())
		}
		class(account.Busy)
		for _, other := range []account.Class{account.Slow, account.Busy} {
			if got := h.Revoke(other); got != 0 || client.n.Load() != 1 {
				t.Errorf("taking it back again as the class %d: got %d units and broke it off %d times", other, got, client.n.Load())
			}
		}
		ended := newHold(p, a, 7, client)
		ended.end()
		if got := ended.Revoke(account.Slow); got != 0 || ended.Class() != account.Busy || client.n.Load() != 1 {
			t.Errorf("taking back what has ended: got %d units", got)
		}
		(*hold)(nil).taken() // is nothing
	})
}

// TestWhatIsHeldCanBeReclaimedUntilItEnds lets another client need all of the pool.
func TestWhatIsHeldCanBeReclaimedUntilItEnds(t *testing.T) {
	for _, ends := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			accounts := account.NewTable()
			p := accounts.NewPool(account.Options{Name: "memory", Total: 100, Queue: 10})
			a, b := accounts.Address(netip.MustParseAddr("192.0.2.1")), accounts.Address(netip.MustParseAddr("198.51.100.1"))
			if !p.TryAcquire(a, 100, account.Ordinary) {
				t.Fatal("the pool is not free")
			}
			client := &atomicBreaks{}
			h := newHold(p, a, 100, client)
			if ends {
				h.end()
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := p.Acquire(ctx, b, 10, account.Ordinary); err == nil {
				t.Error("the other client has what the first one still holds")
			}
			if got := client.n.Load() > 0; got == ends {
				t.Errorf("ended is %v, and the answer was broken off: %v", ends, got)
			}
			p.Release(a, 100, account.Ordinary)
			a.Close()
			b.Close()
		})
	}
}
