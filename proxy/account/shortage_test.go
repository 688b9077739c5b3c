package account

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
)

func TestAnAccountIsModestUpToItsShareAsOfTheLastSurvey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // no time passes after the survey
		for _, c := range []struct{ network, most int }{{9, 33}, {0, 50}} {
			table, small, _, _ := memoryPools()
			ledger := table.NewLedger()
			hold(t, small, client(table, 0, 0), 101, Busy)
			client(table, 0, 2) // holds nothing, so it has no share
			client(table, 3, 0)
			a := client(table, c.network, 1)
			ledger.Modest(a) // makes the survey
			for n := range c.most + 1 {
				if !ledger.Modest(a) {
					t.Errorf("%d bytes beside 101 of network 0, in network %d: got not modest, want modest up to %d", n, c.network, c.most)
				}
				hold(t, small, a, 1, Busy)
			}
			if ledger.Modest(a) {
				t.Errorf("%d bytes beside 101 of network 0, in network %d: got modest, want modest up to %d", c.most+1, c.network, c.most)
			}
			pass(surveyEvery)
			if !ledger.Modest(a) != (c.network == 0) {
				t.Errorf("after the next survey, in network %d: got modest %t", c.network, ledger.Modest(a))
			}
		}
	})
}

func TestThoseWhoseNetworksHoldMostGiveFirst(t *testing.T) {
	table, small, large, _ := memoryPools()
	ledger := table.NewLedger()
	for network, held := range [][]int{{100, 10}, {300, 200, 1}, {20}, {7}, {150}} {
		for i, n := range held {
			hold(t, small, client(table, network, i), n, Busy)
		}
	}
	hold(t, large, client(table, 2, 0), 10, Busy) // 100 bytes
	client(table, 1, 0).Proved()
	describe := func(all []*creditor) (text []string) {
		order := newCreditorOrder(all)
		for c := order.next(); c != nil; c = order.next() {
			text = append(text, fmt.Sprintf("%s excess %d of %d, proved %t", c.account, c.excess, c.network, c.proved))
		}
		return text
	}
	// They hold 888 bytes: 177 for each of five networks, and 59 for each of three accounts.
	above, rest := ledger.creditors()
	if got, want := describe(above), []string{"10.0.1.0 excess 241 of 501, proved true", "10.0.1.1 excess 141 of 501, proved false", "10.0.0.0 excess 12 of 110, proved false"}; !slices.Equal(got, want) {
		t.Errorf("those above their share: got %q, want %q", got, want)
	}
	if got, want := describe(rest), []string{"10.0.1.2 excess -58 of 501, proved false", "10.0.4.0 excess -27 of 150, proved false", "10.0.2.0 excess -57 of 120, proved false",
		"10.0.0.1 excess -78 of 110, proved false", "10.0.3.0 excess -170 of 7, proved false"}; !slices.Equal(got, want) {
		t.Errorf("the others: got %q, want %q", got, want)
	}
}

func TestWhatIsSilentOrStalledIsTakenFromEverybodyInTheEnd(t *testing.T) {
	table, small, large, none := memoryPools()
	ledger := table.NewLedger()
	flood, modest := client(table, 0, 0), client(table, 1, 0)
	busy := hold(t, small, flood, 1000, Busy)
	silent, stalled, slow, watching := hold(t, small, modest, 3, Silent), hold(t, large, modest, 4, Stalled), hold(t, small, modest, 5, Slow), hold(t, small, modest, 6, Watching)
	elsewhere := hold(t, none, flood, 7, Silent)
	if got := ledger.Reclaim(2); got != 2 || revokedOf(silent) != 2 {
		t.Errorf("2 bytes were wanted: got %d, and %d silent holders revoked, want 2 and 2", got, revokedOf(silent))
	}
	if got := ledger.Reclaim(1000); got != 41 {
		t.Errorf("all that can be taken was wanted: got %d bytes, want the last silent one and 40 that are stalled", got)
	}
	if got := [6]int{revokedOf(silent), revokedOf(stalled), revokedOf(slow), revokedOf(watching), revokedOf(busy), revokedOf(elsewhere)}; got != [6]int{3, 4} {
		t.Errorf("holders that were revoked: got %v, want 3 silent and 4 stalled ones", got)
	}
	if a, b := small.Status().Revoked, large.Status().Revoked; a != 3 || b != 4 {
		t.Errorf("revoked in the two pools: got %d and %d counted, want 3 and 4", a, b)
	}
	if modest.Pause() != 0 || flood.Pause() != 0 {
		t.Errorf("accounts that gave only what is of no use to them: got pauses of %v and %v, want none", modest.Pause(), flood.Pause())
	}
	if got := ledger.Reclaim(0); got != 0 {
		t.Errorf("nothing was wanted: got %d bytes, want none", got)
	}
}

