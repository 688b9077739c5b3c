package account

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

// The holders of these tests are busy, so that a waiter changes nothing.

// waitIn makes an account wait for n units, in one call, until the test ends.
func waitIn(t *testing.T, p *Pool, a *Account, n int64) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if p.Acquire(ctx, a, n, Ordinary) == nil {
			t.Errorf("account %s got %d units, want it to wait", a, n)
		}
	}()
	synctest.Wait()
	t.Cleanup(func() { cancel(); <-done })
}

// planned returns the plan to revoke up to so many units for those that wait.
func planned(p *Pool, need int64) *plan {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.surveyAll(p.usages.due)
	return p.planFor(need)
}

// describe returns the donors of a plan in their order.
func (pl *plan) describe() (text string) {
	slices.SortFunc(pl.donors, donor.order)
	for _, d := range pl.donors {
		text += fmt.Sprintf("%s excess %d", d.account, d.excess)
		if d.forOther {
			text += " for others"
		}
		if d.onlySilent {
			text += " only silent"
		}
		text += "; "
	}
	return text
}

func TestAPlanRevokesNoMoreThanIsNeededOrAHundredthOfThePool(t *testing.T) {
	for _, c := range []struct{ total, need, want int64 }{
		{1000, 5, 5}, {1000, 10, 10}, {1000, 11, 10}, {99, 5, 1}, {10, 5, 1}, {10, 0, 0}, {10, -3, -3},
	} {
		p := NewTable().NewPool(Options{Name: "test", Total: c.total})
		if got := planned(p, c.need).quota; got != c.want {
			t.Errorf("the quota of a pool of %d for %d units: got %d, want %d", c.total, c.need, got, c.want)
		}
	}
}

func TestWaitersGetUpToTheirShareFromOthersAndFromTheirNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		p := table.NewPool(Options{Name: "test", Total: 90})
		flood, second, newcomer := client(table, 0, 0), client(table, 1, 0), client(table, 2, 0)
		neighbor := client(table, 1, 1)
		hold(t, p, flood, 60, Busy)
		hold(t, p, second, 24, Busy)
		hold(t, p, neighbor, 6, Busy)
		// Each network's share is 30, and that of each account of the second network 15.
		waitIn(t, p, newcomer, 20)
		waitIn(t, p, neighbor, 20)
		pl := planned(p, 90)
		if pl.any != 20 || pl.in[newcomer.key.network] != 0 || pl.in[neighbor.key.network] != 9 {
			t.Errorf("the plan: got %d units for networks below their share and %d and %d within the networks, want 20, 0 and 9",
				pl.any, pl.in[newcomer.key.network], pl.in[neighbor.key.network])
		}
		if !slices.Contains(pl.exchange, newcomer) || !slices.Contains(pl.exchange, neighbor) || len(pl.exchange) != 2 {
			t.Errorf("accounts that may exchange: got %v, want the two that wait", pl.exchange)
		}
	})
}

func TestAWaiterGetsNoMoreThanItsNetworkLacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		p := table.NewPool(Options{Name: "test", Total: 90})
		flood, second := client(table, 0, 0), client(table, 1, 0)
		neighbor := client(table, 1, 1)
		hold(t, p, flood, 50, Busy)
		hold(t, p, second, 40, Busy)
		// Each network's share is 45, and that of each account of the second network 22.
		waitIn(t, p, neighbor, 30)
		pl := planned(p, 90)
		if pl.any != 5 || pl.in[neighbor.key.network] != 17 {
			t.Errorf("the plan: got %d units from others and %d within the network, want 5 and 17", pl.any, pl.in[neighbor.key.network])
		}
		if got, want := pl.describe(), "10.0.0.0 excess 5 for others; 10.0.1.0 excess 18; "; got != want {
			t.Errorf("accounts above their share: got %q, want %q", got, want)
		}
	})
}

func TestAClientWithNothingGetsOneUnitHoweverManyShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		p := table.NewPool(Options{Name: "test", Total: 4})
		for i := range 4 {
			hold(t, p, client(table, i, 0), 1, Busy)
		}
		newcomer := client(table, 4, 0)
		waitIn(t, p, newcomer, 3)
		pl := planned(p, 90)
		if pl.any != 1 || pl.in[newcomer.key.network] != 0 {
			t.Errorf("the plan where a share is less than one: got %d units from others and %d within the network, want 1 and 0", pl.any, pl.in[newcomer.key.network])
		}
		for _, d := range pl.donors {
			if d.excess != 1 || !d.onlySilent || !d.forOther {
				t.Errorf("a donor of one unit where the share is less than one: got excess %d, only silent %t, for others %t; want 1, true, true", d.excess, d.onlySilent, d.forOther)
			}
		}
		if len(pl.donors) != 4 {
			t.Errorf("donors: got %d, want 4", len(pl.donors))
		}
	})
}

