package bulk

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

func TestAWatchIsChargedWithTheSizeOfItsLastLargeEvents(t *testing.T) {
	r := newRig()
	a := r.client(t, 1)
	c := r.Watch(a, "/v2/keys/a", true)
	if !c.IsFree() || !c.TryAcquire() {
		t.Fatal("a watch whose events are not known: got something to acquire, want nothing")
	}
	for _, step := range []struct {
		event, held int64 // the bytes of the event, and the units that are held after it
	}{
		{4 * Unit, 0}, {4*Unit + 1, 5}, {100, 0}, {80 * Unit, 80}, {0, 70}, {0, 61}, {61 * Unit, 61}, {53*Unit + 1, 54}, {53 * Unit, 53}, {100 * Unit, 90}, {0, 87}, {88 * Unit, 88},
	} {
		if enough := c.Event(step.event); !enough || c.Held() != step.held || r.Watched.Used() != step.held {
			t.Errorf("an event of %d bytes: got enough %t, and %d units held of %d in use; want true and %d", step.event, enough, c.Held(), r.Watched.Used(), step.held)
		}
	}
	if next := r.Watch(a, "/v2/keys/a", true); next.Size() != 88*Unit {
		t.Errorf("the next watch of the tree: got an expected size of %d, want that of its last event, %d", next.Size(), 88*Unit)
	}
	for what, other := range map[string]Claim{
		"the key alone": r.Watch(a, "/v2/keys/a", false), "another key": r.Watch(a, "/v2/keys/b", true), "a read": r.Read(a, "/v2/keys/a", true),
	} {
		if other.Size() != 0 {
			t.Errorf("%s, beside a watch with large events: got an expected size of %d, want 0", what, other.Size())
		}
	}
	r.checkHeld(t, "while only a watch is charged", 0, 0)
	c.Release()
	if c.Release(); c.Held() != 0 || r.Watched.Used() != 0 {
		t.Errorf("after the watch was released twice: got %d units held of %d in use, want none", c.Held(), r.Watched.Used())
	}
}

func TestAnEventForWhichThereIsNotEnoughChangesNothingThatIsHeld(t *testing.T) {
	r := newRig()
	c, other := r.Watch(r.client(t, 1), "/v2/keys/a", false), r.Watch(r.client(t, 2), "/v2/keys/b", false)
	if !c.Event(80*Unit) || !other.Event(10*Unit) {
		t.Fatal("events of 80 and 10 of 100 units: got no room")
	}
	if c.Event(81 * Unit) {
		t.Error("one unit of the reserve for a watch above its share: got it, want a refusal")
	}
	if c.Held() != 80 || r.Watched.Used() != 90 {
		t.Errorf("after the refusal: got %d units held of %d in use, want 80 of 90", c.Held(), r.Watched.Used())
	}
	c.Release()
	other.Release()
	if got := r.Watched.Used(); got != 0 {
		t.Errorf("in the end: got %d units in use, want 0", got)
	}
}

func TestALightEventOfOneWatchDoesNotMakeTheLargeOnesOfAnotherForgotten(t *testing.T) {
	r := newRig()
	a := r.client(t, 1)
	early, c := r.Watch(a, "/v2/keys/a", false), r.Watch(a, "/v2/keys/a", false)
	c.Event(20 * Unit)
	early.Event(100)
	if next := r.Watch(a, "/v2/keys/a", false); next.Size() != 20*Unit {
		t.Errorf("after a light event of a watch that is older than a large one: got an expected size of %d, want %d", next.Size(), 20*Unit)
	}
	c.Release()
}

func TestAWatchBesideOthersOfItsKeyIsCharged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		a := r.client(t, 1)
		light, heavy := r.Watch(a, "/v2/keys/a", false), r.Watch(a, "/v2/keys/b", false)
		heavy.Event(70 * Unit)
		light.Surplus()
		heavy.Surplus()
		if light.IsFree() || light.Size() != 64*Unit || heavy.Size() != 70*Unit {
			t.Errorf("surplus watches: got sizes of %d and %d, want 64 units and what events of 70 cost", light.Size(), heavy.Size())
		}
		if !heavy.TryAcquire() || heavy.Held() != 70 {
			t.Errorf("a surplus watch: got %d units held, want 70", heavy.Held())
		}
		// One that holds something already waits for the rest alone.
		grown := r.Watch(a, "/v2/keys/c", false)
		grown.Event(10 * Unit)
		grown.Surplus()
		if grown.TryAcquire() || grown.Held() != 10 {
			t.Errorf("80 of 90 units in use, and 54 wanted: got %d held, want the 10 from before", grown.Held())
		}
		done := make(chan error, 1)
		go func() { done <- grown.Acquire(t.Context()) }()
		synctest.Wait()
		if got := r.Watched.Wanted(a); got != 80+54 {
			t.Errorf("what is held and waited for: got %d units, want 134", got)
		}
		heavy.Release()
		if err := <-done; err != nil || grown.Held() != 64 || r.Watched.Used() != 64 {
			t.Errorf("after others were released: got the error %v and %d units held of %d in use, want none and 64 of 64", err, grown.Held(), r.Watched.Used())
		}
		grown.Release()
		light.Release()
		if got := r.Watched.Used(); got != 0 {
			t.Errorf("in the end: got %d units in use, want 0", got)
		}
	})
}

func TestAWaitThatFailsChargesNothing(t *testing.T) {
	r := newRig()
	a := r.client(t, 1)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	full, large := r.Watch(a, "/v2/keys/a", false), r.Watch(a, "/v2/keys/b", false)
	full.Event(90 * Unit)
	large.Surplus()
	if err := large.Acquire(ended); !errors.Is(err, context.Canceled) || large.Held() != 0 {
		t.Errorf("a large wait that is canceled: got %v and %d units held, want %v and none", err, large.Held(), context.Canceled)
	}
	if large.Release(); r.Watched.Used() != 90 {
		t.Errorf("after it was released: got %d units in use, want the 90 of the other", r.Watched.Used())
	}
	full.Release()
	trees := [3]Claim{r.Read(a, "/1", true), r.Read(a, "/2", true), r.Read(a, "/3", true)}
	for i := range trees {
		if err := trees[i].Acquire(ended); (err != nil) != (i == 2) {
			t.Errorf("tree %d of two that have places: got the error %v", i+1, err)
		}
	}
	trees[2].Release()
	r.checkHeld(t, "after the one that got no place was released", 0, 16)
	trees[0].Release()
	trees[1].Release()
	r.checkHeld(t, "in the end", 0, 0)
}

func TestWithoutLimitsAWatchCostsNothing(t *testing.T) {
	var none *Limits
	c := none.Watch(nil, "/v2/keys/a", true)
	c.Surplus()
	c.Stream()
	if !c.Event(1<<40) || c.Size() != 0 || c.Held() != 0 || !c.IsFree() || c.Wanted() != 0 {
		t.Errorf("a watch without limits: got a size of %d and %d units held, want nothing", c.Size(), c.Held())
	}
}