// decliningHolder holds on to what it has.
type decliningHolder struct {
	class Class
	asked int
}

func (h *decliningHolder) Class() Class { return h.class }

func (h *decliningHolder) Revoke(Class) int64 {
	h.asked++
	return 0
}

func TestAHolderThatDeclinesIsNotCountedAndItsAccountDoesNotPause(t *testing.T) {
	for _, class := range []Class{Silent, Watching} {
		table := NewTable()
		p, ledger := table.NewPool(Options{Name: "test", Total: 1000, Bytes: 1, Connections: true}), table.NewLedger()
		flood := client(table, 0, 0)
		for range 600 {
			p.TryAcquire(flood, 1, Ordinary)
		}
		hold(t, p, client(table, 1, 0), 100, Busy)
		h := &decliningHolder{class: class}
		p.Register(flood, h)
		pl := &plan{pool: p, quota: 5, any: 5, donors: []donor{{account: flood, excess: 100, forOther: true}}, exchange: []*Account{flood}}
		if units, holders := pl.carryOut(p.usages.due); units != 0 || holders != 0 || pl.any != 5 || pl.donors[0].excess != 100 {
			t.Errorf("a plan whose only holder declines: got %d units of %d holders, want none", units, holders)
		}
		if got := p.Reclaim(5) + ledger.Reclaim(5); got != 0 {
			t.Errorf("reclaiming from a holder that declines: got %d units, want none", got)
		}
		if h.asked < 3 || p.Status().Revoked != 0 || flood.Pause() != 0 {
			t.Errorf("a holder that declines: got it asked %d times, %d counted and a pause of %v; want three times or more, none and none", h.asked, p.Status().Revoked, flood.Pause())
		}
	}
}

func TestAPlanEndsAtItsQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		p := table.NewPool(Options{Name: "test", Total: 100})
		a := client(table, 0, 0)
		slow, silent := hold(t, p, a, 20, Slow), hold(t, p, a, 20, Silent)
		for _, pl := range []plan{
			{donors: []donor{{account: a, excess: 40, forOther: true}}, any: 40},
			{exchange: []*Account{a}},
		} {
			before := revokedOf(silent)
			pl.pool, pl.quota = p, 3
			if units, holders := pl.carryOut(p.usages.due); units != 3 || holders != 3 || revokedOf(silent) != before+3 || revokedOf(slow) != 0 {
				t.Errorf("a plan for three units with %d donors: got %d units of %d holders and %d more silent ones revoked, want 3 each", len(pl.donors), units, holders, revokedOf(silent)-before)
			}
		}
	})
}

// TestOnlyAnAccountThatLostConnectionsPauses takes back what is no connection. A pause would also
// delay the other clients of the address.
func TestOnlyAnAccountThatLostConnectionsPauses(t *testing.T) {
	for _, connections := range []bool{false, true} {
		for _, short := range []string{"the pool", "the memory"} {
			table := NewTable()
			p, ledger := table.NewPool(Options{Name: "test", Total: 1000, Bytes: 1, Connections: connections}), table.NewLedger()
			flood := client(table, 0, 0)
			all := hold(t, p, flood, 600, Slow)
			hold(t, p, client(table, 1, 0), 100, Busy)
			if short == "the pool" {
				p.Reclaim(50)
			} else {
				ledger.Reclaim(50)
			}
			if got := flood.Pause() > 0; got != connections || revokedOf(all) == 0 {
				t.Errorf("%s is short, and the holders are connections: %t: got a pause: %t, and %d revoked", short, connections, got, revokedOf(all))
			}
		}
	}
}

