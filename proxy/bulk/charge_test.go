package bulk

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"

	"etcd-tlsproxy/proxy/account"
)

func TestWhatIsWantedIsThatOfThePoolThatTheClaimNeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		a, b := r.client(t, 1), r.client(t, 2)
		tree, second := r.Read(a, "/tree", true), r.Read(a, "/other", true)
		large := r.Read(a, "/large", false)
		large.Began(15*Unit, true)
		alone := r.Read(a, "/alone", false)
		if !tree.TryAcquire() || !second.TryAcquire() || !large.TryAcquire() {
			t.Fatal("claims of an account that is alone: got no room")
		}
		waiting := r.Read(b, "/waits", true)
		done := make(chan error, 1)
		go func() { done <- waiting.Acquire(t.Context()) }()
		synctest.Wait()
		for what, c := range map[string]struct {
			claim Claim
			want  int64
		}{
			"a tree": {tree, 16}, "a large answer": {large, 15}, "one that needs nothing": {alone, 0}, "a tree that waits": {waiting.For(b), 8},
			"the tree for another client": {tree.For(b), 8}, "the large answer for another client": {large.For(b), 0},
		} {
			if got := c.claim.Wanted(); got != c.want {
				t.Errorf("%s: got %d units wanted, want %d", what, got, c.want)
			}
		}
		tree.Release()
		if err := <-done; err != nil {
			t.Error(err)
		}
		for _, c := range []*Claim{&second, &large, &waiting} {
			c.Release()
		}
		r.checkHeld(t, "in the end", 0, 0)
	})
}

func TestAClaimForAnotherAccountHoldsNothing(t *testing.T) {
	r := newRig()
	a, b := r.client(t, 1), r.client(t, 2)
	c := r.Write(a, "/large", make([]byte, 3*Unit))
	if !c.TryAcquire() {
		t.Fatal("a write of 18 units: got no room")
	}
	other := c.For(b)
	if other.Account() != b || other.Pool() != r.Bytes || other.Held() != 0 || other.Size() != 18*Unit {
		t.Errorf("the claim for another account: got %d units held and a size of %d, want none and %d", other.Held(), other.Size(), 18*Unit)
	}
	if other.Release(); r.Bytes.Used() != 18 {
		t.Errorf("after it was released: got %d units in use, want the 18 of the first", r.Bytes.Used())
	}
	if other.Refresh(); other.Size() != 36*Unit {
		t.Errorf("looked up again: got a size of %d, want that of the value before and of the one after", other.Size())
	}
	c.Release()
	r.checkHeld(t, "in the end", 0, 0)
}

func TestAcquiringTwiceChargesOnce(t *testing.T) {
	r := newRig()
	a := r.client(t, 1)
	c := r.Read(a, "/a", true)
	for range 2 {
		if !c.TryAcquire() {
			t.Error("a tree of unknown size: got no place")
		}
		r.checkHeld(t, "a tree of unknown size", 0, 8)
	}
	c.Began(90*Unit, true)
	for range 2 {
		if !c.Cover() {
			t.Error("an answer of all units: got no room")
		}
		r.checkHeld(t, "a large answer that has begun", 90, 0)
	}
	c.Release()
	c.Release()
	for range 2 {
		if !c.TryAcquire() {
			t.Error("an answer of all units, asked for again: got no room")
		}
		r.checkHeld(t, "a large answer that has not begun", 90, 3)
	}
	c.Release()
	small := r.Read(a, "/b", true)
	small.Began(100, true)
	for range 2 {
		if small.Refresh(); !small.TryAcquire() {
			t.Error("a tree that is known to be small: got no place")
		}
		r.checkHeld(t, "a tree that is known to be small", 0, 1)
	}
	small.Release()
	r.checkHeld(t, "in the end", 0, 0)
}

func TestWhoHasWaitedForAPlaceKeepsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		a := r.client(t, 1)
		full := [2]Claim{r.Read(a, "/1", true), r.Read(a, "/2", true)}
		if !full[0].TryAcquire() || !full[1].TryAcquire() {
			t.Fatal("two trees of unknown size: got no places")
		}
		waiting := r.Read(a, "/3", true)
		done, next := make(chan error, 1), make(chan error, 1)
		go func() { done <- waiting.Acquire(t.Context()) }()
		synctest.Wait()
		go func() { next <- r.Trees.Acquire(t.Context(), a, 8, account.Ordinary) }()
		synctest.Wait()
		full[0].Release()
		synctest.Wait()
		if len(done) != 1 || len(next) != 0 {
			t.Errorf("after the places of one tree were released: got %d reads with places and %d behind it, want the first to wait alone", len(done), len(next))
		}
		full[1].Release()
		for _, c := range []chan error{done, next} {
			if err := <-c; err != nil {
				t.Error(err)
			}
		}
		waiting.Release()
		r.Trees.Release(a, 8, account.Ordinary)
		r.checkHeld(t, "in the end", 0, 0)
	})
}

