package changeover

import (
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// v2Store is the store of the v2 API: the numbers of all writes that it has executed.
type v2Store struct {
	mu       sync.Mutex
	executed map[int]bool
	next     int
}

func (s *v2Store) number() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next++
	return s.next
}

func (s *v2Store) execute(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.executed[n] = true
}

// copied returns what a command copies.
func (s *v2Store) copied() map[int]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[int]bool{}
	for n := range s.executed {
		all[n] = true
	}
	return all
}

// write writes until the tree takes writes, and returns the writes that were acknowledged. A write takes a
// while, and one in eight takes longer than the session lives.
func (s *v2Store) write(f *fleet, m *member) (acknowledged []int, unknown int) {
	for {
		w, err := m.admit(f.context())
		if err != nil {
			if !errors.Is(err, ErrSwitched) {
				f.Errorf("a write was not admitted: %v", err)
			}
			return acknowledged, unknown
		}
		if rand.IntN(8) == 0 {
			f.endSession(w.name)
		}
		for range rand.IntN(2000) {
			runtime.Gosched()
		}
		n := s.number()
		s.execute(n)
		if w.Confirm(f.context()) == nil {
			acknowledged = append(acknowledged, n)
		} else {
			unknown++
		}
		w.Done()
	}
}

// TestNoAcknowledgedWriteIsMissingInTheCopy moves the keys while clients of three proxies write, whose sessions
// often end while a write is under way. Before that, two commands end early.
func TestNoAcknowledgedWriteIsMissingInTheCopy(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	store := &v2Store{executed: map[int]bool{}}
	var writers sync.WaitGroup
	var mu sync.Mutex
	var acknowledged []int
	unknown := 0
	for range 3 {
		m := f.proxy(nil)
		for range 4 {
			writers.Go(func() {
				a, u := store.write(f, m)
				mu.Lock()
				defer mu.Unlock()
				acknowledged, unknown = append(acknowledged, a...), unknown+u
			})
		}
	}
	for range 2 {
		f.awaitWrites(store, 50)
		release := f.lock()
		f.describe(layout.Frozen)
		release()
	}
	f.awaitWrites(store, 200)
	f.lock()
	f.await(f.describe(layout.Frozen))
	copied := store.copied()
	f.describe(layout.Live)
	writers.Wait()
	for _, n := range acknowledged {
		if !copied[n] {
			t.Errorf("the write %d was acknowledged, and is not in the copy", n)
		}
	}
	t.Logf("%d writes were acknowledged, %d have an unknown outcome, and %d are in the copy", len(acknowledged), unknown, len(copied))
	if len(acknowledged) == 0 || unknown == 0 {
		t.Errorf("%d writes were acknowledged and %d have an unknown outcome, want some of both", len(acknowledged), unknown)
	}
}

// awaitWrites waits until the store has executed some more writes.
func (f *fleet) awaitWrites(s *v2Store, more int) {
	f.Helper()
	have := len(s.copied())
	for ctx := f.context(); len(s.copied()) < have+more; {
		if !rpc.Pause(ctx) {
			f.Fatal("the v2 API takes no writes")
		}
	}
}
