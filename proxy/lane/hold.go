package lane

import (
	"context"
	"sync"
	"time"

	"etcd-tlsproxy/proxy/account"
)

// Client is the client's end of one answer.
type Client interface {
	// BreakOff makes the writes of the answer fail, now and later. It must not block.
	BreakOff()
	// Queued is called when the request begins to wait for its turn at etcd, with a function that
	// ends the wait, and with nil when it has ended. The client then gets a refusal, or its
	// answer is broken off.
	Queued(end context.CancelFunc)
}

// hold is what an answer holds while its client takes it: memory, or a connection to etcd.
// The pool takes it back by breaking the answer off, if the client has more than its share
// and others need it. A nil hold is nothing.
type hold struct {
	client  Client
	pool    *account.Pool
	account *account.Account
	units   int64
	watch   *Watch // that the answer is to be the event of; nil for the answer to a read or a write

	mu    sync.Mutex
	last  time.Time // when the client last took a part of the answer
	ended bool      // the answer was broken off, or is complete
}

// newHold registers what an answer holds of a pool.
func newHold(p *account.Pool, a *account.Account, units int64, c Client) *hold {
	return (&hold{client: c, pool: p, account: a, units: units, last: time.Now()}).register()
}

// holdWatch registers what a watch holds of a pool until it ends.
func holdWatch(p *account.Pool, w *Watch, units int64, c Client) *hold {
	return (&hold{client: c, pool: p, account: w.account, units: units, watch: w}).register()
}

func (h *hold) register() *hold {
	h.pool.Register(h.account, h)
	return h
}

// taken records that the client has taken a part of the answer.
func (h *hold) taken() {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last = time.Now()
}

// end ends the hold. BreakOff is not called afterwards.
func (h *hold) end() {
	h.pool.Unregister(h.account, h)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = true
}

// Class implements [account.Holder].
func (h *hold) Class() account.Class {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.class()
}

// class returns what the client is doing; h.mu is held.
func (h *hold) class() account.Class {
	switch {
	case h.ended:
		return account.Busy
	case h.watch != nil:
		return account.Watching
	case time.Since(h.last) > StalledAfter:
		return account.Stalled
	}
	return account.Slow
}

// Revoke implements [account.Holder].
func (h *hold) Revoke(class account.Class) int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.class() != class || class == account.Busy {
		return 0
	}
	h.ended = true
	if h.watch != nil {
		h.watch.End(ErrShort)
	}
	h.client.BreakOff()
	return h.units
}
