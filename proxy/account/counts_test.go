package account

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// takeAll acquires units one after another until there are none for the account.
func takeAll(p *Pool, a *Account) (n int) {
	for p.TryAcquire(a, 1, Ordinary) {
		n++
	}
	return n
}

func TestTheReserveForNewcomersIsSharedByAllWhoHoldSomethingNow(t *testing.T) {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for what, more := range map[string]func(*Pool, *Account) bool{
		"without a wait": func(p *Pool, a *Account) bool { return p.TryAcquire(a, 1, Ordinary) },
		"with a wait":    func(p *Pool, a *Account) bool { return p.Acquire(ended, a, 1, Ordinary) == nil },
	} {
		synctest.Test(t, func(t *testing.T) { // no time passes, so that there is one survey at most
			table := NewTable()
			p := table.NewPool(Options{Name: "test", Total: 80, Reserve: 40, ForNewcomers: true})
			hold(t, p, client(table, 0, 0), 20, Busy)
			hold(t, p, client(table, 1, 0), 20, Busy)
			third := client(table, 2, 0)
			got := 0
			for more(p, third) {
				got++
			}
			if got != 20 { // if a fourth network came, each would have a quarter
				t.Errorf("%s: the third of three networks got %d units of 80, want 20", what, got)
			}
			for range 2 {
				if !more(p, client(table, 3, 0)) {
					t.Errorf("%s: the fourth network got no unit, want one", what)
				}
			}
			p.Release(third, 20, Ordinary)
			if got := takeAll(p, third); got != 16 {
				t.Errorf("%s: one of four networks got %d units, want a fifth of 80", what, got)
			}
			if got := takeAll(p, client(table, 3, 1)); got != 8 {
				t.Errorf("%s: the second account of a network got %d units, want half of its fifth", what, got)
			}
		})
	}
}

func TestWhatAnAccountWantsIsWhatItHoldsAndWaitsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		p := table.NewPool(Options{Name: "test", Total: 10, Reserve: 3})
		a, other, idle := client(table, 0, 0), client(table, 0, 1), client(table, 1, 0)
		hold(t, p, a, 5, Busy)
		for range 2 {
			if got := [3]int64{p.Wanted(a), p.Wanted(other), p.Most()}; got != [3]int64{5, 0, 7} {
				t.Errorf("while nobody waits: got %v wanted by the two, and at most, want 5, 0 and 7", got)
			}
		}
		waitIn(t, p, a, 3)
		waitIn(t, p, other, 4)
		for range 2 {
			if got := [3]int64{p.Wanted(a), p.Wanted(other), p.Wanted(idle)}; got != [3]int64{8, 4, 0} {
				t.Errorf("while two wait: got %v wanted by the three, want 8, 4 and 0", got)
			}
		}
		if p.usages.held(idle.key.network) != 0 {
			t.Errorf("a network that holds nothing: got %d units, want none", p.usages.held(idle.key.network))
		}
	})
}

func TestARefusedUnitIsNotCounted(t *testing.T) {
	for _, limit := range []int64{1, 5} {
		table := NewTable()
		p := table.NewPool(Options{Name: "test", Total: 100, PerAccount: limit})
		a := client(table, 0, 0)
		if got := takeAll(p, a); int64(got) != limit || a.Held(p) != limit || p.Used() != limit {
			t.Errorf("an account that may have %d units: got %d, %d held and %d in use", limit, got, a.Held(p), p.Used())
		}
		if err := p.Acquire(t.Context(), a, 1, Ordinary); !errors.Is(err, ErrTooMany) || p.Used() != limit {
			t.Errorf("one more than %d: got %v and %d units in use, want %v and %d", limit, err, p.Used(), ErrTooMany, limit)
		}
		p.Release(a, limit, Ordinary)
		a.Close()
		checkEmpty(t, p)
	}
}

func TestMoreUnitsThanCanBeCountedAreRefused(t *testing.T) {
	table := NewTable()
	p := table.NewPool(Options{Name: "test", Total: 1 << 40})
	a := client(table, 0, 0)
	for _, n := range []int64{1 << 31, 1 << 32, 1<<32 + 1, 1 << 62} {
		if err := p.Acquire(t.Context(), a, n, Ordinary); !errors.Is(err, ErrTooLarge) || p.Used() != 0 || a.Held(p) != 0 {
			t.Errorf("acquiring %d units: got %v and %d units in use, want %v and none", n, err, p.Used(), ErrTooLarge)
		}
	}
}

func TestAcquiringNothingIsAMistakeOfTheCaller(t *testing.T) {
	table := NewTable()
	p := table.NewPool(Options{Name: "test", Total: 100})
	a := client(table, 0, 0)
	for what, f := range map[string]func(){
		"Acquire":    func() { _ = p.Acquire(t.Context(), a, 0, Ordinary) },
		"TryAcquire": func() { p.TryAcquire(a, -1, Ordinary) },
		"Release":    func() { p.Release(a, 1, Ordinary) },
	} {
		func() {
			defer func() {
				if text := fmt.Sprint(recover()); !strings.HasPrefix(text, "BUG: ") {
					t.Errorf("%s of nothing: got %s, want a panic", what, text)
				}
			}()
			f()
		}()
	}
}

