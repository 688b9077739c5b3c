package bulk

import (
	"context"
	"testing"
	"testing/synctest"

	"etcd-tlsproxy/proxy/account"
)

// known returns a claim of a read whose answer is known to have so many units.
func (r *rig) known(t *testing.T, network byte, path string, units int64) Claim {
	t.Helper()
	c := r.Read(r.client(t, network), path, false)
	c.Began(units*Unit, true)
	return c
}

func TestALargeAnswerHasPlacesUntilItBegins(t *testing.T) {
	for _, c := range []struct{ units, places int64 }{{2, 0}, {longWork - 1, 0}, {longWork, 1}, {perPlace, 1}, {perPlace + 1, 2}, {80, 3}} {
		r := newRig()
		claim := r.known(t, 1, "/a", c.units)
		if !claim.TryAcquire() {
			t.Fatalf("an answer of %d units that is alone: got no room", c.units)
		}
		r.checkHeld(t, "before it begins", c.units, c.places)
		claim.Began(c.units*Unit, true)
		r.checkHeld(t, "when it has begun", c.units, 0)
		claim.Release()
		r.checkHeld(t, "in the end", 0, 0)
	}
}

func TestAnAnswerOfAnySizeHasNoMorePlacesThanThereAre(t *testing.T) {
	r := newRig()
	r.Trees.Resize(2, 0)
	claim := r.known(t, 1, "/a", 1000)
	if !claim.TryAcquire() {
		t.Error("an answer that needs more places than there are: got none, want all")
	}
	r.checkHeld(t, "before it begins", r.Bytes.Most(), 2)
	claim.Release()
}

func TestALargeWriteAndALargeWatchHaveNoPlaces(t *testing.T) {
	r := newRig()
	a := r.client(t, 1)
	write, watch := r.Write(a, "/a", make([]byte, 3*Unit)), r.Watch(a, "/b", false)
	watch.Event(20 * Unit)
	watch.Release()
	if !write.TryAcquire() || !watch.TryAcquire() {
		t.Fatal("a write and a watch that are alone: got no room")
	}
	r.checkHeld(t, "a large write beside a large watch", 18, 0)
	write.Release()
	watch.Release()
}

// TestALargeAnswerWithoutPlacesHoldsNothingUntilItWaits has enough bytes, and all places in use.
func TestALargeAnswerWithoutPlacesHoldsNothingUntilItWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		working := r.known(t, 1, "/a", 20)
		if !working.TryAcquire() || !r.Trees.TryAcquire(working.Account(), 15, account.Ordinary) {
			t.Fatal("an answer that is alone: got no room")
		}
		next := r.known(t, 2, "/b", 20)
		if next.TryAcquire() {
			t.Error("an answer without a place: got one")
		}
		r.checkHeld(t, "after it was tried", 20, 16)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- next.Acquire(ctx) }()
		synctest.Wait()
		r.checkHeld(t, "while it waits", 40, 16)
		cancel()
		if err := <-done; err == nil {
			t.Error("a wait that is canceled: got no error")
		}
		r.checkHeld(t, "after a wait that is canceled", 20, 16)
		go func() { done <- next.Acquire(t.Context()) }()
		synctest.Wait()
		working.Began(20*Unit, true)
		if err := <-done; err != nil {
			t.Errorf("when another answer has begun: got the error %v, want its place", err)
		}
		r.checkHeld(t, "two answers, one of which has begun", 40, 16)
		working.Release()
		next.Release()
		r.Trees.Release(working.Account(), 15, account.Ordinary)
		r.checkHeld(t, "in the end", 0, 0)
	})
}

func TestAnEventThatDoesNotExistMakesNoLargeOneForgotten(t *testing.T) {
	r := newRig()
	a := r.client(t, 1)
	watch := r.Watch(a, "/a", true)
	for _, c := range []struct {
		before        string
		bytes, places int64
		long          bool
		then          func(*Claim)
	}{
		{"nothing is known", 0, unknownTree, false, (*Claim).Missed},
		{"an event did not exist", 0, 1, false, func(c *Claim) { c.Began(40*Unit, true); c.Release() }},
		{"an event was large", 40, 2, true, (*Claim).Missed},
		{"an event did not exist, and another one was large", 40, 2, true, func(c *Claim) { c.Began(100, true); c.Release() }},
		{"an event was small", 0, 1, false, (*Claim).Missed},
	} {
		past := watch.Past("/a", true)
		if got := past.IsLong(); got != c.long {
			t.Errorf("when %s: got %t, want %t", c.before, got, c.long)
		}
		if !past.TryAcquire() {
			t.Fatalf("when %s: got no room", c.before)
		}
		r.checkHeld(t, "when "+c.before, c.bytes, c.places)
		c.then(&past)
		r.checkHeld(t, "in the end", 0, 0)
	}
	var none Claim
	past := none.Past("/a", true)
	if past.Missed(); past.IsLong() || !past.TryAcquire() {
		t.Error("a claim without limits: got one that needs something")
	}
}
