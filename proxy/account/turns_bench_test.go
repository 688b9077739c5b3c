package account

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
)

// crowdSize is the number of accounts that wait in benchmarks: as many networks of 64 bits as one
// network of 48 bits has for a stranger who wants to take turns as often as he can.
const crowdSize = 6000

// crowd returns accounts of one network.
func crowd(table *Table) (all []*Account) {
	for i := range crowdSize {
		all = append(all, table.Address(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 6: byte(i >> 8), 7: byte(i)})))
	}
	return all
}

// waitingCrowd returns a pool without free units for which a crowd waits.
func waitingCrowd(b *testing.B) (p *Pool, a *Account) {
	table := NewTable()
	p = table.NewPool(Options{Name: "test", Total: 1, Queue: crowdSize})
	a = client(table, 0, 0)
	p.TryAcquire(a, 1, Ordinary)
	ctx, leave := context.WithCancel(b.Context())
	var waiters sync.WaitGroup
	for _, a := range crowd(table) {
		waiters.Go(func() { _ = p.Acquire(ctx, a, 1, Ordinary) })
	}
	for p.Status().Waiting < crowdSize {
		pass(reclaimEvery)
	}
	b.Cleanup(func() {
		leave()
		waiters.Wait()
	})
	return p, a
}

func BenchmarkTurnsOfACrowd(b *testing.B) {
	table := NewTable()
	p := table.NewPool(Options{Name: "test", Total: 1, Queue: crowdSize})
	holder := client(table, 0, 0)
	p.TryAcquire(holder, 1, Ordinary)
	var left atomic.Int64
	left.Store(int64(b.N))
	var waiters sync.WaitGroup
	for _, a := range crowd(table) {
		waiters.Go(func() {
			for p.Acquire(b.Context(), a, 1, Ordinary) == nil {
				p.Release(a, 1, Ordinary)
				if left.Add(-1) <= 0 {
					return
				}
			}
		})
	}
	for p.Status().Waiting < crowdSize {
		pass(reclaimEvery)
	}
	b.ReportAllocs()
	b.ResetTimer()
	p.Release(holder, 1, Ordinary)
	waiters.Wait()
}

func BenchmarkTryAcquireWhileACrowdWaits(b *testing.B) {
	p, a := waitingCrowd(b)
	b.ReportAllocs()
	for b.Loop() {
		p.TryAcquire(a, 1, Ordinary)
	}
}

func BenchmarkLeavingACrowd(b *testing.B) {
	p, a := waitingCrowd(b)
	left, leave := context.WithCancel(b.Context())
	leave()
	b.ReportAllocs()
	for b.Loop() {
		_ = p.Acquire(left, a, 1, Ordinary)
	}
}