func TestWhatNeedsNothingOrHasRoomDoesNotWait(t *testing.T) {
	r := newRig()
	a := r.client(t, 1)
	ended, cancel := context.WithCancel(context.Background())
	cancel() // a wait would fail
	var none *Limits
	withoutLimits, alone, large := none.Read(a, "/a", true), r.Read(a, "/a", false), r.Read(a, "/b", false)
	large.Began(20*Unit, true)
	for what, c := range map[string]*Claim{"a claim without limits": &withoutLimits, "a read of one key": &alone, "a large one that has room": &large} {
		if err := c.Acquire(ended); err != nil {
			t.Errorf("%s: got the error %v, want none", what, err)
		}
	}
	r.checkHeld(t, "with room for all", 20, 1)
	large.Release()
	if withoutLimits.Began(1<<30, true); withoutLimits.Size() != 0 {
		t.Errorf("an answer without limits has begun: got a size of %d, want 0", withoutLimits.Size())
	}
}

func TestASmallAnswerThatWasExpectedChangesNothingThatIsRemembered(t *testing.T) {
	r := newRig()
	a := r.client(t, 1)
	early, late := r.Read(a, "/a", false), r.Read(a, "/a", false)
	early.Began(20*Unit, true)
	late.Began(100, true)
	if next := r.Read(a, "/a", false); next.Size() != 20*Unit {
		t.Errorf("after a large and a small answer to reads at the same time: got an expected size of %d, want %d", next.Size(), 20*Unit)
	}
}

// An answer of less than two units is not charged, because the number of requests bounds it.
func TestAnAnswerOfMoreThan64KiBIsLarge(t *testing.T) {
	for _, c := range []struct{ size, want int64 }{{0, 0}, {1, 0}, {65536, 0}, {65537, 2 * 65536}, {2 * 65536, 2 * 65536}, {2*65536 + 1, 3 * 65536}} {
		r := newRig()
		first := r.Read(r.client(t, 1), "/a", false)
		first.Began(c.size, true)
		next := r.Read(r.client(t, 2), "/a", false)
		if first.Size() != c.want || next.Size() != c.want || next.IsFree() != (c.want == 0) {
			t.Errorf("a key of %d bytes: got sizes of %d and %d, want %d", c.size, first.Size(), next.Size(), c.want)
		}
	}
}

func TestATreeThatIsEmptyIsKnownToBeSmall(t *testing.T) {
	r := newRig()
	a := r.client(t, 1)
	c := r.Read(a, "/a", true)
	c.Began(0, true)
	if next := r.Read(a, "/a", true); next.wantedPlaces() != 1 {
		t.Errorf("a tree that was empty: got %d places wanted, want 1", next.wantedPlaces())
	}
}

func TestWhereThereAreFewPlacesATreeOfUnknownSizeTakesAllOfThem(t *testing.T) {
	table := account.NewTable()
	r := &rig{NewLimits(table.NewPool(account.Options{Name: "bytes", Total: 10}), table.NewPool(account.Options{Name: "trees", Total: 4}), nil), table}
	a := r.client(t, 1)
	c := r.Read(a, "/a", true)
	if !c.TryAcquire() {
		t.Error("a tree of unknown size: got no place")
	}
	r.checkHeld(t, "where there are four places", 0, 4)
	c.Release()
	many := &rig{NewLimits(table.NewPool(account.Options{Name: "bytes", Total: 10}), table.NewPool(account.Options{Name: "trees", Total: 30}), nil), table}
	// A part of the bytes for each place would be less than one unit.
	if c = many.Read(a, "/b", false); !c.Cover() {
		t.Error("an answer at the pace of its client: got no room")
	}
	many.checkHeld(t, "an answer at the pace of its client, where there are more places than units", 1, 0)
	c.Release()
}

func TestAnAnswerAtThePaceOfItsClientCostsItsPartOrItsSize(t *testing.T) {
	r := newRig()
	a := r.client(t, 1)
	for size, want := range map[int64]int64{100: 5, 5 * Unit: 5, 6 * Unit: 6} { // a 16th of 90 units
		c := r.Read(a, "/a", false)
		c.Began(size, true)
		c.Stream()
		r.checkHeld(t, "before it is covered", 0, 0)
		if !c.Cover() || c.Held() != want {
			t.Errorf("an answer of %d bytes: got %d units held, want %d", size, c.Held(), want)
		}
		c.Release()
	}
}