func TestWhoIsAboveItsShareAndByHowMuch(t *testing.T) {
	for what, c := range map[string]struct {
		total int64
		held  [][]int // by network and account
		want  string
	}{
		"exactly the share":                    {12, [][]int{{6}, {6}}, ""},
		"one above it":                         {12, [][]int{{7}, {5}}, "10.0.0.0 excess 1 for others; "},
		"the network with most, then accounts": {12, [][]int{{1, 3}, {5, 3}}, "10.0.1.0 excess 2 for others; "},
		"two networks above":                   {30, [][]int{{2}, {12}, {16}}, "10.0.2.0 excess 6 for others; 10.0.1.0 excess 2 for others; "},
		"two accounts above":                   {30, [][]int{{2}, {12, 16}}, "10.0.1.1 excess 9 for others; 10.0.1.0 excess 5 for others; "},
		"a network at its share":               {24, [][]int{{10, 2}, {12}}, "10.0.0.0 excess 4; "},
		"less than one for each":               {4, [][]int{{1}, {2}, {1}, {}, {}}, "10.0.1.0 excess 1 for others; "},
		"an account that is alone":             {2, [][]int{{2}, {}, {}, {}}, ""},
	} {
		table := NewTable()
		p := table.NewPool(Options{Name: "test", Total: c.total})
		for network, accounts := range c.held {
			for i, n := range accounts {
				hold(t, p, client(table, network, i), n, Slow)
			}
		}
		if got := planned(p, 1).describe(); got != c.want {
			t.Errorf("donors with %s: got %q, want %q", what, got, c.want)
		}
	}
}

// A running watch ends for another only if its account has more than one.
func TestOnlySilenceIsTakenOfALastUnit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		p := table.NewPool(Options{Name: "test", Total: 3})
		two, one := client(table, 0, 0), client(table, 1, 0)
		hold(t, p, two, 2, Busy)
		hold(t, p, one, 1, Busy)
		for i := range 2 {
			waitIn(t, p, client(table, 2+i, 0), 1)
		}
		if got, want := planned(p, 1).describe(), "10.0.0.0 excess 1 for others; 10.0.1.0 excess 1 for others only silent; "; got != want {
			t.Errorf("donors where four networks share three units: got %q, want %q", got, want)
		}
	})
}

func TestOnlySilenceIsTakenOfTheLastUnitsOfACrowdInOneNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for accounts, want := range map[int]string{2: "", 3: "10.0.0.0 excess 1 only silent; 10.0.0.1 excess 1 only silent; "} {
			table := NewTable()
			p := table.NewPool(Options{Name: "test", Total: 2})
			for i := range 2 {
				hold(t, p, client(table, 0, i), 1, Busy)
			}
			if accounts == 3 {
				waitIn(t, p, client(table, 0, 2), 1)
			}
			pl := planned(p, 1)
			slices.SortFunc(pl.donors, func(a, b donor) int { return strings.Compare(a.account.String(), b.account.String()) })
			if got := pl.describe(); got != want {
				t.Errorf("donors where %d accounts of one network share two units: got %q, want %q", accounts, got, want)
			}
		}
	})
}

func TestTwiceAsManyHoldersAreConsideredAsAreNeeded(t *testing.T) {
	table := NewTable()
	p := table.NewPool(Options{Name: "test", Total: 400})
	a := client(table, 0, 0)
	proved := client(table, 1, 0)
	proved.Proved()
	hold(t, p, a, 50, Slow)
	hold(t, p, a, 50, Busy)
	hold(t, p, proved, 50, Slow)
	pl := &plan{pool: p, quota: 4, donors: []donor{{account: a, excess: 100}, {account: proved, excess: 50, proved: true}}}
	for rank, candidates := range pl.ranked() {
		want := 0
		if rank == int(Slow) || rank == int(Slow)+int(Busy) {
			want = 8
		}
		if len(candidates) != want {
			t.Errorf("candidates of rank %d: got %d, want %d", rank, len(candidates), want)
		}
	}
}

func TestAnAccountThatGivesUpWaitsForNothingWhileItsNeighborWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		p := table.NewPool(Options{Name: "test", Total: 10})
		full, leaves, neighbor := client(table, 0, 0), client(table, 1, 0), client(table, 1, 1)
		hold(t, p, full, 10, Busy)
		waitIn(t, p, neighbor, 2)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p.Acquire(ctx, leaves, 3, Ordinary); err == nil {
			t.Error("a full pool: got units, want none")
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if left, waits, accounts := p.queue.unitsOf(leaves), p.queue.unitsOf(neighbor), len(p.queue.networks[leaves.key.network].accounts); left != 0 || waits != 2 || accounts != 1 {
			t.Errorf("got %d and %d units that the two wait for and %d accounts in the queue, want 0, 2 and 1", left, waits, accounts)
		}
	})
}
