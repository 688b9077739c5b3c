package account

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestACongestionIsReportedOnceItLastsAndUntilNobodyHasWaitedForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		p := table.NewPool(Options{Name: "test", Total: 1})
		holder, other := client(table, 9, 9), client(table, 8, 8)
		p.TryAcquire(holder, 1, Ordinary)
		// wait makes a client wait for some time.
		wait := func(d time.Duration) {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			if err := p.Acquire(ctx, other, 1, Ordinary); err == nil {
				t.Error("the pool had a free unit")
			}
		}
		want := func(what string, since time.Time) {
			t.Helper()
			if got := p.Status().WaitingSince; !got.Equal(since) {
				t.Errorf("%s: got waiting since %v, want %v", what, got, since)
			}
		}
		want("before anybody waited", time.Time{})
		wait(time.Second)
		want("after one wait", time.Time{})
		time.Sleep(30 * time.Second) //nolint:forbidigo // the clock is the bubble\'s: nothing waits
		want("a while after one wait", time.Time{})

		begin := time.Now()
		for range 6 {
			wait(time.Second)
			time.Sleep(time.Second) //nolint:forbidigo // the clock is the bubble\'s: nothing waits
		}
		want("at a moment without waiters", begin)
		time.Sleep(8 * time.Second) //nolint:forbidigo // the clock is the bubble\'s: nothing waits
		want("9 seconds after the last wait", begin)
		time.Sleep(2 * time.Second) //nolint:forbidigo // the clock is the bubble\'s: nothing waits
		want("11 seconds after the last wait", time.Time{})

		time.Sleep(time.Minute) //nolint:forbidigo // the clock is the bubble\'s: nothing waits
		begin = time.Now()
		go wait(time.Minute)
		time.Sleep(9 * time.Second) //nolint:forbidigo // the clock is the bubble\'s: nothing waits
		want("one long wait, at its begin", time.Time{})
		time.Sleep(21 * time.Second) //nolint:forbidigo // the clock is the bubble\'s: nothing waits
		want("one long wait", begin)
		wait(time.Second)
		want("another wait beside the long one", begin)
		synctest.Wait()
		time.Sleep(time.Minute) //nolint:forbidigo // the clock is the bubble\'s: nothing waits
		want("after the long wait", time.Time{})
	})
}

func TestACongestionIsReportedBeforeItsWaitersGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		p := table.NewPool(Options{Name: "test", Total: 1})
		p.SetPatience(8 * time.Second)
		p.TryAcquire(client(table, 9, 9), 1, Ordinary)
		ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
		defer cancel()
		begin := time.Now()
		go func() { _ = p.Acquire(ctx, client(table, 8, 8), 1, Ordinary) }()
		time.Sleep(1900 * time.Millisecond) //nolint:forbidigo // the clock is the bubble's: nothing waits
		if got := p.Status().WaitingSince; !got.IsZero() {
			t.Errorf("before a quarter of the patience: got waiting since %v, want no time", got)
		}
		time.Sleep(200 * time.Millisecond) //nolint:forbidigo // the clock is the bubble's: nothing waits
		if got := p.Status().WaitingSince; !got.Equal(begin) {
			t.Errorf("after a quarter of the patience: got waiting since %v, want %v", got, begin)
		}
		time.Sleep(6 * time.Second) //nolint:forbidigo // the clock is the bubble's: nothing waits
		if s := p.Status(); s.Evicted != 1 || !s.EvictedAt.Equal(begin.Add(8*time.Second)) {
			t.Errorf("after the patience: got %d waiters that gave up, the last at %v, want 1 after 8 s", s.Evicted, s.EvictedAt)
		}
	})
}
