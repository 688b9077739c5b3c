package acl

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func alwaysSuspect() bool { return true }

func neverSuspect() bool { return false }

func TestLoginsBeyondTheQueueAreToldSoAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHasher(HasherOptions{Workers: 1, Queue: 1})
		users := mustParse(t, h, toolsFile(t))
		release, err := h.acquire(t.Context(), Client{}) // takes the only worker
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var waiting sync.WaitGroup
		waiting.Go(func() {
			if _, err := users.Verify(ctx, "apr1", "x", Client{}); !errors.Is(err, context.Canceled) {
				t.Errorf("Verify that waited until it was canceled: got the error %v, want %v", err, context.Canceled)
			}
		})
		synctest.Wait() // until the login waits for the worker
		if _, err := users.Verify(ctx, "apr1", "x", Client{}); !errors.Is(err, ErrBusy) {
			t.Errorf("Verify with a full queue: got the error %v, want %v", err, ErrBusy)
		}
		cancel()
		waiting.Wait()
		release(0)
		expectVerified(t, users, "apr1", "apr1-Secret1", true)
	})
}

func TestSuspectsRestLongerAndKeepNobodyElseWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHasher(HasherOptions{Workers: 1})
		users := mustParse(t, h, toolsFile(t))
		calls := 0
		becomesSuspect := func() bool { calls++; return calls > 1 } // while it waits for the worker
		release, err := h.acquire(t.Context(), Client{Suspect: becomesSuspect})
		if err != nil {
			t.Fatal(err)
		}
		const duration = time.Hour // of the hash
		release(duration)
		expectVerified(t, users, "apr1", "apr1-Secret1", true) // other clients need not wait

		ctx, cancel := context.WithCancel(t.Context())
		var waiting sync.WaitGroup
		for range maxSuspects {
			waiting.Go(func() {
				if _, err := users.Verify(ctx, "apr1", "apr1-Secret1", Client{Suspect: alwaysSuspect}); !errors.Is(err, context.Canceled) {
					t.Errorf("Verify of a suspect, canceled during the cooldown: got the error %v, want %v", err, context.Canceled)
				}
			})
		}
		synctest.Wait()
		if got := h.suspects.pending.Load(); got != maxSuspects {
			t.Errorf("suspects that wait: got %d, want %d", got, maxSuspects)
		}
		if got := h.workers.pending.Load(); got != 0 {
			t.Errorf("places in the common queue: got %d taken by suspects, want none", got)
		}
		advance(suspectCooldown*duration - time.Nanosecond)
		synctest.Wait()
		if got := h.suspects.pending.Load(); got != maxSuspects {
			t.Errorf("suspects that wait at the end of the cooldown: got %d, want %d", got, maxSuspects)
		}
		cancel()
		waiting.Wait()
		advance(time.Nanosecond)
		synctest.Wait()
		if ok, err := users.Verify(t.Context(), "apr1", "apr1-Secret1", Client{Suspect: alwaysSuspect}); !ok || err != nil {
			t.Errorf("Verify of a suspect after the cooldown: got %t, %v; want true", ok, err)
		}
	})
}

func TestManyLoginsAtOnceAreAllVerified(t *testing.T) {
	users := mustParse(t, NewHasher(HasherOptions{Workers: 2, Queue: 1000}), toolsFile(t))
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
