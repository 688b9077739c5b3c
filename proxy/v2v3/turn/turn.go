package turn

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"etcd-tlsproxy/proxy/account"
)

// Client is on whose behalf a write is made. The zero value is nobody in particular.
type Client struct {
	// Account takes turns with others; nil for nobody.
	Account *account.Account
	// Wait calls a function that waits, and does without what the client holds at etcd meanwhile. It
	// returns the error of the function, or why the client did not get that again. Nil calls the function.
	Wait func(ctx context.Context, wait func(context.Context) error) error
}

func (c *Client) wait(ctx context.Context, wait func(context.Context) error) error {
	if c.Wait == nil {
		return wait(ctx)
	}
	return c.Wait(ctx, wait)
}

// ErrNone means that the time of a write has ended before its turn, or that too many others wait.
var ErrNone = errors.New("the write did not get its turn")

// Turn is the turn of one write at a key.
type Turn struct {
	turns  *account.Turns
	key    string
	client *Client
	held   bool
}

// New returns a turn that has not begun.
func New(turns *account.Turns, key string, client *Client) Turn {
	return Turn{turns: turns, key: key, client: client}
}

// Begin begins the turn if it has not begun. It reports whether it had to wait, for other writes that may
// have changed the tree. The error is [ErrNone].
func (t *Turn) Begin(ctx context.Context) (waited bool, err error) {
	if t.held {
		return false, nil
	}
	if t.held = t.turns.TryTake(t.key); t.held {
		return false, nil
	}
	err = t.client.wait(ctx, func(ctx context.Context) error {
		err := t.turns.Take(ctx, t.key, t.client.Account)
		t.held = err == nil
		return err
	})
	if err != nil {
		return true, fmt.Errorf("%w: %w", ErrNone, err)
	}
	return true, nil
}

// End lets the next write have its turn, if this one has begun.
func (t *Turn) End() {
	if t.held {
		t.held = false
		t.turns.Pass(t.key)
	}
}

const (
	// patientConflicts is how often a write is tried again at once. With as many proxies as there are,
	// one of them wins each time.
	patientConflicts = 8
	// firstPause bounds the pause after the next conflict, and each further one doubles it up to maxPause.
	firstPause = 2 * time.Millisecond
	maxPause   = 100 * time.Millisecond
)

// Pause waits after a conflict with writes of other proxies. Its error is [ErrNone].
func (t *Turn) Pause(ctx context.Context, conflicts int) error {
	pause := pauseAfter(conflicts)
	if pause == 0 {
		return nil
	}
	err := t.client.wait(ctx, func(ctx context.Context) error {
		timer := time.NewTimer(rand.N(pause))
		defer timer.Stop()
		select {
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNone, err)
	}
	return nil
}

// pauseAfter returns the longest pause after so many conflicts.
func pauseAfter(conflicts int) time.Duration {
	if conflicts <= patientConflicts {
		return 0
	}
	return min(firstPause<<min(conflicts-patientConflicts-1, 10), maxPause)
}
