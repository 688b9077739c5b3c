package acl

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// recordedTurns records when turns begin and end.
type recordedTurns struct{ events []string }

func (r *recordedTurns) acquire(_ context.Context, ofSuspects bool) (release func(), err error) {
	of := "a worker"
	if ofSuspects {
		of = "the suspects"
	}
	r.events = append(r.events, "begins: "+of)
	return func() { r.events = append(r.events, "ends: "+of) }, nil
}

// The logins that a client waited for may have been its own, and may have failed.
func TestALoginThatBecomesSuspectWhileItWaitsGivesItsWorkerToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns, asked := &recordedTurns{}, 0
		client := Client{Turn: turns.acquire, Suspect: func() bool { asked++; return asked > 1 }}
		if ok, err := loginOf(&countedPassword{}).Verify(t.Context(), "alice", "right", client); !ok || err != nil {
			t.Errorf("Verify of the right password: got %t, %v; want true", ok, err)
		}
		want := []string{"begins: a worker", "ends: a worker", "begins: the suspects", "begins: a worker", "ends: a worker", "ends: the suspects"}
		if !slices.Equal(turns.events, want) {
			t.Errorf("the turns: got %q, want %q", turns.events, want)
		}
	})
}

func TestAClientWithoutTurnsNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		users := loginOf(&countedPassword{})
		for range 3 {
			start := time.Now()
			if ok, err := users.Verify(t.Context(), "alice", "wrong", Client{Suspect: func() bool { return true }}); ok || err != nil {
				t.Errorf("Verify of a wrong password: got %t, %v; want false", ok, err)
			}
			if took := time.Since(start); took != time.Second {
				t.Errorf("Verify by the clock of the bubble: it took %v, want the second of the hash", took)
			}
		}
	})
}

func TestManyLoginsAtOnceAreAllVerified(t *testing.T) {
	users := mustParse(t, NewHasher(HasherOptions{}), toolsFile(t))
	var all sync.WaitGroup
	for i := range 64 {
		password, want := "apr1-Secret1", true
		if i%2 == 1 {
			password, want = "wrong", false
		}
		all.Go(func() {
			got, err := users.Verify(t.Context(), "apr1", password, Client{})
			if got != want || err != nil {
				t.Errorf("Verify, login %d of 64 with the password %q: got %t, %v; want %t", i, password, got, err, want)
			}
		})
	}
	all.Wait()
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
