package turn

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"etcd-tlsproxy/proxy/account"
)

func TestAClientHoldsNothingWhileItWaitsForItsTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var turns account.Turns
		holds := true
		client := &Client{Wait: func(ctx context.Context, wait func(context.Context) error) error {
			holds = false
			defer func() { holds = true }()
			return wait(ctx)
		}}
		first, second := New(&turns, "/a", &Client{}), New(&turns, "/a", client)
		if waited, err := first.Begin(t.Context()); waited || err != nil {
			t.Fatalf("the first turn: got %v, %v, want it at once", waited, err)
		}
		if waited, err := first.Begin(t.Context()); waited || err != nil {
			t.Fatalf("a turn that has begun: got %v, %v, want that it goes on", waited, err)
		}
		began := make(chan bool)
		go func() {
			waited, err := second.Begin(context.Background())
			began <- waited && err == nil
		}()
		synctest.Wait()
		if holds {
			t.Error("a client that waits holds something")
		}
		first.End()
		if !<-began || !holds {
			t.Error("the second turn did not begin after a wait, with what the client needs")
		}
		second.End()
		second.End()
		if turns.Waiting("/a") != 0 || !turns.TryTake("/a") {
			t.Error("the turn did not end")
		}
	})
}

// TestATurnIsPassedOnByAClientThatCannotUseIt has a client that gets its turn and does not get back what it
// gave back meanwhile.
func TestATurnIsPassedOnByAClientThatCannotUseIt(t *testing.T) {
	t.Parallel()
	var turns account.Turns
	crowded := errors.New("crowded")
	client := &Client{Wait: func(ctx context.Context, wait func(context.Context) error) error {
		turns.Pass("/a")
		if err := wait(ctx); err != nil {
			t.Error(err)
		}
		return crowded
	}}
	turns.TryTake("/a")
	turn := New(&turns, "/a", client)
	if waited, err := turn.Begin(t.Context()); !waited || !errors.Is(err, ErrNone) || !errors.Is(err, crowded) {
		t.Errorf("got %v, %v, want that the turn is of no use", waited, err)
	}
	turn.End()
	if !turns.TryTake("/a") {
		t.Error("nobody can have the turn any more")
	}
}

func TestAWriteThatLosesAgainAndAgainPauses(t *testing.T) {
	t.Parallel()
	for conflicts, want := range map[int]time.Duration{1: 0, 8: 0, 9: 2 * time.Millisecond, 10: 4 * time.Millisecond, 14: 64 * time.Millisecond,
		15: 100 * time.Millisecond, 1000: 100 * time.Millisecond} {
		if got := pauseAfter(conflicts); got != want {
			t.Errorf("after %d conflicts the longest pause is %s, want %s", conflicts, got, want)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		var turns account.Turns
		waits := 0
		turn := New(&turns, "/a", &Client{Wait: func(ctx context.Context, wait func(context.Context) error) error {
			waits++
			return wait(ctx)
		}})
		began := time.Now()
		for conflicts := range 100 {
			if err := turn.Pause(t.Context(), conflicts); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); waits != 91 || took == 0 || took > 91*maxPause {
			t.Errorf("100 conflicts: got %d pauses of %s together, want 91 that are bounded", waits, took)
		}
		gone, leave := context.WithCancel(t.Context())
		leave()
		if err := turn.Pause(gone, 1000); !errors.Is(err, ErrNone) {
			t.Errorf("a client that is gone: got %v, want %v", err, ErrNone)
		}
	})
}
