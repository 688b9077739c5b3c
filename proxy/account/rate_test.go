package account

import (
	"testing"
	"testing/synctest"
	"time"
)

// within returns how many units an account gets without a wait.
func (r *Rate) within(a *Account) (n int) {
	for {
		wait, ok := r.Reserve(a)
		if wait > 0 || !ok {
			return n
		}
		n++
	}
}

func TestAnAccountHasTheUnitsOfASecondAtOnceAndThenWaitsForEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, rate := NewTable(), NewRate(100, 1000)
		a := client(table, 0, 0)
		if n := rate.within(a); n != 100 {
			t.Errorf("%d units need no wait, want the 100 of a second", n)
		}
		for range 9 {
			rate.Reserve(a)
		}
		if wait, ok := rate.Reserve(a); !ok || wait != 110*time.Millisecond {
			t.Errorf("the 11th unit more: got a wait of %v, %v; want 110 ms", wait, ok)
		}
		pass(10 * time.Second)
		if n := rate.within(a); n != 100 {
			t.Errorf("after ten seconds, %d units need no wait; want no more than those of a second", n)
		}
	})
}

func TestAnAccountThatConnectsAgainDoesNotBeginAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, rate := NewTable(), NewRate(100, 1000)
		a := client(table, 0, 0)
		rate.within(a)
		a.Close()
		if n := rate.within(client(table, 0, 0)); n != 0 {
			t.Errorf("%d units need no wait, want none", n)
		}
	})
}

func TestTheAccountsOfANetworkHaveItsRateTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, rate := NewTable(), NewRate(100, 1000)
		for i := range 1001 {
			wait, _ := rate.Reserve(client(table, 0, i%50))
			if waits := wait > 0; waits != (i >= 1000) {
				t.Fatalf("unit %d of fifty accounts of a network: got a wait of %v, want none for the first 1,000", i+1, wait)
			}
		}
		if n := rate.within(client(table, 1, 0)); n != 100 {
			t.Errorf("an account of another network got %d units without a wait, want 100", n)
		}
	})
}

func TestNobodyWaitsForLongerThanTheLongestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, rate := NewTable(), NewRate(100, 1000)
		a := client(table, 0, 0)
		longest := time.Duration(0)
		for range 10_000 {
			wait, ok := rate.Reserve(a)
			if !ok {
				break
			}
			longest = max(longest, wait)
		}
		if wait, ok := rate.Reserve(a); ok {
			t.Errorf("got a wait of %v, want a refusal", wait)
		}
		if longest > MaxWait+10*time.Millisecond || longest < MaxWait {
			t.Errorf("the longest wait was %v, want %v", longest, MaxWait)
		}
		pass(10 * time.Millisecond)
		if _, ok := rate.Reserve(a); !ok {
			t.Error("the refused units were taken")
		}
	})
}
