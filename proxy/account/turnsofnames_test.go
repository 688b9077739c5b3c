package account

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"
)

// atName starts clients that wait for the turn at a name, one after another. Each passes it on at once.
func atName(t *Turns, name string, accounts []*Account) (served chan *Account) {
	served = make(chan *Account, len(accounts))
	for _, a := range accounts {
		go func() {
			if t.Take(context.Background(), name, a) != nil {
				served <- nil
				return
			}
			served <- a
			t.Pass(name)
		}()
		synctest.Wait()
	}
	return served
}

func TestWhoWaitsForANameHasTurnsByNetworkAndAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(struct{ rapid.TB }{t}, func(t *rapid.T) {
			table := NewTable()
			var turns Turns
			if !turns.TryTake("a") || turns.TryTake("a") || !turns.TryTake("b") {
				t.Fatal("want one turn at each name")
			}
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
			served := atName(&turns, "a", rapid.Permutation(waiters).Draw(t, "order"))
			if len(served) > 0 || turns.Waiting("a") != len(waiters) || turns.Waiting("b") != 0 {
				t.Fatalf("while the turn is taken: %d were served and %d wait, want all %d to wait", len(served), turns.Waiting("a"), len(waiters))
			}
			turns.Pass("a")
			had, hadOf := make(map[*Account]int), make(map[string]int)
			for range waiters {
				a := <-served
				had[a]++
				hadOf[a.Network()]++
				left[a]--
				leftOf[a.Network()]--
				for network, n := range leftOf {
					if n > 0 && hadOf[a.Network()] > hadOf[network]+1 {
						t.Fatalf("network %s had turn %d while %s waited and had %d", a.Network(), hadOf[a.Network()], network, hadOf[network])
					}
				}
				for other, n := range left {
					if n > 0 && other.Network() == a.Network() && had[a] > had[other]+1 {
						t.Fatalf("account %s had turn %d while %s of its network waited and had %d", a, had[a], other, had[other])
					}
				}
			}
			synctest.Wait()
			closeAll(nil, left)
			turns.Pass("b")
			if len(turns.lines) != 0 {
				t.Fatalf("%d names are left when nobody works or waits, want none", len(turns.lines))
			}
		})
	})
}

func TestWhoEndsItsWaitForANameHasNoTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var turns Turns
		turns.TryTake("a")
		gone := errors.New("gone")
		ctx, leave := context.WithCancelCause(context.Background())
		left := make(chan error, 1)
		go func() { left <- turns.Take(ctx, "a", nil) }()
		synctest.Wait()
		stays := atName(&turns, "a", []*Account{nobody})
		leave(gone)
		if err := <-left; !errors.Is(err, gone) || turns.Waiting("a") != 1 {
			t.Errorf("got the error %v and %d who wait, want %v and one", err, turns.Waiting("a"), gone)
		}
		turns.Pass("a")
		if got := <-stays; got != nobody {
			t.Errorf("the turn went to %v, want the one who stayed", got)
		}
		synctest.Wait()
		if !turns.TryTake("a") {
			t.Error("the turn is still taken when nobody is left")
		}
	})
}

func TestTheLineForANameIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		greedy, other := client(table, 1, 1), client(table, 2, 2)
		defer greedy.Close()
		defer other.Close()
		var turns Turns
		turns.TryTake("a")
		ended := make(chan error, maxLine+1)
		for range maxLine {
			go func() {
				err := turns.Take(context.Background(), "a", greedy)
				ended <- err
				if err == nil {
					turns.Pass("a")
				}
			}()
		}
		synctest.Wait()
		served := atName(&turns, "a", []*Account{other})
		if err := <-ended; !errors.Is(err, ErrBusy) || turns.Waiting("a") != maxLine {
			t.Errorf("beyond the bound: got %v and %d who wait, want %v for the greediest, and %d", err, turns.Waiting("a"), ErrBusy, maxLine)
		}
		turns.Pass("a")
		if got := <-served; got != other {
			t.Errorf("the other client got %v, want its turn", got)
		}
		synctest.Wait()
	})
}
