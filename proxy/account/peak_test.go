package account

import "testing"

func TestThePeakOfAPoolIsSeenOnceAndInItsUnit(t *testing.T) {
	table := NewTable()
	p, a := table.NewPool(Options{Name: "test", Unit: 10, Total: 8}), client(table, 0, 0)
	want := func(what string, peak int64) {
		t.Helper()
		if got := p.Peak(); got != peak {
			t.Errorf("the peak %s: got %d, want %d", what, got, peak)
		}
	}
	want("of an unused pool", 0)
	for range 7 {
		if !p.TryAcquire(a, 1, Ordinary) {
			t.Fatal("acquiring one of 8 units failed")
		}
	}
	p.Release(a, 5, Ordinary)
	want("after 7 units were in use", 70)
	want("since then", 20)
	p.Release(a, 2, Ordinary)
	want("after all were released", 0)
}
