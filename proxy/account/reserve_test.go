package account

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

func TestOneAccountMayUseEverythingButTheReserve(t *testing.T) {
	table := NewTable()
	p := table.NewPool(Options{Name: "test", Total: 1024, Reserve: 128})
	a := client(table, 0, 0)
	got := 0
	for p.TryAcquire(a, 1, Ordinary) {
		got++
	}
	if got != 1024-128 {
		t.Errorf("one account alone got %d units, want %d", got, 1024-128)
	}
	writes := 0
	for p.TryAcquire(a, 1, Write) {
		writes++
	}
	if writes != 128 {
		t.Errorf("with all but the reserve in use, writes got %d units, want 128", writes)
	}
	for range got {
		p.Release(a, 1, Ordinary)
	}
	for range writes {
		p.Release(a, 1, Write)
	}
	a.Close()
	checkEmpty(t, p)
}

func TestWritesNeedNotWaitBehindReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		p := table.NewPool(Options{Name: "test", Total: 8, Reserve: 1})
		reader, writer := client(table, 0, 0), client(table, 1, 0)
		for range 7 {
			if !p.TryAcquire(reader, 1, Ordinary) {
				t.Fatal("a read got no unit of an empty pool")
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		read := make(chan error, 1)
		go func() { read <- p.Acquire(ctx, reader, 1, Ordinary) }()
		synctest.Wait()
		if !p.TryAcquire(writer, 1, Write) {
			t.Error("a write got no unit of the reserve while a read waited")
		}
		cancel()
		if err := <-read; !errors.Is(err, context.Canceled) {
			t.Errorf("a read that gave up: got %v, want %v", err, context.Canceled)
		}
	})
}

func TestAWriteIsServedBesideAReadOfANetworkWhoseWriteHasLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		p := table.NewPool(Options{Name: "test", Total: 8, Reserve: 1})
		holder, first, second := client(table, 0, 0), client(table, 1, 0), client(table, 2, 0)
		for range 7 {
			p.TryAcquire(holder, 1, Ordinary)
		}
		p.TryAcquire(holder, 1, Write)
		ctx, cancel := context.WithCancel(t.Context())
		left, leave := context.WithCancel(t.Context())
		results := make(chan error, 3)
		wait := func(ctx context.Context, a *Account, k Kind) {
			go func() { results <- p.Acquire(ctx, a, 1, k) }()
			synctest.Wait()
		}
		wait(ctx, first, Ordinary)
		wait(left, first, Write)
		wait(ctx, second, Write)
		leave()
		<-results
		p.Release(holder, 1, Write)
		synctest.Wait()
		if second.Held(p) != 1 {
			t.Error("a write got no unit of the reserve, which no other write waits for")
		}
		cancel()
		for range 2 {
			<-results
		}
	})
}

func TestAccountsBelowTheirShareUseTheReserveForNewcomers(t *testing.T) {
	table := NewTable()
	p := table.NewPool(Options{Name: "test", Total: 80, Reserve: 10, ForNewcomers: true})
	flood, newcomer := client(table, 0, 0), client(table, 1, 0)
	got := 0
	for p.TryAcquire(flood, 1, Ordinary) {
		got++
	}
	if got != 70 {
		t.Fatalf("one account alone got %d units, want 70", got)
	}
	if !p.TryAcquire(newcomer, 1, Ordinary) {
		t.Error("with the reserve free, a newcomer got no unit")
	}
	if p.TryAcquire(flood, 1, Ordinary) {
		t.Error("an account above its share got a unit of the reserve")
	}
}

func TestNobodyOvertakesAWaiterThatNeedsMoreThanIsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		p := table.NewPool(Options{Name: "test", Total: 100})
		holder, large, small := client(table, 0, 0), client(table, 1, 0), client(table, 2, 0)
		p.TryAcquire(holder, 50, Ordinary)
		done := make(chan error, 1)
		go func() { done <- p.Acquire(t.Context(), large, 60, Ordinary) }()
		synctest.Wait()
		if p.TryAcquire(small, 1, Ordinary) {
			t.Error("with half of the pool free, a small request overtook a large one")
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p.Acquire(ended, small, 1, Ordinary); !errors.Is(err, context.Canceled) {
			t.Errorf("with half of the pool free, a small request that would wait behind a large one: got %v, want %v", err, context.Canceled)
		}
		p.Release(holder, 50, Ordinary)
		if err := <-done; err != nil {
			t.Errorf("the large request: got %v, want its units", err)
		}
		if !p.TryAcquire(small, 1, Ordinary) {
			t.Error("when nobody waits, a small request got no unit")
		}
	})
}

func TestMoreThanThereEverIsIsRefusedAtOnce(t *testing.T) {
	table := NewTable()
	p := table.NewPool(Options{Name: "test", Total: 8, Reserve: 2, PerAccount: 7})
	a := client(table, 0, 0)
	for _, c := range []struct {
		n    int64
		kind Kind
		want error
	}{{7, Ordinary, ErrTooLarge}, {9, Write, ErrTooLarge}, {8, Write, ErrTooMany}, {6, Ordinary, nil}, {2, Ordinary, ErrTooMany}, {1, Write, nil}} {
		if err := p.Acquire(t.Context(), a, c.n, c.kind); !errors.Is(err, c.want) {
			t.Errorf("acquiring %d units of kind %d: got %v, want %v", c.n, c.kind, err, c.want)
		}
	}
}
