package account

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestAnAccountBelowItsShareTakesFromItsOwnNetworkIfThatHasItsShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		p := table.NewPool(Options{Name: "test", Total: 100})
		flood, neighbor, other := client(table, 0, 0), client(table, 0, 1), client(table, 1, 0)
		ofOther, all := hold(t, p, other, 50, Silent), hold(t, p, flood, 50, Slow)
		// The share of each of two networks is 50, and that of each of two accounts 25.
		if got := demand(t, p, neighbor, 40, time.Minute); got != 25 {
			t.Errorf("an account got %d units, want its share of 25", got)
		}
		if mine, others := revokedOf(all), revokedOf(ofOther); mine != 25 || others != 0 {
			t.Errorf("got %d holders of the same network and %d of another revoked, want 25 and 0", mine, others)
		}
	})
}

func TestANetworkWithinItsShareGivesNothingToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		p := table.NewPool(Options{Name: "test", Total: 99})
		flood, large, small, newcomer := client(table, 0, 0), client(table, 1, 0), client(table, 1, 1), client(table, 2, 0)
		all, ofLarge := hold(t, p, flood, 69, Slow), hold(t, p, large, 25, Silent)
		hold(t, p, small, 5, Silent)
		// The second network holds 30 of its share of 33, and its larger account more than half.
		if got := demand(t, p, newcomer, 10, time.Minute); got != 10 {
			t.Errorf("a newcomer got %d units, want 10", got)
		}
		if a, b := revokedOf(all), revokedOf(ofLarge); a != 10 || b != 0 {
			t.Errorf("got %d holders of the flood and %d of the network within its share revoked, want 10 and 0", a, b)
		}
	})
}

func TestAClientWithNothingReplacesSilenceIfTheShareIsLessThanOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		p := table.NewPool(Options{Name: "test", Total: 4})
		var all []*fakeHolder
		for i := range 4 {
			all = append(all, hold(t, p, client(table, i, 0), 1, Silent)...)
		}
		if got := demand(t, p, client(table, 4, 0), 1, time.Minute); got != 1 || revokedOf(all) != 1 {
			t.Errorf("got %d units for a fifth client and %d holders revoked, want 1 and 1", got, revokedOf(all))
		}
	})
}

// stuckHolder never releases what it promised.
type stuckHolder struct{ fakeHolder }

func (h *stuckHolder) Revoke(Class) int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.revoked = true
	h.pool.Unregister(h.account, h)
	return 1
}

func TestAPromiseIsAwaitedForASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		p := table.NewPool(Options{Name: "test", Total: 10})
		flood, newcomer := client(table, 0, 0), client(table, 1, 0)
		var all []*stuckHolder
		for range 10 {
			h := &stuckHolder{fakeHolder{pool: p, account: flood, class: Silent}}
			p.TryAcquire(flood, 1, Ordinary)
			p.Register(flood, h)
			all = append(all, h)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var waiting sync.WaitGroup
		waiting.Go(func() { _ = p.Acquire(ctx, newcomer, 1, Ordinary) })
		for _, want := range []int{1, 2} {
			pass(promiseLength - reclaimEvery)
			synctest.Wait()
			revoked := 0
			for _, h := range all {
				if h.wasRevoked() {
					revoked++
				}
			}
			if counted := p.Status().Revoked; revoked != want || counted != uint64(want) {
				t.Errorf("got %d holders revoked for one unit that was not released, %d of them counted; want %d", revoked, counted, want)
			}
			pass(2 * reclaimEvery)
		}
		cancel()
		waiting.Wait()
	})
}

func TestWhatWasReleasedBeforeAReclaimIsNoPartOfItsPromise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		p := table.NewPool(Options{Name: "test", Total: 100})
		flood, newcomer := client(table, 0, 0), client(table, 1, 0)
		for range 100 {
			p.TryAcquire(flood, 1, Ordinary)
			p.Register(flood, &stuckHolder{fakeHolder{pool: p, account: flood, class: Silent}})
		}
		ctx, cancel := context.WithCancel(t.Context())
		var waiting sync.WaitGroup
		for range 5 {
			waiting.Go(func() { _ = p.Acquire(ctx, newcomer, 1, Ordinary) })
		}
		synctest.Wait() // one is promised
		for range 3 {
			p.Release(flood, 1, Ordinary)
		}
		pass(promiseLength - 2*reclaimEvery)
		if got := p.Status().Revoked; got != 3 || newcomer.Held(p) != 3 {
			t.Errorf("of five wanted units three were released, one of them as promised: got %d holders revoked and %d units granted, want 3 and 3", got, newcomer.Held(p))
		}
		cancel()
		waiting.Wait()
	})
}

func TestWhatIsReleasedKeepsOneOfSeveralPromises(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		p := table.NewPool(Options{Name: "test", Total: 100})
		flood, newcomer := client(table, 0, 0), client(table, 1, 0)
		for range 100 {
			p.TryAcquire(flood, 1, Ordinary)
			p.Register(flood, &stuckHolder{fakeHolder{pool: p, account: flood, class: Silent}})
		}
		ctx, cancel := context.WithCancel(t.Context())
		var waiting sync.WaitGroup
		for range 3 {
			waiting.Go(func() { _ = p.Acquire(ctx, newcomer, 1, Ordinary) })
		}
		pass(5 * reclaimEvery)
		p.Release(flood, 1, Ordinary)
		pass(5 * reclaimEvery)
		if got := p.Status().Revoked; got != 3 || newcomer.Held(p) != 1 {
			t.Errorf("of three promised units one was released: got %d holders revoked and %d units granted, want 3 and 1", got, newcomer.Held(p))
		}
		cancel()
		waiting.Wait()
	})
}
