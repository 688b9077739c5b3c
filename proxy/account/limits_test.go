package account

import (
	"context"
	"errors"
	"math"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// TestAPoolThatIsNotNearlyFullNeedsNoLock holds the lock meanwhile.
func TestAPoolThatIsNotNearlyFullNeedsNoLock(t *testing.T) {
	table := NewTable()
	for _, c := range []struct{ total, reserve, fast int64 }{{8, 0, 6}, {8, 4, 4}, {100, 10, 75}} {
		p := table.NewPool(Options{Name: "test", Total: c.total, Reserve: c.reserve})
		a := client(table, 0, 0)
		done := make(chan error, 1)
		p.mu.Lock()
		go func() {
			for range 3 {
				for range c.fast - 1 {
					if !p.TryAcquire(a, 1, Ordinary) {
						done <- errors.New("a unit was refused")
						return
					}
				}
				if err := p.Acquire(context.Background(), a, 1, Ordinary); err != nil {
					done <- err
					return
				}
				for range c.fast {
					p.Release(a, 1, Ordinary)
				}
			}
			done <- nil
		}()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("acquiring %d of %d units with a reserve of %d: got the error %v, want none", c.fast, c.total, c.reserve, err)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("acquiring %d of %d units with a reserve of %d: it waits for the lock", c.fast, c.total, c.reserve)
		}
		p.mu.Unlock()
		if got := p.fast.Load(); got != c.fast {
			t.Errorf("units of %d with a reserve of %d that are acquired without the lock: got %d, want %d", c.total, c.reserve, got, c.fast)
		}
	}
}

func TestResizingServesThoseWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		p := table.NewPool(Options{Name: "test", Total: 1})
		a := client(table, 0, 0)
		p.TryAcquire(a, 1, Ordinary)
		done := make(chan error, 1)
		go func() { done <- p.Acquire(t.Context(), a, 1, Ordinary) }()
		synctest.Wait()
		p.Resize(2, 0)
		synctest.Wait()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("a waiter after the pool grew: got the error %v, want its unit", err)
			}
		default:
			t.Fatal("a waiter after the pool grew: it waits, want its unit")
		}
		// A pool that shrank grants nothing until enough was released.
		p.Resize(1, 0)
		p.Release(a, 1, Ordinary)
		if p.TryAcquire(a, 1, Ordinary) {
			t.Error("acquiring from a pool of one unit that is in use: got it, want a refusal")
		}
		p.Release(a, 1, Ordinary)
		if !p.TryAcquire(a, 1, Ordinary) {
			t.Error("acquiring from a pool of one unit that is free: got a refusal, want it")
		}
		p.Release(a, 1, Ordinary)
	})
}

func TestTotalsAndReservesBeyondTheirBounds(t *testing.T) {
	for _, c := range []struct{ total, reserve, wantTotal, wantReserve int64 }{
		{10, 3, 10, 3}, {10, 100, 10, 9}, {10, -1, 10, 0}, {1, 5, 1, 0}, {0, 0, 1, 0}, {-5, 0, 1, 0}, {math.MaxInt64, 1, math.MaxInt32, 1},
	} {
		p := NewTable().NewPool(Options{Name: "test", Total: c.total, Reserve: c.reserve})
		if s := p.Status(); s.Total != c.wantTotal || s.Reserve != c.wantReserve {
			t.Errorf("a pool of %d with a reserve of %d: got %d and %d, want %d and %d", c.total, c.reserve, s.Total, s.Reserve, c.wantTotal, c.wantReserve)
		}
	}
}

func TestATableHasUpTo16PoolsInTheirOrder(t *testing.T) {
	table := NewTable()
	for range 16 {
		table.NewPool(Options{Name: "test", Total: 1})
	}
	for i, p := range table.Pools() {
		if p.index != i {
			t.Errorf("pool %d: got the index %d", i, p.index)
		}
	}
	if got := len(table.Pools()); got != 16 {
		t.Errorf("pools of the table: got %d, want 16", got)
	}
	defer func() {
		if recover() == nil {
			t.Error("adding a seventeenth pool did not panic")
		}
	}()
	table.NewPool(Options{Name: "test", Total: 1})
}

