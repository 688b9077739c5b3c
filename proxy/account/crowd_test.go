package account

import (
	"sync/atomic"
	"testing"
)

// askedHolder counts how often holders are asked what they do, and gives one unit.
type askedHolder struct{ asked *atomic.Int64 }

func (h *askedHolder) Class() Class       { h.asked.Add(1); return Silent }
func (h *askedHolder) Revoke(Class) int64 { return 1 }

// TestFewAccountsOfACrowdAreAskedForALittle has 2,000 accounts, all above the share that they would have
// if one more network came.
func TestFewAccountsOfACrowdAreAskedForALittle(t *testing.T) {
	table := NewTable()
	p, ledger := table.NewPool(Options{Name: "test", Bytes: 1, Total: 10_000}), table.NewLedger()
	var asked atomic.Int64
	for i := range 2000 {
		a := client(table, i>>8, i)
		units := int64(3 + i%2)
		p.TryAcquire(a, units, Ordinary)
		p.Register(a, &askedHolder{&asked})
	}
	if got := ledger.Reclaim(10); got != 10 || asked.Load() != 10 {
		t.Errorf("10 bytes were wanted of the memory: got %d of %d holders, want 10 of 10", got, asked.Load())
	}
	asked.Store(0)
	if got := p.Reclaim(10); got != 10 || asked.Load() > 20 {
		t.Errorf("10 units were wanted of the pool: got %d of %d holders, want 10 of 20 at most", got, asked.Load())
	}
}

func TestNobodyWaitsForASurveyOfTheMemory(t *testing.T) {
	table, small, _, _ := memoryPools()
	ledger := table.NewLedger()
	a, b := client(table, 0, 0), client(table, 1, 0)
	hold(t, small, a, 100, Busy)
	hold(t, small, b, 10, Busy)
	ledger.current()
	ledger.mu.Lock()
	ledger.due = ledger.due.AddDate(-1, 0, 0)
	ledger.mu.Unlock()
	ledger.surveying.Lock() // as somebody who looks at all accounts
	defer ledger.surveying.Unlock()
	if ledger.Modest(a) || !ledger.Modest(b) {
		t.Errorf("got modest %v and %v, want false and true, as in the last survey", ledger.Modest(a), ledger.Modest(b))
	}
}
