package account

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

// fakeHolder holds one unit, and releases it soon after it was revoked.
type fakeHolder struct {
	pool    *Pool
	account *Account
	class   Class

	mu      sync.Mutex
	revoked bool
}

func (h *fakeHolder) Class() Class { return h.class }

func (h *fakeHolder) Revoke(c Class) int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.revoked || c != h.class {
		return 0
	}
	h.revoked = true
	go h.pool.Release(h.account, 1, Ordinary)
	h.pool.Unregister(h.account, h)
	return 1
}

func (h *fakeHolder) wasRevoked() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.revoked
}

// hold makes an account hold n units, each with a holder of the class.
func hold(t interface{ Fatalf(string, ...any) }, p *Pool, a *Account, n int, class Class) (all []*fakeHolder) {
	for range n {
		if !p.TryAcquire(a, 1, Ordinary) {
			t.Fatalf("account %s got no unit, %d of %d in use", a, p.Used(), p.total)
		}
		h := &fakeHolder{pool: p, account: a, class: class}
		p.Register(a, h)
		all = append(all, h)
	}
	return all
}

func revokedOf(all []*fakeHolder) (n int) {
	for _, h := range all {
		if h.wasRevoked() {
			n++
		}
	}
	return n
}

// demand makes an account wait for n units, for a time.
func demand(t *testing.T, p *Pool, a *Account, n int, patience time.Duration) (granted int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	results := make(chan error, n)
	for range n {
		go func() { results <- p.Acquire(ctx, a, 1, Ordinary) }()
	}
	for range n {
		switch err := <-results; {
		case err == nil:
			granted++
		case !errors.Is(err, context.DeadlineExceeded):
			t.Errorf("waiting for a unit: got %v, want a unit or %v", err, context.DeadlineExceeded)
		}
	}
	return granted
}
