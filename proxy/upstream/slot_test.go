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
					go cancel() // during acquire, before it, or after it
				}
				err := p.acquire(ctx, s, time.Minute)
				if errors.Is(err, context.DeadlineExceeded) {
					t.Error("waiting for a slot: got a deadline error after a minute, want a slot")
				}
				if err == nil {
					n, reads := total.Add(1), readers.Load()
					if s == reading {
						reads = readers.Add(1)
					}
					if n > limit || reads > limit-1 {
						t.Errorf("slots in use: got %d, %d of them by reads, want at most %d and %d", n, reads, limit, limit-1)
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
		t.Errorf("after all requests: got %x slots in use, %d waiters, want 0, 0", p.inUse.Load(), p.waiting.Load())
	}
}

func TestWhoWaitsForASlotIsServedInOrder(t *testing.T) {
	type step struct {
		given slot
		next  int
	}
	for _, c := range []struct {
		limit int
		who   []slot
		steps []step
	}{
		// One slot is for reads. The second read must wait until the first one ends; the write
		// behind it need not.
		{2, []slot{reading, writing, reading, writing}, []step{{writing, 0}, {writing, 1}, {writing, 3}, {reading, 2}}},
		// Two slots are for reads, so a read could have the slot that the write before it gets.
		{3, []slot{writing, reading, writing, reading}, []step{{writing, 0}, {writing, 1}, {writing, 2}, {writing, 3}}},
	} {
		p := newSlots(c.limit)
		acquire := func(s slot) {
			if err := p.acquire(context.Background(), s, time.Minute); err != nil {
				t.Error(err)
			}
		}
		for range c.limit {
			acquire(writing)
		}
		came := make(chan int)
		for i, s := range c.who {
			go func() {
				acquire(s)
				came <- i
			}()
			for p.waiting.Load() != int64(i+1) {
				runtime.Gosched()
			}
		}
		for _, step := range c.steps {
			p.release(step.given)
			if n := <-came; n != step.next {
				t.Errorf("of %d slots, after one was released: got waiter %d of %v served, want %d", c.limit, n, c.who, step.next)
			}
		}
	}
}

func TestAClientThatLeavesWhileItWaitsForASlotIsNotToldThatTooManyWait(t *testing.T) {
	s := serve(t, always)
	p := newPool(t, Options{MaxRequests: 1}, s.endpoint())
	first := get(t, p)
	defer first.Close()
	left := errors.New("the client has left")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(left)
	if _, err := p.Do(ctx, &Request{Method: "GET", Target: "/"}); kindOf(t, err) != Canceled || !errors.Is(err, left) {
		t.Errorf("a read that waits for a slot when its client leaves: got %v, want the kind %v because of %v", err, Canceled, left)
	}
}

// A release frees a slot just before it grants it to who waits. Nobody may take it meanwhile.
func TestASlotThatIsAboutToBeGrantedIsNotTakenByAnother(t *testing.T) {
	p := newSlots(1)
	if err := p.acquire(t.Context(), writing, time.Minute); err != nil {
		t.Fatal(err)
	}
	served := make(chan string, 2)
	wait := func(name string) {
		if err := p.acquire(t.Context(), writing, time.Minute); err != nil {
			t.Error(err)
		}
		served <- name
	}
	go wait("the first")
	for p.waiting.Load() != 1 {
		runtime.Gosched()
	}
	p.inUse.Add(-aRequest) // the first half of release
	wait2 := make(chan struct{})
	go func() {
		defer close(wait2)
		wait("the second")
	}()
	if got := <-served; got != "the first" {
		t.Errorf("a slot for which somebody waited: got it taken by %s", got)
		p.release(writing)
		<-served
	} else {
		p.release(writing)
		<-served
	}
	<-wait2
	p.release(writing)
	if p.inUse.Load() != 0 || p.waiting.Load() != 0 {
		t.Errorf("in the end: got %#x in use and %d that wait, want none", p.inUse.Load(), p.waiting.Load())
	}
}
