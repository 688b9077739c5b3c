package acl

import (
	"context"
	"encoding/binary"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// turns counts the turns that a client holds.
type turns struct {
	held, ofSuspects atomic.Int64 // timers release turns
	err              error
}

func (t *turns) acquire(_ context.Context, ofSuspects bool) (release func(), err error) {
	if t.err != nil && !ofSuspects {
		return nil, t.err
	}
	count := &t.held
	if ofSuspects {
		count = &t.ofSuspects
	}
	count.Add(1)
	return func() { count.Add(-1) }, nil
}

func (t *turns) expect(test *testing.T, held, ofSuspects int64, when string) {
	test.Helper()
	if gotHeld, gotOfSuspects := t.held.Load(), t.ofSuspects.Load(); gotHeld != held || gotOfSuspects != ofSuspects {
		test.Errorf("turns held %s: got %d of workers and %d of suspects, want %d and %d", when, gotHeld, gotOfSuspects, held, ofSuspects)
	}
}

// loginOf returns users with one user, whose hash takes a second of the bubble's clock.
func loginOf(counted *countedPassword) *Users {
	counted.onHash = func() { advance(time.Second) }
	return newUsers(NewHasher(HasherOptions{}), map[string]*user{
		"alice": {name: "alice", hash: storedHash{text: "hash", matcher: counted, maxBytes: maxPasswordBytes}},
	})
}

func TestATurnRestsAfterAFailureAndEndsAtOnceAfterASuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held := &turns{}
		login := func(users *Users, name, password string, suspect bool, want bool) {
			t.Helper()
			ok, err := users.Verify(t.Context(), name, password, Client{Turn: held.acquire, Suspect: func() bool { return suspect }})
			if ok != want || err != nil {
				t.Errorf("Verify(%q, %q): got %t, %v; want %t", name, password, ok, err, want)
			}
		}
		login(loginOf(&countedPassword{}), "alice", "right", false, true)
		held.expect(t, 0, 0, "after the right password")
		login(loginOf(&countedPassword{}), "alice", "right", true, true)
		held.expect(t, 0, 0, "after the right password of a suspect")
		for _, name := range []string{"alice", "nobody"} {
			login(loginOf(&countedPassword{}), name, "wrong", false, false)
			advance(3*time.Second - 1)
			held.expect(t, 1, 0, "before the end of the rest of "+name)
			advance(1)
			synctest.Wait()
			held.expect(t, 0, 0, "after the rest of "+name)

			login(loginOf(&countedPassword{}), name, "wrong", true, false)
			held.expect(t, 0, 1, "during the rest of a suspect, "+name)
			advance(19*time.Second - 1)
			held.expect(t, 0, 1, "before the end of the rest of a suspect, "+name)
			advance(1)
			synctest.Wait()
			held.expect(t, 0, 0, "after the rest of a suspect, "+name)
		}
	})
}

// TestAProcessThatWasStoppedDoesNotRestForThatTime has a hash during which a machine was suspended, or a process
// stopped, for a minute.
func TestAProcessThatWasStoppedDoesNotRestForThatTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, suspect := range []bool{false, true} {
			held := &turns{}
			counted := &countedPassword{}
			users := loginOf(counted)
			counted.onHash = func() { advance(time.Minute) }
			if ok, err := users.Verify(t.Context(), "alice", "wrong", Client{Turn: held.acquire, Suspect: func() bool { return suspect }}); ok || err != nil {
				t.Fatalf("Verify: got %t, %v; want that the password is wrong", ok, err)
			}
			advance(suspectCooldown * longestHash)
			synctest.Wait()
			held.expect(t, 0, 0, "after the rest behind the longest hash")
		}
	})
}

func TestALoginWithoutATurnIsNotChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := errors.New("there are too many")
		for _, suspect := range []bool{false, true} {
			counted, held := &countedPassword{}, &turns{err: refused}
			client := Client{Turn: held.acquire, Suspect: func() bool { return suspect }}
			ok, err := loginOf(counted).Verify(t.Context(), "alice", "right", client)
			if ok || !errors.Is(err, refused) || counted.computed != 0 {
				t.Errorf("Verify without a turn, suspect %t: got %t, %v and %d hashes; want false, %v and none", suspect, ok, err, counted.computed, refused)
			}
			held.expect(t, 0, 0, "after the refusal")
		}
	})
}

// After a start many clients have the same password.
func TestOneHashServesAllLoginsThatWaitedForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		counted, worker := &countedPassword{}, make(chan struct{}, 1)
		users := loginOf(counted)
		client := Client{Turn: func(context.Context, bool) (func(), error) {
			worker <- struct{}{}
			return func() { <-worker }, nil
		}}
		results := make(chan bool, 3)
		for range cap(results) {
			go func() {
				ok, err := users.Verify(t.Context(), "alice", "right", client)
				results <- ok && err == nil
			}()
		}
		for range cap(results) {
			if !<-results {
				t.Error("Verify of the right password: got false, want true")
			}
		}
		if counted.computed != 1 {
			t.Errorf("hashes for %d logins with one password: got %d, want 1", cap(results), counted.computed)
		}
	})
}

// A name that is not known borrows the hash of a user. If that name once had the same hash, its
// password is still remembered.
func TestARemovedUserIsRefusedThoughAnotherHasTheSameHash(t *testing.T) {
	h := NewHasher(HasherOptions{})
	before := mustParse(t, h, "removed:"+shaOf("secret"))
	after := mustParse(t, h, "other:"+shaOf("secret"))
	expectVerified(t, before, "removed", "secret", true)
	expectRemembered(t, before, "removed", "secret", true)
	expectRemembered(t, after, "removed", "secret", false)
	expectVerified(t, after, "removed", "secret", false)
}

func TestTheNumberOfRememberedPasswordsIsAsConfigured(t *testing.T) {
	for configured, want := range map[int]int{0: 4096, -1: 4096, 1: 1, 2: 2} {
		h := NewHasher(HasherOptions{Remember: configured})
		for i := range 5000 {
			var d digest
			binary.LittleEndian.PutUint64(d[:], uint64(i)) //nolint:gosec // it is not negative
			h.remembered.Add(d, struct{}{})
		}
		if got := h.remembered.Len(); got != want {
			t.Errorf("remembered passwords with Remember %d: got %d, want %d", configured, got, want)
		}
	}
}

func TestADigestLeavesNoPasswordInMemory(t *testing.T) {
	h := NewHasher(HasherOptions{})
	h.digest("name", "a password")
	h.digest("x")
	d := h.digests.Get().(*digester) // with the race detector it may be a new one
	for i, b := range d.input[:cap(d.input)] {
		if b != 0 {
			t.Fatalf("byte %d of the buffer after a digest: got %q, want it cleared", i, b)
		}
	}
}