func TestReclaimLooksAtWhatIsHeldNow(t *testing.T) {
	table := NewTable()
	p := table.NewPool(Options{Name: "test", Total: 1000})
	flood := client(table, 0, 0)
	all := hold(t, p, flood, 505, Slow) // without the lock, so that no survey knows of it
	hold(t, p, client(table, 1, 0), 100, Busy)
	if got := p.Reclaim(50); got != 10 || revokedOf(all) != 10 {
		t.Errorf("reclaiming from a flood of 505 units of 605: got %d units of %d holders, want 10", got, revokedOf(all))
	}
}

func TestAHolderIsRevokedOnlyForThoseWhoMayHaveItsUnits(t *testing.T) {
	table := NewTable()
	p := table.NewPool(Options{Name: "test", Total: 1000})
	a := client(table, 0, 0)
	mine, other := a.key.network, client(table, 1, 0).key.network
	for _, c := range []struct {
		what              string
		excess, any       int64
		in, elsewhere     int64
		forOther          bool
		want              int64
		anyLeft, inAfter  int64
		excessAfterRevoke int64
	}{
		{"a neighbor waits", 2, 0, 2, 0, false, 1, 0, 1, 1},
		{"a neighbor and others wait", 2, 3, 2, 0, true, 1, 3, 1, 1},
		{"others wait", 2, 3, 0, 0, true, 1, 2, 0, 1},
		{"others wait, and the network is within its share", 2, 3, 0, 0, false, 0, 3, 0, 2},
		{"nobody waits", 2, 0, 0, 0, true, 0, 0, 0, 2},
		{"somebody of another network waits for a neighbor", 2, 0, 0, 2, true, 0, 0, 0, 2},
		{"the account is at its share", 0, 3, 2, 0, true, 0, 3, 2, 0},
	} {
		h := hold(t, p, a, 1, Slow)[0]
		pl := &plan{pool: p, any: c.any, donors: []donor{{account: a, excess: c.excess, forOther: c.forOther}}}
		pl.in = map[netip.Prefix]int64{mine: c.in, other: c.elsewhere}
		got := pl.revoke(&candidate{h, Slow, &pl.donors[0]})
		if got != c.want || h.wasRevoked() != (c.want == 1) || pl.any != c.anyLeft || pl.in[mine] != c.inAfter || pl.in[other] != c.elsewhere || pl.donors[0].excess != c.excessAfterRevoke {
			t.Errorf("when %s: got %d units, %d left for others and %d within the network, and an excess of %d; want %d, %d, %d and %d",
				c.what, got, pl.any, pl.in[mine], pl.donors[0].excess, c.want, c.anyLeft, c.inAfter, c.excessAfterRevoke)
		}
	}
}

func TestAWaiterAboveItsShareIsPromisedNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		p := table.NewPool(Options{Name: "test", Total: 10})
		flood := client(table, 0, 0)
		hold(t, p, flood, 6, Busy)
		hold(t, p, client(table, 1, 0), 4, Busy)
		waitIn(t, p, flood, 2)
		if pl := planned(p, 90); pl.any != 0 || pl.in[flood.key.network] != 0 {
			t.Errorf("a waiter above its share: got %d units from others and %d within its network, want none", pl.any, pl.in[flood.key.network])
		}
	})
}

func TestOneByteAboveTheShareIsAboveIt(t *testing.T) {
	table, small, _, _ := memoryPools()
	hold(t, small, client(table, 0, 0), 101, Busy)
	hold(t, small, client(table, 1, 0), 99, Busy)
	if above, rest := table.NewLedger().creditors(); len(above) != 1 || above[0].excess != 1 || len(rest) != 1 || rest[0].excess != -1 {
		t.Errorf("101 and 99 bytes: got %+v above their share and %+v not, want one each", above, rest)
	}
}
