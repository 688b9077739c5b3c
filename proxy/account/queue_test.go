package account

import (
	"cmp"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// scan returns the one that comes first among those that belong to an order, by looking at all.
func scan[K comparable, T interface{ self() *place }](all map[K]T, o order) (first T) {
	var list []T
	for _, t := range all {
		if t.self().in(o) {
			list = append(list, t)
		}
	}
	slices.SortFunc(list, func(x, y T) int {
		a, b := x.self(), y.self()
		if o == greedy {
			return cmp.Or(cmp.Compare(b.len(), a.len()), cmp.Compare(b.since, a.since))
		}
		return cmp.Or(cmp.Compare(a.held, b.held), cmp.Compare(a.turn, b.turn), cmp.Compare(a.since, b.since))
	})
	if len(list) > 0 {
		first = list[0]
	}
	return first
}

// checkLines checks that the lines of a queue have at their heads whom a scan finds, by what is
// held now.
func checkLines(t *rapid.T, p *Pool) {
	q := &p.queue
	for prefix, n := range q.networks {
		if n.held != p.usages.held(prefix) {
			t.Fatalf("the queue believes that network %s holds %d, want %d", prefix, n.held, p.usages.held(prefix))
		}
		for a, account := range n.accounts {
			if account.held != a.Held(p) {
				t.Fatalf("the queue believes that %s holds %d, want %d", a, account.held, a.Held(p))
			}
		}
	}
	for o := range numOrders {
		network, found := q.lines.first(o)
		if want := scan(q.networks, o); network != want {
			t.Fatalf("the first network in order %d: got %+v, want %+v", o, network, want)
		}
		if !found {
			continue
		}
		account, _ := network.lines.first(o)
		if want := scan(network.accounts, o); account != want {
			t.Fatalf("the first account of its network in order %d: got %+v, want %+v", o, account, want)
		}
	}
}

func TestTheHeadsOfTheLinesAreWhoAScanOfAllFinds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := NewTable()
		p := table.NewPool(Options{Name: "test", Total: 40, Queue: 100})
		var accounts []*Account
		for i := range 12 {
			accounts = append(accounts, client(table, i/4, i%4))
		}
		someone := rapid.SampledFrom(accounts)
		kind := rapid.SampledFrom([]Kind{Ordinary, Write})
		var waiting []*waiter
		var held []*Account
		t.Repeat(map[string]func(*rapid.T){
			"wait": func(t *rapid.T) {
				w := &waiter{account: someone.Draw(t, "account"), n: 1, kind: kind.Draw(t, "kind")}
				p.queue.push(w)
				waiting = append(waiting, w)
			},
			"leave": func(t *rapid.T) {
				if len(waiting) == 0 {
					t.Skip("nobody waits")
				}
				i := rapid.IntRange(0, len(waiting)-1).Draw(t, "waiter")
				p.queue.remove(waiting[i])
				waiting = slices.Delete(waiting, i, i+1)
			},
			"serve": func(t *rapid.T) {
				w := p.queue.next(rapid.SampledFrom([]order{everybody, writers}).Draw(t, "among"))
				if w == nil || !p.take(w.account, 1, Ordinary) {
					t.Skip("nobody can be served")
				}
				p.queue.served(w)
				held = append(held, w.account)
				waiting = slices.DeleteFunc(waiting, func(other *waiter) bool { return other == w })
			},
			"release": func(t *rapid.T) {
				if len(held) == 0 {
					t.Skip("nothing is held")
				}
				a := held[0]
				held = held[1:]
				a.used[p.index].Add(-1)
				p.state.Add(-p.weight(1, Ordinary))
				p.usages.add(a, -1)
				p.queue.moved(a)
			},
			"survey": func(*rapid.T) { p.surveyAll(p.usages.due) },
			"ask": func(t *rapid.T) {
				w := &waiter{account: someone.Draw(t, "account"), n: 1, kind: kind.Draw(t, "kind")}
				among := everybody
				if w.kind == Write {
					among = rapid.SampledFrom([]order{everybody, writers}).Draw(t, "among")
				}
				got := p.queue.overtakes(w.account, w.kind, among)
				p.queue.push(w)
				want := p.queue.next(among) == w
				p.queue.remove(w)
				if got != want {
					t.Fatalf("a request of kind %d of %s would be the next in order %d: got %t, want %t", w.kind, w.account, among, got, want)
				}
			},
			"": func(t *rapid.T) { checkLines(t, p) },
		})
	})
}

func TestTryingWhileManyWaitTakesNobodysPlace(t *testing.T) {
	table := NewTable()
	p := table.NewPool(Options{Name: "test", Total: 1, Queue: 1})
	a, other := client(table, 0, 0), client(table, 1, 0)
	p.TryAcquire(a, 1, Ordinary)
	waits := make(chan error, 1)
	go func() { waits <- p.Acquire(t.Context(), other, 1, Ordinary) }()
	for p.Status().Waiting == 0 {
		pass(reclaimEvery)
	}
	for _, from := range []*Account{a, other} {
		if p.TryAcquire(from, 1, Ordinary) {
			t.Errorf("%s tries while somebody waits: got a unit of a full pool, want none", from)
		}
	}
	if s := p.Status(); s.Waiting != 1 || s.Evicted != 0 {
		t.Errorf("after others have tried: got %d waiters and %d that lost their place, want 1 and none", s.Waiting, s.Evicted)
	}
	p.Release(a, 1, Ordinary)
	if err := <-waits; err != nil {
		t.Errorf("the waiter, when the unit is free: got %v, want its unit", err)
	}
	p.Release(other, 1, Ordinary)
	a.Close()
	other.Close()
	checkEmpty(t, p)
}