func TestTheSizeOfAnAnswerWithoutANameIsNotRemembered(t *testing.T) {
	r := newRig()
	c := r.Other(r.client(t, 1))
	if !c.IsFree() {
		t.Error("a request whose answer is usually small: got something to acquire, want nothing")
	}
	if c.Began(30*Unit, true); c.Size() != 30*Unit {
		t.Errorf("its answer has begun: got a size of %d, want %d", c.Size(), 30*Unit)
	}
	for i := range r.sizes.sets[0] {
		if word := r.sizes.sets[0][i].Load(); word != 0 {
			t.Errorf("an answer without a name: got %#x remembered, want nothing", word)
		}
	}
	if c.Refresh(); c.Size() != 30*Unit {
		t.Errorf("looked up again: got a size of %d, want it unchanged", c.Size())
	}
}

func TestTheSizeOfAValueIsKnownAsSoonAsItIsSent(t *testing.T) {
	r := newRig()
	a := r.client(t, 1)
	known := func() int64 {
		c := r.Read(a, "/a", false)
		return c.Size() / Unit
	}
	for _, step := range []struct {
		body  int // bytes, each of which needs six in JSON
		units int64
	}{{10922, 0}, {10923, 2}, {3 * Unit, 18}, {2 * Unit, 18}, {0, 18}} {
		r.Write(a, "/a", make([]byte, step.body))
		if got := known(); got != step.units {
			t.Errorf("a form of %d bytes is sent: got a known size of %d units, want %d", step.body, got, step.units)
		}
	}
	for answer, want := range map[int64]int64{36 * Unit: 18, 37 * Unit: 19} {
		c := r.Write(a, "/a", nil)
		if c.Began(answer, true); known() != want {
			t.Errorf("after an answer with two values of %d bytes: got a known size of %d units, want %d", answer, known(), want)
		}
		first := r.Read(a, "/a", false)
		first.Began(18*Unit, true)
	}
	for answer, want := range map[int64]int64{2 * Unit: 0, 3 * Unit: 2, 4 * Unit: 2} {
		small := r.Write(a, "/b", []byte("value=1"))
		small.Began(answer, true)
		c := r.Read(a, "/b", false)
		if c.Size() != want*Unit {
			t.Errorf("after an answer of %d bytes with two values: got an expected size of %d, want %d", answer, c.Size(), want*Unit)
		}
		c.Began(0, true)
	}
}

// A value of one unit is not large, and neither is an answer with two of them.
func TestAWriteOfUpToOneUnitIsNotCharged(t *testing.T) {
	r := newRig()
	a := r.client(t, 1)
	for size, want := range map[int]int64{10922: 0, 10923: 1, 65536: 1, 65537: 2} {
		for range 2 { // the first of two large ones makes the value known
			c := r.Write(a, "/a", bytes.Repeat([]byte("a"), size))
			if c.Size() != want*Unit || c.IsFree() != (want < 2) {
				t.Errorf("a form of %d bytes: got a claim of %d bytes, want %d", size, c.Size(), want*Unit)
			}
			if want == 2 {
				want = 4
			}
		}
		forget := r.Read(a, "/a", false)
		forget.Began(0, true)
	}
}

func TestTheSizeOfAFormInJSONIsNotOverestimatedEither(t *testing.T) {
	for form, want := range map[string]int64{"": 0, "a": 1, " ": 1, "~": 1, "%3C": 6, "%41": 6, "<": 6, ">": 6, "&": 6, "\x1f": 6, "\x7f": 6, `"`: 2, `\`: 2, "ab<": 8} {
		if got := encoded([]byte(form)); got != want {
			t.Errorf("the form %q: got %d bytes, want %d", form, got, want)
		}
	}
}

func TestAReadThatTurnsOutToBeLargeWhileItWaitsCanBeGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		a := r.client(t, 1)
		full, first, other := r.Other(a), r.Read(a, "/a", true), r.Read(a, "/b", true)
		full.units = 90
		if !full.Cover() || !first.TryAcquire() || !other.TryAcquire() {
			t.Fatal("all bytes and places: got no room")
		}
		ctx, cancel := context.WithCancel(t.Context())
		waiting := r.Read(a, "/a", true)
		done := make(chan error, 1)
		go func() { done <- waiting.Acquire(ctx) }()
		synctest.Wait()
		first.Began(30*Unit, true)
		synctest.Wait()
		if len(done) != 0 || r.Bytes.Wanted(a) != 90+30 {
			t.Errorf("a read whose answer is large now: got %d units held and waited for, want a wait for 30 beside 90", r.Bytes.Wanted(a))
		}
		r.checkHeld(t, "while it waits", 90, 8)
		cancel()
		if err := <-done; err == nil || waiting.Held() != 0 {
			t.Errorf("a read that is given up: got the error %v and %d units held, want an error and none", err, waiting.Held())
		}
		for _, c := range []*Claim{&waiting, &full, &other} {
			c.Release()
		}
		r.checkHeld(t, "in the end", 0, 0)
	})
}
