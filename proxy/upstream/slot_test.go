package upstream

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestNeverMoreSlotsAreTakenThanThereAreAndNobodyIsForgotten(t *testing.T) {
	const limit, clients, rounds = 8, 40, 300
	p := newSlots(limit)
	var total, readers atomic.Int64
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			for range rounds {
				s := slot(i % 2)
				ctx, cancel := context.WithCancel(context.Background())
				if rand.N(4) == 0 {
					go cancel() // in the middle of it, or before, or after
				}
				err := p.acquire(ctx, s, time.Minute)
				if errors.Is(err, context.DeadlineExceeded) {
					t.Error("it was forgotten")
				}
				if err == nil {
					n, reads := total.Add(1), readers.Load()
					if s == reading {
						reads = readers.Add(1)
					}
					if n > limit || reads > limit-1 {
						t.Errorf("%d of %d, of them %d reads", n, limit, reads)
					}
					if s == reading {
						readers.Add(-1)
					}
					total.Add(-1)
					p.release(s)
				}
				cancel()
			}
		})
	}
	all.Wait()
	if p.inUse.Load() != 0 || p.waiting.Load() != 0 || p.queues[reading].Len()+p.queues[writing].Len() != 0 {
		t.Errorf("taken %x, waiting %d", p.inUse.Load(), p.waiting.Load())
	}
}

func TestWhoWaitsForASlotIsServedInOrder(t *testing.T) {
	p := newSlots(2) // one of them for reads
	acquire := func(s slot) {
		if err := p.acquire(context.Background(), s, time.Minute); err != nil {
			t.Error(err)
		}
	}
	acquire(writing)
	acquire(writing)
	came := make(chan int)
	for i, s := range []slot{reading, writing, reading, writing} {
		go func() {
			acquire(s)
			came <- i
		}()
		for p.waiting.Load() != int64(i+1) {
			runtime.Gosched()
		}
	}
	// The second read has to wait for the first one's end, and the write behind it has not.
	for _, step := range []struct {
		given slot
		next  int
	}{{writing, 0}, {writing, 1}, {writing, 3}, {reading, 2}} {
		p.release(step.given)
		if n := <-came; n != step.next {
			t.Errorf("number %d is served, want %d", n, step.next)
		}
	}
}