func TestTheListOfThoseWhoHoldMostLeavesOutThoseWhoHoldNothing(t *testing.T) {
	table := NewTable()
	p, ledger := table.NewPool(Options{Name: "test", Total: 100, Bytes: 2}), table.NewLedger()
	var want []string
	for i, n := range []int{3, 0, 7, 3, 1} {
		a := client(table, i, 0)
		if i == 2 {
			a.Proved()
		}
		hold(t, p, a, n, Busy)
	}
	for _, i := range []int{2, 0, 3, 4} {
		want = append(want, fmt.Sprintf("10.0.%d.0", i))
	}
	for limit := range 6 {
		top, memory := p.Top(limit), ledger.Top(limit)
		if len(top) != min(limit, 4) || len(memory) != min(limit, 4) {
			t.Fatalf("the largest %d: got %d and %d by memory, want %d", limit, len(top), len(memory), min(limit, 4))
		}
		for i, h := range top {
			m := memory[i]
			if h.Account != want[i] || m.Account != want[i] || h.Proved != (i == 0) || m.Proved != (i == 0) || m.Bytes != 2*h.Used || m.Network != h.Network {
				t.Errorf("place %d of the largest: got %+v and %+v by memory, want %s with two bytes for each unit", i, h, m, want[i])
			}
		}
	}
}

func TestOfThoseWhoHoldAsMuchWhoWaitedLongestIsNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		p := table.NewPool(Options{Name: "test", Total: 1})
		holder := client(table, 99, 0)
		p.TryAcquire(holder, 1, Ordinary)
		var waiters []*Account
		for _, i := range []int{5, 2, 7, 0, 3, 6, 1, 4} {
			waiters = append(waiters, client(table, i, 0))
		}
		for _, i := range []int{6, 2, 7, 3, 5, 1, 4} { // all of network 4, which came last
			waiters = append(waiters, client(table, 4, i))
		}
		granted := waitAll(p, waiters)
		p.Release(holder, 1, Ordinary)
		for i, want := range waiters {
			got := <-granted
			if got != want {
				t.Errorf("turn %d: got %s, want %s", i+1, got, want)
			}
			p.Release(got, 1, Ordinary)
		}
	})
}

func TestTheGreediestIsTheLastWithMostWaitersOfTheNetworkWithMost(t *testing.T) {
	for range 20 { // the order of a map differs each time
		checkGreediest(t)
	}
}

func checkGreediest(t *testing.T) {
	table := NewTable()
	u := newUsages(0)
	q := newQueue(&u)
	push := func(network, i int, k Kind) *waiter {
		w := &waiter{account: client(table, network, i), n: 1, kind: k}
		q.push(w)
		return w
	}
	var order []*waiter
	add := func(w *waiter) { order = append(order, w) }
	// Network 0 has five waiters: of its accounts, 1 has three and 0 and 2 have one each.
	add(push(0, 0, Ordinary))
	add(push(0, 1, Write))
	add(push(0, 1, Write))
	add(push(0, 1, Ordinary))
	add(push(0, 2, Ordinary))
	// Networks 1 and 2 have two each.
	for _, network := range []int{1, 2} {
		add(push(network, 0, Write))
		add(push(network, 1, Ordinary))
	}
	for turn, want := range []int{3, 2, 4, 8, 6, 1, 7, 5, 0} {
		w := q.greediest()
		if w != order[want] {
			for i := range order {
				if order[i] == w {
					t.Fatalf("the waiter %d to lose its place: got number %d, want %d", turn, i, want)
				}
			}
		}
		q.remove(w)
	}
	if q.len != 0 || q.units != 0 || len(q.networks) != 0 {
		t.Errorf("an empty queue: got %d waiters for %d units in %d networks, want none", q.len, q.units, len(q.networks))
	}
}

func TestUsersOfClientsWithoutAnAddressShareANetwork(t *testing.T) {
	table := NewTable()
	a := table.User("root", netip.Addr{})
	if got := a.String(); got != "root from local" {
		t.Errorf("a user of a unix socket: got %q, want root from local", got)
	}
	again := a.Reopen()
	if again != a {
		t.Errorf("opened again: got %v, want the same account", again)
	}
	a.Close()
	again.Close()
	if table.Len() != 0 {
		t.Errorf("after both were closed: got %d accounts, want none", table.Len())
	}
}

func TestAnAccountThatProvedNothingIsNotRememberedAsOneThatDid(t *testing.T) {
	table := NewTable()
	client(table, 0, 0).Close()
	if a := client(table, 0, 0); a.HasProved() || table.good.noted.Len() != 0 {
		t.Errorf("an account that was closed without a proof: got proved %t and %d remembered, want neither", a.HasProved(), table.good.noted.Len())
	}
}