func TestUpTo1024RequestsWaitUnlessOtherwiseConfigured(t *testing.T) {
	for configured, want := range map[int]int{0: 1024, 1: 1, 3: 3} {
		synctest.Test(t, func(t *testing.T) {
			table := NewTable()
			p := table.NewPool(Options{Name: "test", Total: 1, Queue: configured})
			a := client(table, 0, 0)
			p.TryAcquire(a, 1, Write)
			ctx, cancel := context.WithCancel(t.Context())
			results := make(chan error, want+1)
			for range want + 1 {
				go func() { results <- p.Acquire(ctx, a, 1, Ordinary) }()
			}
			synctest.Wait()
			if err := <-results; err != ErrBusy || len(results) != 0 { //nolint:errorlint // the error itself is promised
				t.Errorf("request %d with Queue %d: got %v and %d other results, want %v and none", want+1, configured, err, len(results), ErrBusy)
			}
			cancel()
			for range want {
				<-results
			}
			p.Release(a, 1, Write)
		})
	}
}

func TestTheStatusIsInTheUnitOfThePool(t *testing.T) {
	for unit, want := range map[int64]int64{0: 1, 1: 1, 512: 512} {
		table := NewTable()
		p := table.NewPool(Options{Name: "test", Unit: unit, Total: 10, Reserve: 2})
		a := table.User("conftool", netip.MustParseAddr("192.0.2.1"))
		p.TryAcquire(a, 3, Ordinary)
		if s := p.Status(); s.Used != 3*want || s.Total != 10*want || s.Reserve != 2*want {
			t.Errorf("the status with the unit %d: got %+v, want it multiplied by %d", unit, s, want)
		}
		if top := p.Top(1); len(top) != 1 || top[0].Used != 3*want || top[0].Account != "conftool from 192.0.2.0/24" || top[0].Network != "192.0.2.0/24" {
			t.Errorf("the largest account with the unit %d: got %+v, want conftool from 192.0.2.0/24 with %d", unit, top, 3*want)
		}
	}
}

func TestHoldersOfOtherPoolsAreLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		p, other := table.NewPool(Options{Name: "test", Total: 10}), table.NewPool(Options{Name: "other", Total: 10})
		flood, newcomer := client(table, 0, 0), client(table, 1, 0)
		all, elsewhere := hold(t, p, flood, 10, Slow), hold(t, other, flood, 10, Silent)
		if got := demand(t, p, newcomer, 5, time.Minute); got != 5 || revokedOf(all) != 5 || revokedOf(elsewhere) != 0 {
			t.Errorf("a newcomer: got %d units, %d holders of its pool and %d of another revoked; want 5, 5 and 0", got, revokedOf(all), revokedOf(elsewhere))
		}
	})
}

func TestALeaseThatWaitsChargesWhatItGrowsBy(t *testing.T) {
	table := NewTable()
	p := table.NewPool(Options{Name: "bytes", Total: 1024})
	lease := NewLease(p, client(table, 0, 0), Ordinary)
	for _, c := range []struct{ more, bytes, units, used int64 }{
		{0, 0, 0, 0}, {1, 1, 1, 16}, {1023, 1024, 1, 16}, {1, 1025, 2, 16}, {15<<10 - 1, 16 << 10, 16, 16}, {1, 16<<10 + 1, 17, 32}, {0, 16<<10 + 1, 17, 32},
	} {
		if err := lease.Grow(t.Context(), c.more); err != nil {
			t.Fatalf("growing by %d: got the error %v, want none", c.more, err)
		}
		if lease.Bytes() != c.bytes || lease.Units() != c.units || p.Used() != c.used {
			t.Errorf("after growing by %d: got %d bytes, %d units and %d units in use; want %d, %d and %d", c.more, lease.Bytes(), lease.Units(), p.Used(), c.bytes, c.units, c.used)
		}
	}
	lease.Close()
	if lease.Close(); lease.Bytes() != 0 || p.Used() != 0 {
		t.Errorf("after the lease was closed twice: got %d bytes and %d units in use, want none", lease.Bytes(), p.Used())
	}
}
