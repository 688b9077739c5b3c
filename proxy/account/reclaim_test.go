package account

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func TestWhoHoldsMoreThanItsShareGivesFirstAndOnlyDownToItsShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		p := table.NewPool(Options{Name: "test", Total: 90})
		flood, modest, newcomer := client(table, 0, 0), client(table, 1, 0), client(table, 2, 0)
		of := hold(t, p, modest, 20, Silent)
		all := hold(t, p, flood, 70, Slow)
		// Three networks: the share is 30.
		if got := demand(t, p, newcomer, 60, time.Minute); got != 30 {
			t.Errorf("the newcomer got %d units, want its share of 30", got)
		}
		if n := revokedOf(of); n != 0 {
			t.Errorf("%d holders of an account below its share were revoked, want none", n)
		}
		if n := revokedOf(all); n != 30 {
			t.Errorf("%d holders of the flood were revoked, want 30", n)
		}
	})
}

func TestHoldersAreRevokedInTheOrderOfTheirClasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		p := table.NewPool(Options{Name: "test", Total: 100})
		flood, newcomer := client(table, 0, 0), client(table, 1, 0)
		var byClass [Busy + 1][]*fakeHolder
		for class, n := range [...]int{Busy: 55, Watching: 10, Slow: 10, Stalled: 15, Silent: 10} {
			byClass[class] = hold(t, p, flood, n, Class(class))
		}
		total := 0
		for _, want := range [][Busy + 1]int{{5}, {10, 10}, {10, 15, 5}, {10, 15, 10, 5}, {10, 15, 10, 10, 0}} {
			sum := 0
			for _, n := range want {
				sum += n
			}
			if got := demand(t, p, newcomer, sum-total, time.Minute); got != sum-total {
				t.Errorf("the newcomer wanted %d more units and got %d", sum-total, got)
			}
			total = sum
			var got [Busy + 1]int
			for class, all := range byClass {
				got[class] = revokedOf(all)
			}
			if got != want {
				t.Errorf("after %d units were wanted: got %v revoked by class, want %v", total, got, want)
			}
		}
		// Now the flood has only what is busy, and is above its share.
		if got := demand(t, p, newcomer, 1, time.Minute); got != 0 || revokedOf(byClass[Busy]) != 0 {
			t.Errorf("got %d units for the newcomer and %d busy holders revoked, want 0 and 0", got, revokedOf(byClass[Busy]))
		}
	})
}

func TestAccountsThatProvedAPasswordGiveLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		p := table.NewPool(Options{Name: "test", Total: 120})
		fleet, flood, newcomer := client(table, 0, 0), client(table, 1, 0), client(table, 2, 0)
		fleet.Proved()
		// The share is 40. The fleet is the largest, and all of it is silent.
		ofFleet, ofFlood := hold(t, p, fleet, 70, Silent), hold(t, p, flood, 50, Watching)
		for _, want := range [][2]int{{0, 10}, {30, 10}} {
			demand(t, p, newcomer, want[0]+want[1]-int(newcomer.Held(p)), time.Minute)
			if got := [2]int{revokedOf(ofFleet), revokedOf(ofFlood)}; got != want {
				t.Errorf("got %d holders revoked of the fleet and %d of the flood, want %d and %d", got[0], got[1], want[0], want[1])
			}
		}
	})
}

func TestHoldersAreRevokedAtABoundedRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		p := table.NewPool(Options{Name: "test", Total: 1000})
		flood, newcomer := client(table, 0, 0), client(table, 1, 0)
		all := hold(t, p, flood, 1000, Silent)
		ctx, cancel := context.WithCancel(t.Context())
		var waiting sync.WaitGroup
		for range 400 {
			waiting.Go(func() { _ = p.Acquire(ctx, newcomer, 1, Ordinary) })
		}
		synctest.Wait()
		for before := revokedOf(all); before < 100; {
			pass(reclaimEvery)
			synctest.Wait()
			got := revokedOf(all)
			if got != before+10 {
				t.Fatalf("within %v: got %d holders revoked, want 10, a hundredth of the total", reclaimEvery, got-before)
			}
			before = got
		}
		cancel()
		waiting.Wait()
	})
}

func TestAnAccountWhoseConnectionWasCutPausesForASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		p := table.NewPool(Options{Name: "test", Total: 10, Connections: true})
		flood, newcomer := client(table, 0, 0), client(table, 1, 0)
		hold(t, p, flood, 10, Silent)
		if got := flood.Pause(); got != 0 {
			t.Errorf("before anything was revoked: got a pause of %v, want none", got)
		}
		demand(t, p, newcomer, 1, time.Minute)
		if got := flood.Pause(); got != time.Second {
			t.Errorf("after a holder was revoked: got a pause of %v, want %v", got, time.Second)
		}
		for range 9 {
			p.Release(flood, 1, Ordinary)
		}
		flood.Close()
		pass(400 * time.Millisecond)
		again := client(table, 0, 0)
		if again == flood {
			t.Fatal("the account was kept although nobody used it")
		}
		if got := again.Pause(); got != 600*time.Millisecond {
			t.Errorf("after the client has returned: got a pause of %v, want 600ms", got)
		}
		pass(600 * time.Millisecond)
		if got := again.Pause(); got != 0 {
			t.Errorf("after a second: got a pause of %v, want none", got)
		}
	})
}

