package bulk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"

	"etcd-tlsproxy/proxy/account"
)

// rig is limits of 100 units of bytes, ten of which are reserved for newcomers, and 16 places of
// trees, which are enough for two unknown ones.
type rig struct {
	*Limits
	table *account.Table
}

func newRig() *rig {
	table := account.NewTable()
	return &rig{NewLimits(
		table.NewPool(account.Options{Name: "bytes", Unit: Unit, Total: 100, Reserve: 10, ForNewcomers: true}),
		table.NewPool(account.Options{Name: "trees", Total: 16}),
		table.NewPool(account.Options{Name: "watched", Unit: Unit, Total: 100, Reserve: 10, ForNewcomers: true}),
	), table}
}

func (r *rig) client(t *testing.T, network byte) *account.Account {
	a := r.table.Address(netip.AddrFrom4([4]byte{10, 0, network, 1}))
	t.Cleanup(a.Close)
	return a
}

// checkHeld checks what is in use.
func (r *rig) checkHeld(t *testing.T, when string, bytes, trees int64) {
	t.Helper()
	if b, n := r.Bytes.Used(), r.Trees.Used(); b != bytes || n != trees {
		t.Errorf("%s: got %d units and %d trees in use, want %d and %d", when, b, n, bytes, trees)
	}
}

func TestAnAnswerThatIsKnownToBeLargeIsChargedBeforeItIsAskedFor(t *testing.T) {
	r := newRig()
	a := r.client(t, 1)
	first := r.Read(a, "/v2/keys/a", true)
	if first.Size() != 0 || !first.TryAcquire() {
		t.Fatalf("the first read: got an expected size of %d, want 0 and a place", first.Size())
	}
	r.checkHeld(t, "a tree of unknown size", 0, unknownTree)
	first.Began(30*Unit-5, true)
	r.checkHeld(t, "an answer that has begun", 0, 0)
	if !first.Cover() {
		t.Error("an answer of 30 of 100 units: got no room")
	}
	r.checkHeld(t, "an answer at the pace of its client", 30, 0)
	second := r.Read(a, "/v2/keys/a", true)
	if second.Size() != 30*Unit || !second.TryAcquire() {
		t.Errorf("the next read: got an expected size of %d, want %d and room", second.Size(), 30*Unit)
	}
	r.checkHeld(t, "two large answers, one of which has not begun", 60, 1)
	if alone := r.Read(a, "/v2/keys/a", false); alone.Size() != 0 || !alone.IsFree() {
		t.Errorf("a read of the key alone: got an expected size of %d, want 0", alone.Size())
	}
	third := r.Read(a, "/v2/keys/a", true)
	third.units = 31
	if third.TryAcquire() {
		t.Error("91 units for one client, where ten are reserved: got them, want a wait")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := third.Acquire(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a wait that is canceled: got %v, want %v", err, context.Canceled)
	}
	first.Release()
	second.Release()
	r.checkHeld(t, "in the end", 0, 0)
}

func TestTreesOfUnknownSizeAreBoundedInNumber(t *testing.T) {
	r := newRig()
	a := r.client(t, 1)
	claims := make([]Claim, 3)
	for i := range claims {
		claims[i] = r.Read(a, fmt.Sprintf("/v2/keys/%d", i), true)
		if got, want := claims[i].TryAcquire(), i < 2; got != want {
			t.Errorf("tree %d, where two have places: got %v, want %v", i+1, got, want)
		}
	}
	claims[0].Began(100, true)
	again := make([]Claim, 9)
	for i := range again {
		again[i] = r.Read(a, "/v2/keys/0", true)
		if got, want := again[i].TryAcquire(), i < 8; got != want {
			t.Errorf("read %d of a tree that is known to be small, where there are eight places: got %v, want %v", i+1, got, want)
		}
	}
	for i := range again {
		again[i].Release()
	}
	if !claims[2].TryAcquire() {
		t.Error("a tree when another answer has begun: got no place")
	}
	for i := range claims {
		claims[i].Release()
	}
	r.checkHeld(t, "in the end", 0, 0)
}

func TestAReadThatWaitedIsChargedWithWhatTheOneBeforeItShowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		a := r.client(t, 1)
		first, other := r.Read(a, "/v2/keys/a", true), r.Read(a, "/v2/keys/b", true)
		if !first.TryAcquire() || !other.TryAcquire() {
			t.Fatal("two trees of unknown size, where two have places: got no place")
		}
		waiting := r.Read(a, "/v2/keys/a", true)
		done := make(chan error, 1)
		go func() { done <- waiting.Acquire(t.Context()) }()
		synctest.Wait()
		first.Began(30*Unit, true)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		r.checkHeld(t, "a read that waited, and whose answer is now known to be large", 30, unknownTree+1)
		first.Release()
		other.Release()
		waiting.Release()
		r.checkHeld(t, "in the end", 0, 0)
	})
}

