package lane

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"etcd-tlsproxy/proxy/account"
)

// Conn is a client's connection that a lane serves.
type Conn interface {
	// CloseIfIdle ends the connection if it waits for its next request, and reports
	// whether it did. It must not block. If a request arrives at the same time, it is
	// answered first.
	CloseIfIdle() bool
	// Class returns what the connection is doing. It must not block.
	Class() account.Class
	// CutIf cuts the connection if it still is in the class, which is above
	// [account.Silent], and reports whether it did. It must not block.
	CutIf(account.Class) bool
	// Cut closes the connection, whatever it is doing. If the client does not read, it may
	// block for some seconds.
	Cut()
}

// Lane tells the lanes apart.
type Lane int

// The lanes.
const (
	Fast Lane = iota
	Standard
	numLanes
)

// Conns registers the connections of all lanes. The zero Conns is ready to use.
type Conns struct {
	// Pool is the pool that connections were acquired from. It takes connections back
	// when it is short. If it is nil, it does not.
	Pool *account.Pool
	// Revoked is called for each connection that the pool takes back.
	Revoked func()

	draining atomic.Bool

	mu      sync.Mutex
	lanes   [numLanes]map[Conn]*account.Account
	closed  [numLanes]bool
	changed chan struct{} // closed when a connection is released; nil if no one waits
}

// DrainGrace bounds the time that a connection may take for its handshake, and then for its
// first request, after the server has started to drain. The connection was accepted, so its
// client expects an answer. A second is enough for clients at any distance.
const DrainGrace = time.Second

// Draining reports whether the server drains.
func (cs *Conns) Draining() bool { return cs.draining.Load() }

// Register adds a connection of an account. It reports false if the lane is closed; the
// caller must then close the connection.
func (cs *Conns) Register(l Lane, c Conn, a *account.Account) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.closed[l] {
		return false
	}
	if cs.lanes[l] == nil {
		cs.lanes[l] = make(map[Conn]*account.Account)
	}
	cs.lanes[l][c] = a
	if cs.Pool != nil {
		cs.Pool.Register(a, revocable{cs, c})
	}
	return true
}

// Release removes a connection that has left the lane. A connection that is not
// registered is ignored.
func (cs *Conns) Release(l Lane, c Conn) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if a, registered := cs.lanes[l][c]; registered {
		cs.forget(c, a)
		delete(cs.lanes[l], c)
	}
	if cs.changed != nil {
		close(cs.changed)
		cs.changed = nil
	}
}

// StartDrain ends the idle connections at once. The others end after their request. A
// connection that was accepted and has had no request yet may send one.
func (cs *Conns) StartDrain() {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.draining.Store(true)
	for _, conns := range cs.lanes {
		for c := range conns {
			c.CloseIfIdle()
		}
	}
}

// StopDrain ends the effect of StartDrain on connections that are still open.
func (cs *Conns) StopDrain() { cs.draining.Store(false) }

// Close refuses new connections of a lane and waits for the others to end. If ctx ends
// first, it returns ctx's error.
func (cs *Conns) Close(ctx context.Context, l Lane) error {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.closed[l] = true
	return cs.wait(ctx, l)
}

// Wait waits until a lane has no connections, or ctx ends.
func (cs *Conns) Wait(ctx context.Context, l Lane) error {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return cs.wait(ctx, l)
}

// wait waits without the lock; cs.mu is held before and after.
func (cs *Conns) wait(ctx context.Context, l Lane) error {
	for len(cs.lanes[l]) > 0 {
		if cs.changed == nil {
			cs.changed = make(chan struct{})
		}
		changed := cs.changed
		cs.mu.Unlock()
		select {
		case <-changed:
			cs.mu.Lock()
		case <-ctx.Done():
			cs.mu.Lock()
			return ctx.Err()
		}
	}
	return nil
}

// Cut closes all connections of a lane in parallel, and returns when they are closed.
func (cs *Conns) Cut(l Lane) {
	cs.mu.Lock()
	conns := cs.lanes[l]
	cs.lanes[l] = nil
	for c, a := range conns {
		cs.forget(c, a)
	}
	cs.mu.Unlock()
	// Closing a connection whose client does not read blocks on close_notify for up to
	// 5 seconds, so the connections are closed in parallel. A connection that waits for
	// etcd notices when etcd answers.
	var closing sync.WaitGroup
	for c := range conns {
		closing.Go(c.Cut)
	}
	closing.Wait()
}
