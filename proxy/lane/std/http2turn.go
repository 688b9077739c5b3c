package std

import (
	"context"
	"sync"

	"etcd-tlsproxy/proxy/account"
)

// turn is the place of a connection of HTTP/2 among those whose frames net/http processes. A
// frame takes several goroutines to process, which wait for a processor one after the other,
// together with those of all other connections. Without turns, a thousand connections with one
// request each make everyone wait a thousand times as long as one, several times for each
// request. With turns, networks share the processor equally.
//
// A turn is taken when a whole frame has arrived, and ends with the next read, which net/http
// begins when it has processed the frame. So nobody holds one while it waits for its client.
type turn struct {
	pool    *account.Pool // nil if there is no limit
	account *account.Account

	mu      sync.Mutex
	held    bool
	waiting bool
	closed  bool
}

// open prepares a turn for use.
func (t *turn) open(pool *account.Pool, a *account.Account) {
	if t.pool = pool; pool != nil {
		t.account = a.Reopen() // the goroutine that reads can outlast the connection
	}
}

// take waits for a turn. It reports whether it had to wait.
func (t *turn) take() (waited bool) {
	if !t.wait() {
		return false
	}
	got := t.pool.TryAcquire(t.account, 1, account.Ordinary)
	if waited = !got; waited {
		// The queue has room for all connections. If it had not, the frame would be processed
		// out of turn.
		got = t.pool.Acquire(context.Background(), t.account, 1, account.Ordinary) == nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting, t.held = false, got
	if t.closed {
		t.end()
		t.account.Close()
	}
	return waited
}

// wait records that a turn is waited for. It reports false if none is needed.
func (t *turn) wait() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting = t.pool != nil && !t.held && !t.closed
	return t.waiting
}

// release ends the turn, if there is one.
func (t *turn) release() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end()
}

// end ends the turn, if there is one; t.mu is held.
func (t *turn) end() {
	if t.held {
		t.held = false
		t.pool.Release(t.account, 1, account.Ordinary)
	}
}

// close ends the turn for good.
func (t *turn) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || t.pool == nil {
		return
	}
	t.closed = true
	t.end()
	if !t.waiting {
		t.account.Close()
	}
}