func TestAnAnswerThatHasBecomeSmallIsNotChargedAnyMore(t *testing.T) {
	r := newRig()
	a := r.client(t, 1)
	c := r.Read(a, "/v2/keys/a", false)
	c.Began(10*Unit, true)
	c = r.Read(a, "/v2/keys/a", false)
	if c.Size() != 10*Unit {
		t.Fatalf("a large key: got an expected size of %d, want %d", c.Size(), 10*Unit)
	}
	c.Began(Unit, true)
	if c = r.Read(a, "/v2/keys/a", false); !c.IsFree() {
		t.Errorf("a key that has become small: got an expected size of %d, want 0", c.Size())
	}
}

func TestAnAnswerLargerThanAllBytesIsSentAlone(t *testing.T) {
	r := newRig()
	a := r.client(t, 1)
	c := r.Read(a, "/v2/keys/a", false)
	c.Began(1<<40, true)
	if !c.Cover() {
		t.Fatal("an answer larger than the bound: got no room")
	}
	r.checkHeld(t, "an answer larger than the bound", 90, 0)
	other := r.Other(r.client(t, 2))
	if other.units = 10; !other.TryAcquire() {
		t.Error("an answer of another client beside it: got no room")
	}
	c.Release()
	other.Release()
	r.checkHeld(t, "in the end", 0, 0)
}

// TestAnswersAtThePaceOfTheirClientsAreBoundedInNumber is about answers that are not large, but
// for which the proxy has no memory.
func TestAnswersAtThePaceOfTheirClientsAreBoundedInNumber(t *testing.T) {
	r := newRig()
	a := r.client(t, 1)
	claims := make([]Claim, 19)
	for i := range claims {
		claims[i] = r.Read(a, "/v2/keys/a", false)
		claims[i].Began(100, true)
		if got, want := claims[i].Cover(), i < 18; got != want { // each is charged with a 16th of 90 units
			t.Errorf("answer %d, where 18 fit: got %v, want %v", i+1, got, want)
		}
	}
	for i := range claims {
		claims[i].Release()
	}
	r.checkHeld(t, "in the end", 0, 0)
}

func TestWithoutLimitsNothingIsClaimed(t *testing.T) {
	var none *Limits
	c := none.Read(nil, "/v2/keys/a", true)
	if !c.IsFree() || !c.TryAcquire() {
		t.Error("a claim without limits: got something to acquire, want nothing")
	}
	c.Began(1<<30, true)
	c.Release()
	other := none.Other(nil)
	if !other.IsFree() {
		t.Error("another claim without limits: got something to acquire, want nothing")
	}
}

func TestSizesAreRememberedUpToABound(t *testing.T) {
	r := newRig()
	const keys = 4 * numSets * setSize
	units := func(i int) int64 { return int64(i%100 + 2) }
	for i := range keys {
		hash := r.sizes.hashOf(fmt.Sprintf("/v2/keys/%d", i), false)
		r.sizes.note(hash, units(i))
		if got := r.sizes.units(hash); got != units(i) {
			t.Fatalf("a size that was just noted: got %d, want %d", got, units(i))
		}
	}
	known, large := 0, 0
	for i := range keys {
		switch got := r.sizes.units(r.sizes.hashOf(fmt.Sprintf("/v2/keys/%d", i), false)); got {
		case 0:
		case units(i):
			known++
			if got > 50 {
				large++
			}
		default:
			t.Errorf("key %d: got %d units, want %d or none", i, got, units(i))
		}
	}
	if most := numSets * setSize; known > most || known < most*9/10 || large < known*2/3 {
		t.Errorf("after %d keys: got %d sizes, %d of the larger half, want about %d, most of them large", keys, known, large, most)
	}
	hash := r.sizes.hashOf("/v2/keys/large", true)
	r.sizes.note(hash, 1<<40)
	if got := r.sizes.units(hash); got != maxUnits {
		t.Errorf("a size beyond all bounds: got %d units, want %d", got, maxUnits)
	}
}