func TestWhatWasReleasedIsNotAwaitedAnyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		p := table.NewPool(Options{Name: "test", Total: 10})
		hold(t, p, client(table, 0, 0), 10, Silent)
		if got := demand(t, p, client(table, 1, 0), 5, 5*reclaimEvery+time.Millisecond); got != 5 { // one for each reclaim
			t.Errorf("five units of a flood: got %d before a promise can expire, want all", got)
		}
	})
}

// promptHolder has released its unit before Revoke returns.
type promptHolder struct{ fakeHolder }

func (h *promptHolder) Revoke(Class) int64 {
	h.pool.Unregister(h.account, h)
	h.pool.Release(h.account, 1, Ordinary)
	return 1
}

func TestWhatIsReleasedWhileHoldersAreRevokedIsNotAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		p := table.NewPool(Options{Name: "test", Total: 10})
		flood := client(table, 0, 0)
		for range 10 {
			p.TryAcquire(flood, 1, Ordinary)
			p.Register(flood, &promptHolder{fakeHolder{pool: p, account: flood}})
		}
		if got := demand(t, p, client(table, 1, 0), 5, 5*reclaimEvery+time.Millisecond); got != 5 { // one for each reclaim
			t.Errorf("five units of a flood: got %d before a promise can expire, want all", got)
		}
	})
}

func TestWhoHasLeftDoesNotMakeTheSharesOfOthersSmaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		p := table.NewPool(Options{Name: "test", Total: 8})
		gone := client(table, 0, 0)
		for range 7 { // enough for a survey
			p.TryAcquire(gone, 1, Ordinary)
		}
		for range 7 {
			p.Release(gone, 1, Ordinary)
		}
		hold(t, p, client(table, 1, 0), 8, Silent)
		if got := demand(t, p, client(table, 2, 0), 4, time.Minute); got != 4 {
			t.Errorf("one of two networks got %d units of 8, want its share of 4", got)
		}
	})
}

func TestAClosedConnectionHasNoAccounts(t *testing.T) {
	table := NewTable()
	u := table.Users(netip.MustParseAddr("192.0.2.1"))
	if u.Account("root") == nil {
		t.Fatal("a user of an open connection: got no account")
	}
	u.Close()
	for _, name := range []string{"root", "late"} {
		if a := u.Account(name); a != nil {
			t.Errorf("%s on a closed connection: got %v, want no account", name, a)
		}
	}
	if u.Close(); table.Len() != 0 {
		t.Errorf("after the connection: got %d accounts in use, want none", table.Len())
	}
}

func TestAUserWithoutANameIsAMistakeOfTheCaller(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("the account of a user without a name: got it, want a panic")
		}
	}()
	NewTable().User("", netip.Addr{})
}

func TestAnAccountMayBeLimitedToOneUnit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		p := table.NewPool(Options{Name: "test", Total: 2, PerAccount: 1})
		full, a := client(table, 0, 0), client(table, 1, 0)
		if !p.TryAcquire(a, 1, Ordinary) || p.TryAcquire(a, 1, Ordinary) {
			t.Error("units of an account that may have one: want one, and no second")
		}
		p.TryAcquire(full, 1, Ordinary)
		p.Release(a, 1, Ordinary)
		p.TryAcquire(client(table, 2, 0), 1, Ordinary)
		waitIn(t, p, a, 1)
		if err := p.Acquire(t.Context(), a, 1, Ordinary); !errors.Is(err, ErrTooMany) {
			t.Errorf("a second unit while the first is waited for: got %v, want %v", err, ErrTooMany)
		}
	})
}

func TestSurveysAreMadeAtMostEach50Milliseconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		p, ledger := table.NewPool(Options{Name: "test", Total: 4}), table.NewLedger()
		for i := range 4 {
			hold(t, p, client(table, i, 0), 1, Busy)
		}
		for step, want := range []uint32{1, 1, 2, 2, 3} { // each half an interval after the one before
			for i := range 3 {
				p.TryAcquire(client(table, i, 0), 1, Ordinary)
				ledger.Modest(client(table, i, 0))
			}
			if got := p.usages.survey; got != want {
				t.Errorf("after %d intervals of 25 ms: got %d surveys, want %d", step, got, want)
			}
			pass(25 * time.Millisecond)
		}
	})
}

func TestNoTimerRunsWhenNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		p := table.NewPool(Options{Name: "test", Total: 1})
		hold(t, p, client(table, 0, 0), 1, Busy)
		a := client(table, 1, 0)
		for _, patience := range []time.Duration{reclaimEvery / 2, 3 * reclaimEvery} {
			if got := demand(t, p, a, 1, patience); got != 0 {
				t.Errorf("a unit of a pool that is busy: got %d, want none", got)
			}
			pass(2 * reclaimEvery)
			p.mu.Lock()
			if p.reclaimTimer != nil {
				t.Errorf("%v after the last waiter left: got a timer that runs, want none", 2*reclaimEvery)
			}
			p.mu.Unlock()
		}
	})
}
