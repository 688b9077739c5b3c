package acl

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// acquired is what a goroutine that called acquire got.
type acquired struct {
	release func(time.Duration)
	err     error
}

// acquireLater calls acquire in a goroutine, and returns when that has a result or waits. The
// channel has the result. It is for synctest bubbles.
func acquireLater(ctx context.Context, h *Hasher, suspect func() bool) <-chan acquired {
	result := make(chan acquired, 1)
	go func() {
		release, err := h.acquire(ctx, Client{Suspect: suspect})
		result <- acquired{release, err}
	}()
	synctest.Wait()
	return result
}

// mustAcquire acquires without a wait.
func mustAcquire(t *testing.T, h *Hasher, suspect func() bool, what string) (release func(time.Duration)) {
	t.Helper()
	select {
	case got := <-acquireLater(t.Context(), h, suspect):
		if got.err != nil {
			t.Fatalf("acquire, %s: got the error %v, want a worker", what, got.err)
		}
		return got.release
	default:
		t.Fatalf("acquire, %s: it waits, want a worker at once", what)
		return nil
	}
}

// expectWaits checks that acquire waits, and ends the wait.
func expectWaits(t *testing.T, h *Hasher, suspect func() bool, what string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	result := acquireLater(ctx, h, suspect)
	select {
	case got := <-result:
		t.Errorf("acquire, %s: got the error %v, want a wait", what, got.err)
		cancel()
		if got.err == nil {
			got.release(0)
		}
	default:
		cancel()
		if got := <-result; !errors.Is(got.err, context.Canceled) || got.release != nil {
			t.Errorf("acquire, %s, canceled: got the error %v, want %v and no release", what, got.err, context.Canceled)
		}
	}
}

// expectIdle checks that nobody holds or waits for anything.
func expectIdle(t *testing.T, h *Hasher, when string) {
	t.Helper()
	if workers, suspects := h.workers.pending.Load(), h.suspects.pending.Load(); workers != 0 || suspects != 0 {
		t.Errorf("places taken %s: got %d of workers and %d of suspects, want none", when, workers, suspects)
	}
}

func TestAFailedLoginRestsItsWorkerForThreeTimesTheHash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHasher(HasherOptions{Workers: 1})
		mustAcquire(t, h, neverSuspect, "first")(time.Second)
		advance(3*time.Second - 1)
		expectWaits(t, h, neverSuspect, "a nanosecond before the end of the rest")
		advance(1)
		release := mustAcquire(t, h, neverSuspect, "after the rest")
		release(0)
		mustAcquire(t, h, neverSuspect, "after a login that did not fail")(0)
		expectIdle(t, h, "at the end")
	})
}

func TestAFailedSuspectRestsThePlaceOfSuspectsForNineteenTimesTheHash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHasher(HasherOptions{Workers: 1})
		mustAcquire(t, h, alwaysSuspect, "first")(time.Second)
		mustAcquire(t, h, neverSuspect, "another client during the rest")(0)
		advance(19*time.Second - 1)
		expectWaits(t, h, alwaysSuspect, "a nanosecond before the end of the rest")
		advance(1)
		mustAcquire(t, h, alwaysSuspect, "after the rest")(0)
		mustAcquire(t, h, alwaysSuspect, "after a login that did not fail")(0)
		expectIdle(t, h, "at the end")
	})
}

func TestASuspectWhoGivesUpInTheQueueOfWorkersFreesThePlaceOfSuspects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHasher(HasherOptions{Workers: 1, Queue: 1})
		release := mustAcquire(t, h, neverSuspect, "the only worker")
		for range 3 { // a place that leaks is gone at the second time
			expectWaits(t, h, alwaysSuspect, "behind the only worker")
			if !h.suspects.sem.TryAcquire(1) { // at once: nothing failed, so nothing rests
				t.Fatal("the place of suspects after one gave up: it is taken, want it free")
			}
			h.suspects.sem.Release(1)
		}
		waiting := acquireLater(t.Context(), h, neverSuspect) // fills the queue
		got := <-acquireLater(t.Context(), h, alwaysSuspect)
		if !errors.Is(got.err, ErrBusy) || got.release != nil {
			t.Errorf("acquire of a suspect with a full queue: got the error %v, want %v and no release", got.err, ErrBusy)
		}
		release(0)
		(<-waiting).release(0)
		mustAcquire(t, h, alwaysSuspect, "after all have left")(0)
		expectIdle(t, h, "at the end")
	})
}

