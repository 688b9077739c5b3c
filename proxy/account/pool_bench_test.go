package account

import (
	"fmt"
	"sync/atomic"
	"testing"
)

func BenchmarkAcquire(b *testing.B) {
	for _, accounts := range []int{1, 64} {
		b.Run(fmt.Sprintf("accounts=%d", accounts), func(b *testing.B) {
			table := NewTable()
			p := table.NewPool(Options{Name: "test", Total: 1 << 20, Reserve: 1 << 17})
			all := make([]*Account, accounts)
			for i := range all {
				all[i] = client(table, i/8, i)
			}
			var next atomic.Int64
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				a := all[int(next.Add(1))%accounts]
				for pb.Next() {
					if p.Acquire(b.Context(), a, 1, Ordinary) == nil {
						p.Release(a, 1, Ordinary)
					}
				}
			})
		})
	}
}

func TestAcquiringWithoutWaitingDoesNotAllocate(t *testing.T) {
	table := NewTable()
	p := table.NewPool(Options{Name: "test", Total: 64, Reserve: 8})
	a := client(table, 0, 0)
	if n := testing.AllocsPerRun(100, func() {
		if p.Acquire(t.Context(), a, 1, Ordinary) == nil {
			p.Release(a, 1, Ordinary)
		}
	}); n != 0 {
		t.Errorf("acquiring and releasing a unit: got %v allocations, want none", n)
	}
}
