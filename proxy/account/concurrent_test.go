package account

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestManyGoroutinesNeverExceedThePoolAndNoneIsLeftWaiting(t *testing.T) {
	table := NewTable()
	const total, reserve = 8, 2
	p := table.NewPool(Options{Name: "test", Total: total, Reserve: reserve, Queue: 1000})
	var used, ordinary atomic.Int64
	var running sync.WaitGroup
	for i := range 32 {
		running.Go(func() {
			a := client(table, i/4, i%4)
			defer a.Close()
			for range 500 {
				kind, n := Kind(rand.IntN(2)), rand.Int64N(2)+1
				ctx, cancel := context.Background(), context.CancelFunc(func() {})
				if rand.IntN(4) == 0 {
					ctx, cancel = context.WithTimeout(ctx, time.Duration(rand.IntN(100))*time.Microsecond)
				}
				err := p.Acquire(ctx, a, n, kind)
				cancel()
				if err != nil {
					continue
				}
				if got := used.Add(n); got > total {
					t.Errorf("%d units are in use, want at most %d", got, total)
				}
				if kind == Ordinary {
					if got := ordinary.Add(n); got > total-reserve {
						t.Errorf("%d units are in use for others than writes, want at most %d", got, total-reserve)
					}
					ordinary.Add(-n)
				}
				used.Add(-n)
				p.Release(a, n, kind)
			}
		})
	}
	running.Wait()
	checkEmpty(t, p)
}
