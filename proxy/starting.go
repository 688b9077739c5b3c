package proxy

import (
	"sync/atomic"
	"time"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/lane"
)

// starting is a connection before and during its handshake. It computes only when it is the
// turn of its account, and can be taken back while it waits for its client.
type starting struct {
	conn    *lane.ClientConn
	server  *Server
	account *account.Account
	turn    bool // whether it holds a place in the pool of handshakes
	revoked atomic.Bool
	lingers atomic.Bool  // its handshake has failed, and it is read from until the client closes it
	since   atomic.Int64 // when it began to wait for its client, in nanoseconds since 1970; 0 while it computes
}

// start registers the connection until leave is called.
func (s *Server) start(p pending) *starting {
	st := &starting{conn: p.conn, server: s, account: p.place.account}
	s.connections.Register(st.account, st)
	return st
}

// endTurns ends the handshake, whether it succeeded or not.
func (st *starting) endTurns() {
	st.conn.TakeTurns(nil)
	if st.turn {
		st.release()
	}
}

// linger records that the handshake has failed. Whoever lingers has no claim to its place.
func (st *starting) linger() {
	st.since.Store(1)
	st.lingers.Store(true)
}

// leave ends the registration.
func (st *starting) leave() { st.server.connections.Unregister(st.account, st) }

// pause waits before the handshake. It reports false if the connection must be closed.
func (st *starting) pause(wait time.Duration) bool {
	if wait <= 0 {
		return true
	}
	st.since.Store(1) // whoever has to pause has no claim to its place
	select {
	case <-time.After(wait):
	case <-st.server.handshakers.ctx.Done():
		return false
	}
	st.since.Store(0)
	return !st.revoked.Load()
}

// Acquire implements [lane.Turns].
func (st *starting) Acquire() error {
	st.since.Store(0)
	err := st.server.handshakes.Acquire(st.server.handshakers.ctx, st.account, 1, account.Ordinary)
	st.turn = err == nil
	return err
}

// Release implements [lane.Turns].
func (st *starting) Release() {
	if st.turn {
		st.release()
	}
	st.since.Store(time.Now().UnixNano())
}

func (st *starting) release() {
	st.turn = false
	st.server.handshakes.Release(st.account, 1, account.Ordinary)
}

// Class implements [account.Holder].
func (st *starting) Class() account.Class {
	since := st.since.Load()
	if since == 0 || time.Since(time.Unix(0, since)) < lane.StalledAfter {
		return account.Busy
	}
	return account.Stalled
}

// Revoke implements [account.Holder].
func (st *starting) Revoke(class account.Class) int64 {
	if st.Class() != class || st.revoked.Swap(true) {
		return 0
	}
	if st.lingers.Load() {
		_ = st.conn.Close() // each of its reads has a deadline of its own
	} else {
		_ = st.conn.SetDeadline(time.Unix(1, 0))
	}
	st.server.metrics.ConnectionShed()
	return 1
}