func TestAnAccountExchangesWhatIsSilentForSomethingNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		p := table.NewPool(Options{Name: "test", Total: 10})
		a := client(table, 0, 0)
		silent, watching := hold(t, p, a, 3, Silent), hold(t, p, a, 7, Watching)
		if got := demand(t, p, a, 5, time.Minute); got != 3 {
			t.Errorf("the account got %d units, want the 3 that were silent", got)
		}
		if s, w := revokedOf(silent), revokedOf(watching); s != 3 || w != 0 {
			t.Errorf("got %d silent and %d watching holders revoked, want 3 and 0", s, w)
		}
		if got := a.Pause(); got != 0 {
			t.Errorf("an account that gave to itself: got a pause of %v, want none", got)
		}
	})
}

func TestARunningWatchDoesNotEndForAnotherIfTheShareIsLessThanOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		p := table.NewPool(Options{Name: "test", Total: 4})
		var all []*fakeHolder
		for i := range 4 {
			all = append(all, hold(t, p, client(table, i, 0), 1, Watching)...)
		}
		if got := demand(t, p, client(table, 4, 0), 1, time.Minute); got != 0 || revokedOf(all) != 0 {
			t.Errorf("got %d units for a fifth client and %d holders revoked, want 0 and 0", got, revokedOf(all))
		}
	})
}

func TestNothingIsRevokedWithoutNeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(struct{ rapid.TB }{t}, func(t *rapid.T) {
			table := NewTable()
			total := rapid.IntRange(2, 60).Draw(t, "total")
			p := table.NewPool(Options{Name: "test", Total: int64(total)})
			type heldClient struct {
				*Account
				all []*fakeHolder
			}
			var clients []*heldClient
			left := total
			for i := range rapid.IntRange(1, 8).Draw(t, "clients") {
				c := &heldClient{Account: client(table, rapid.IntRange(0, 3).Draw(t, "network"), i)}
				n := rapid.IntRange(0, left).Draw(t, "held")
				left -= n
				c.all = hold(t, p, c.Account, n, rapid.SampledFrom([]Class{Silent, Stalled, Slow, Watching, Busy}).Draw(t, "class"))
				clients = append(clients, c)
			}
			newcomer := client(table, rapid.IntRange(0, 5).Draw(t, "network of the newcomer"), 99)
			wanted := rapid.IntRange(1, total).Draw(t, "wanted")
			var waiting sync.WaitGroup
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			for range wanted {
				waiting.Go(func() { _ = p.Acquire(ctx, newcomer, 1, Ordinary) })
			}
			waiting.Wait()
			revoked := 0
			for _, c := range clients {
				n := revokedOf(c.all)
				revoked += n
				held := c.Held(p)
				p.mu.Lock() // a timer of the pool may reclaim meanwhile
				p.surveyAll(time.Now())
				networks, accounts := p.sharers(c.Account)
				keeps := p.keeps(c.Account)
				p.mu.Unlock()
				if n > 0 && int64(len(c.all))*networks*accounts <= p.total {
					t.Errorf("account %s held %d of %d, one of %d networks and of %d accounts in its own: %d holders were revoked, want none", c, len(c.all), total, networks, accounts, n)
				}
				if n > 0 && held < keeps-1 {
					t.Errorf("account %s has %d units left after %d were revoked, want at least its share, %d", c, held, n, keeps)
				}
			}
			if got := int(newcomer.Held(p)); revoked > max(0, got-left) {
				t.Errorf("%d holders were revoked for %d units, of which %d were free", revoked, got, left)
			}
		})
	})
}

func TestReclaimTakesFromAccountsAboveTheirShareWhatIsSilentFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		p := table.NewPool(Options{Name: "test", Total: 1000})
		flood, modest := client(table, 0, 0), client(table, 1, 0)
		all := hold(t, p, flood, 505, Slow)
		silent, watching := hold(t, p, modest, 4, Silent), hold(t, p, modest, 400, Watching)
		if got := p.Reclaim(50); got != 10 {
			t.Errorf("reclaiming: got %d units, want 10", got)
		}
		if got := [3]int{revokedOf(all), revokedOf(silent), revokedOf(watching)}; got != [3]int{6, 4, 0} {
			t.Errorf("got %v revoked of the flood, the silent and the watching, want [6 4 0]", got)
		}
		if got := p.Status().Revoked; got != 10 {
			t.Errorf("the status: got %d holders revoked, want 10", got)
		}
	})
}

// TestReclaimTakesFromWhoHoldsMostOfWhatIsInUse has a pool that is far from full.
func TestReclaimTakesFromWhoHoldsMostOfWhatIsInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		p := table.NewPool(Options{Name: "test", Total: 10_000})
		flood := client(table, 0, 0)
		alone := hold(t, p, flood, 100, Watching)
		if got := p.Reclaim(100); got != 50 || revokedOf(alone) != 50 {
			t.Errorf("reclaiming from one account alone: got %d units of %d holders, want half of what it has, 50", got, revokedOf(alone))
		}
		synctest.Wait()
		modest := hold(t, p, client(table, 1, 0), 10, Silent)
		if got := p.Reclaim(100); got != 30 || revokedOf(modest) != 0 {
			t.Errorf("reclaiming while another one holds 10 of 60: got %d units, %d of them of the other, want 30 and none", got, revokedOf(modest))
		}
	})
}
