package account

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// waitAll starts waiters and returns once all of them wait, in their order.
func waitAll(p *Pool, accounts []*Account) (granted chan *Account) {
	granted = make(chan *Account, len(accounts))
	for _, a := range accounts {
		go func() {
			if p.Acquire(context.Background(), a, 1, Ordinary) != nil {
				a = nil
			}
			granted <- a
		}()
		synctest.Wait()
	}
	return granted
}

func TestNetworksTakeTurnsAndThenTheAccountsOfANetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(struct{ rapid.TB }{t}, func(t *rapid.T) {
			table := NewTable()
			p := table.NewPool(Options{Name: "test", Total: 1})
			holder := client(table, 9, 9)
			p.TryAcquire(holder, 1, Ordinary)
			var waiters []*Account
			left := make(map[*Account]int)
			leftOf := make(map[string]int)
			for network := range rapid.IntRange(1, 4).Draw(t, "networks") {
				for i := range rapid.IntRange(1, 4).Draw(t, "accounts") {
					a := client(table, network, i)
					for range rapid.IntRange(1, 6).Draw(t, "waiters") {
						waiters = append(waiters, a)
						left[a]++
						leftOf[a.Network()]++
					}
				}
			}
			granted := waitAll(p, rapid.Permutation(waiters).Draw(t, "order"))
			p.Release(holder, 1, Ordinary)
			turns, turnsOf := make(map[*Account]int), make(map[string]int)
			for range waiters {
				a := <-granted
				turns[a]++
				turnsOf[a.Network()]++
				left[a]--
				leftOf[a.Network()]--
				for network, n := range leftOf {
					if n > 0 && turnsOf[a.Network()] > turnsOf[network]+1 {
						t.Fatalf("network %s had turn %d while %s waited and had %d", a.Network(), turnsOf[a.Network()], network, turnsOf[network])
					}
				}
				for other, n := range left {
					if n > 0 && other.Network() == a.Network() && turns[a] > turns[other]+1 {
						t.Fatalf("account %s had turn %d while %s of its network waited and had %d", a, turns[a], other, turns[other])
					}
				}
				p.Release(a, 1, Ordinary)
			}
			closeAll(append(waiters[:0:0], holder), left)
			checkEmpty(t, p)
		})
	})
}

// closeAll closes accounts that were opened once each.
func closeAll(some []*Account, others map[*Account]int) {
	for _, a := range some {
		a.Close()
	}
	for a := range others {
		a.Close()
	}
}

func TestWhoHoldsLeastIsNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(struct{ rapid.TB }{t}, func(t *rapid.T) {
			table := NewTable()
			const total = 12
			p := table.NewPool(Options{Name: "test", Total: total})
			var accounts []*Account
			all := make(map[*Account]int)
			for i := range 9 {
				accounts = append(accounts, client(table, i/3, i%3))
				all[accounts[i]] = 0
			}
			some := rapid.SampledFrom(accounts)
			held := make([]*Account, 0, total)
			for range total {
				a := some.Draw(t, "holder")
				if !p.TryAcquire(a, 1, Ordinary) {
					t.Fatal("a pool with free units refused one")
				}
				held = append(held, a)
			}
			waiters := rapid.SliceOfN(some, 1, 20).Draw(t, "waiters")
			granted := waitAll(p, waiters)
			waiting := make(map[*Account]int)
			for _, a := range waiters {
				waiting[a]++
			}
			for range waiters {
				i := rapid.IntRange(0, len(held)-1).Draw(t, "released")
				p.Release(held[i], 1, Ordinary)
				held[i] = <-granted
				got := held[i]
				waiting[got]--
				// What was granted is counted already.
				for a, n := range waiting {
					switch {
					case n == 0:
					case networkHeld(p, accounts, a) < networkHeld(p, accounts, got)-1:
						t.Fatalf("network %s, which held %d, came before %s, which held %d",
							got.Network(), networkHeld(p, accounts, got)-1, a.Network(), networkHeld(p, accounts, a))
					case a.Network() == got.Network() && a.Held(p) < got.Held(p)-1:
						t.Fatalf("account %s, which held %d, came before %s of its network, which held %d", got, got.Held(p)-1, a, a.Held(p))
					}
				}
			}
			for _, a := range held {
				p.Release(a, 1, Ordinary)
			}
			closeAll(nil, all)
			checkEmpty(t, p)
		})
	})
}

func networkHeld(p *Pool, accounts []*Account, of *Account) (n int64) {
	for _, a := range accounts {
		if a.Network() == of.Network() {
			n += a.Held(p)
		}
	}
	return n
}

func TestWhenTooManyWaitTheAccountWithMostWaitersLosesOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		p := table.NewPool(Options{Name: "test", Total: 1, Queue: 4})
		flood, other := client(table, 0, 0), client(table, 1, 0)
		p.TryAcquire(flood, 1, Ordinary)
		results := make(chan error, 5)
		for range 4 {
			go func() { results <- p.Acquire(context.Background(), flood, 1, Ordinary) }()
		}
		synctest.Wait()
		granted := waitAll(p, []*Account{other})
		if err := <-results; err != ErrBusy { //nolint:errorlint // the error itself is promised
			t.Errorf("a waiter of the flood: got %v, want %v", err, ErrBusy)
		}
		p.Release(flood, 1, Ordinary)
		if err := <-results; err != nil {
			t.Errorf("the first waiter: got %v, want its unit", err)
		}
		p.Release(flood, 1, Ordinary)
		synctest.Wait()
		select {
		case <-granted:
			p.Release(other, 1, Ordinary)
		default:
			t.Fatal("the second turn was not that of the other network")
		}
		for range 2 {
			if err := <-results; err != nil {
				t.Errorf("a waiter within the queue: got %v, want its unit", err)
			}
			p.Release(flood, 1, Ordinary)
		}
		if got := p.Status().Evicted; got != 1 {
			t.Errorf("got %d waiters counted that lost their place, want 1", got)
		}
		flood.Close()
		other.Close()
		checkEmpty(t, p)
	})
}

func TestAWaiterThatIsGivenUpIsCountedUnlessItsClientLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		p := table.NewPool(Options{Name: "test", Total: 1})
		a := client(table, 0, 0)
		p.TryAcquire(a, 1, Ordinary)
		patient, end := context.WithTimeout(context.Background(), time.Second)
		defer end()
		if err := p.Acquire(patient, a, 1, Ordinary); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a wait that lasts too long: got %v, want %v", err, context.DeadlineExceeded)
		}
		gone, leave := context.WithCancel(context.Background())
		leave()
		if err := p.Acquire(gone, a, 1, Ordinary); !errors.Is(err, context.Canceled) {
			t.Errorf("the wait of a client that left: got %v, want %v", err, context.Canceled)
		}
		if got := p.Status().Evicted; got != 1 {
			t.Errorf("got %d waiters counted that were refused, want 1", got)
		}
		p.Release(a, 1, Ordinary)
		a.Close()
		checkEmpty(t, p)
	})
}