// TestReadsThatCostNothingDoNotMakeLargeAnswersForgotten is about a client that reads many
// trees that do not exist.
func TestReadsThatCostNothingDoNotMakeLargeAnswersForgotten(t *testing.T) {
	r := newRig()
	a := r.client(t, 1)
	const large = numSets
	for i := range large {
		c := r.Read(a, fmt.Sprintf("/v2/keys/large/%d", i), i%2 == 0)
		c.Began(30*Unit, true)
	}
	known := func() (n int) {
		for i := range large {
			if c := r.Read(a, fmt.Sprintf("/v2/keys/large/%d", i), i%2 == 0); c.isLarge() {
				n++
			}
		}
		return n
	}
	before := known()
	for i := range 20 * numSets * setSize {
		c := r.Read(a, fmt.Sprintf("/v2/keys/none/%d", i), true)
		c.Began(100, true)
	}
	if after := known(); before < large*9/10 || after != before {
		t.Errorf("%d large answers: got %d known before the reads of others, and %d after them, want all that were known before", large, before, after)
	}
}

func TestAWriteIsChargedWithTheValueBeforeAndTheOneAfter(t *testing.T) {
	r := newRig()
	a := r.client(t, 1)
	value := func() int64 {
		c := r.Read(a, "/v2/keys/a", false)
		return c.Size() / Unit
	}
	form := func(units int) []byte { return make([]byte, units*Unit) } // each byte needs six in JSON
	for _, step := range []struct {
		what           string
		body           []byte
		size           int64 // of the answer
		claimed, after int64
	}{
		{"a small value", []byte("value=1"), 100, 0, 0},
		{"a large value", form(3), 18 * Unit, 18, 18},
		{"the same value", form(3), 36 * Unit, 36, 18},
		{"a write that sends no value", nil, 36 * Unit, 36, 18},
		{"a write whose answer shows no value", nil, 100, 36, 18},
		{"a comparison that fails and shows the value", []byte("value=1"), 18 * Unit, 36, 18},
		{"a value that was written by others", nil, 50 * Unit, 36, 25},
	} {
		c := r.Write(a, "/v2/keys/a", step.body)
		if c.units != step.claimed {
			t.Errorf("%s: got a claim of %d units, want %d", step.what, c.units, step.claimed)
		}
		c.Began(step.size, true)
		c.Release()
		if got := value(); got != step.after {
			t.Errorf("after %s: got a known size of %d units, want %d", step.what, got, step.after)
		}
	}
	refused := r.Read(a, "/v2/keys/a", false)
	if refused.Began(100, false); value() != 25 {
		t.Errorf("after a read that etcd refused: got a known size of %d units, want 25", value())
	}
	read := r.Read(a, "/v2/keys/a", false)
	if read.Began(100, true); value() != 0 {
		t.Errorf("after a read of a small value: got a known size of %d units, want 0", value())
	}
	var none *Limits
	if c := none.Write(nil, "/v2/keys/a", form(3)); !c.IsFree() {
		t.Error("a write without limits: got something to acquire, want nothing")
	}
}

func TestTheSizeOfAFormInJSONIsNotUnderestimated(t *testing.T) {
	for _, c := range []struct{ form, value string }{
		{"abc", "abc"}, {"<>&", "<>&"}, {"%3C%3c%00", "<<\x00"}, {"\x01\x1f\x7f", "\x01\x1f\x7f"}, {`"\"`, `"\"`}, {"\xff%ff", "\xff\xff"}, {"a+b", "a b"}, {"\u2028", "\u2028"},
	} {
		text, err := json.Marshal(c.value)
		if err != nil {
			t.Fatal(err)
		}
		if got, least := encoded([]byte(c.form)), int64(len(text)-len(`""`)); got < least {
			t.Errorf("the form %q: got %d bytes, want at least the %d of %s", c.form, got, least, text)
		}
	}
}