func TestALoginThatBecomesSuspectInTheQueueGivesItsWorkerToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHasher(HasherOptions{Workers: 1})
		mustAcquire(t, h, alwaysSuspect, "a suspect")(time.Second) // the place of suspects rests now
		calls := 0
		waiting := acquireLater(t.Context(), h, func() bool { calls++; return calls > 1 })
		mustAcquire(t, h, neverSuspect, "while the other waits among the suspects")(0)
		advance(suspectCooldown * time.Second)
		synctest.Wait()
		(<-waiting).release(0)
		expectIdle(t, h, "at the end")
	})
}

func TestTheQueuesHoldWhatTheyAreMadeFor(t *testing.T) {
	for what, c := range map[string]struct {
		options         HasherOptions
		suspect         func() bool
		running, queued int
	}{
		"two workers, a queue of three": {HasherOptions{Workers: 2, Queue: 3}, neverSuspect, 2, 3},
		"the default queue":             {HasherOptions{Workers: 2}, neverSuspect, 2, 64},
		"a negative queue":              {HasherOptions{Workers: 1, Queue: -1}, neverSuspect, 1, 64},
		"a queue of one":                {HasherOptions{Workers: 1, Queue: 1}, neverSuspect, 1, 1},
		"the default workers":           {HasherOptions{Queue: 1}, neverSuspect, max(1, runtime.GOMAXPROCS(0)/2), 1},
		"suspects":                      {HasherOptions{Workers: 4}, alwaysSuspect, 1, 8},
	} {
		synctest.Test(t, func(t *testing.T) {
			h := NewHasher(c.options)
			ctx, cancel := context.WithCancel(t.Context())
			var running []func(time.Duration)
			for range c.running {
				running = append(running, mustAcquire(t, h, c.suspect, what))
			}
			var waiting []<-chan acquired
			for range c.queued {
				waiting = append(waiting, acquireLater(ctx, h, c.suspect))
			}
			for i, w := range waiting {
				if len(w) > 0 {
					t.Errorf("%s: acquire %d of the queue: got the error %v, want a wait", what, i+1, (<-w).err)
				}
			}
			if got := <-acquireLater(ctx, h, c.suspect); !errors.Is(got.err, ErrBusy) {
				t.Errorf("%s: acquire beyond the queue: got the error %v, want %v", what, got.err, ErrBusy)
			}
			cancel()
			for _, release := range running {
				release(0)
			}
			synctest.Wait()
			expectIdle(t, h, "after all have left, "+what)
		})
	}
}

func TestTheDefaultWorkersAreHalfOfTheProcessors(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	for processors, want := range map[int]int64{1: 1, 2: 1, 4: 2, 6: 3} {
		runtime.GOMAXPROCS(processors)
		h := NewHasher(HasherOptions{Queue: 1})
		if got := h.workers.maxPending - 1; got != want {
			t.Errorf("workers with %d processors: got %d, want %d", processors, got, want)
		}
		if got := NewHasher(HasherOptions{Workers: 1, Queue: 1}).workers.maxPending - 1; got != 1 {
			t.Errorf("workers with %d processors and Workers 1: got %d, want 1", processors, got)
		}
		if got := runtime.GOMAXPROCS(0); got != processors {
			t.Errorf("processors after NewHasher: got %d, want %d", got, processors)
		}
	}
}

// TestDigestsAreKeyedAndUnambiguous: an entry that is found for other parts lets a client in
// with a wrong password.
func TestDigestsAreKeyedAndUnambiguous(t *testing.T) {
	h := NewHasher(HasherOptions{})
	seen := make(map[digest][]string)
	for _, parts := range [][]string{{"a", "b"}, {"ab"}, {"", "ab"}, {"ab", ""}, {"a", "", "b"}, {"b", "a"}, {"a"}, {}} {
		d := h.digest(parts...)
		if other, ok := seen[d]; ok {
			t.Errorf("digest of %q: got that of %q, want another", parts, other)
		}
		seen[d] = parts
		if again := h.digest(parts...); again != d {
			t.Errorf("digest of %q, the second time: got another, want the same", parts)
		}
		if NewHasher(HasherOptions{}).digest(parts...) == d {
			t.Errorf("digest of %q by another hasher: got the same, want one with another key", parts)
		}
	}
	var all sync.WaitGroup
	want := h.digest("a", "b")
	for range 8 {
		all.Go(func() {
			for range 100 {
				if got := h.digest("a", "b"); got != want {
					t.Errorf("digest beside others: got another, want the same")
					return
				}
			}
		})
	}
	all.Wait()
}
