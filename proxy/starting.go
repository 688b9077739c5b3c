package proxy

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"sync/atomic"
	"time"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxyheader"
)

// starting is a connection before and during its handshake, or while its header is awaited. It
// computes only when it is the turn of its account, and can be taken back while it waits for its
// client.
type starting struct {
	conn    *lane.ClientConn
	server  *Server
	pool    *account.Pool // of the connection's place
	account *account.Account
	turn    bool // whether it holds a place in the pool of handshakes
	// deadline is when the client must have done its part.
	deadline time.Time
	revoked  atomic.Bool
	lingers  atomic.Bool  // its start has failed, and it is read from until the client closes it
	since    atomic.Int64 // when it began to wait for its client, in nanoseconds since 1970; 0 while it computes
	// asked is when the client was last answered. What it sends byte by byte is no progress.
	asked time.Time
}

// start registers the connection until leave is called.
func (s *Server) start(p pending) *starting {
	st := &starting{conn: p.conn, server: s, pool: p.place.pool, account: p.place.account}
	st.pool.Register(st.account, st)
	return st
}

// within does the work of the connection's start. The client must do its part in time; its
// waits for a turn do not count. After a success the connection is not registered any more.
// After a failure it lingers, and the caller must call leave.
func (st *starting) within(timeout time.Duration, work func() error) error {
	ctx := st.server.handshakers.ctx
	st.deadline = time.Now().Add(timeout)
	err := st.conn.SetDeadline(st.deadline)
	// A context for each connection would need a goroutine that waits for its end.
	goOn := context.AfterFunc(ctx, func() { _ = st.conn.SetDeadline(time.Unix(1, 0)) })
	if err == nil {
		err = work()
	}
	st.conn.TakeTurns(nil, 0)
	if st.turn {
		st.release()
	}
	if !goOn() {
		err = ctx.Err()
	}
	if err != nil {
		st.since.Store(1) // whoever lingers has no claim to its place
		st.lingers.Store(true)
		return err
	}
	if st.leave(); st.revoked.Load() {
		return lane.ErrShort // at the last moment
	}
	return st.conn.SetDeadline(time.Time{})
}

// leave ends the registration, if there is one.
func (st *starting) leave() { st.pool.Unregister(st.account, st) }

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
	began := time.Now()
	err := st.server.handshakes.Acquire(st.server.handshakers.ctx, st.account, 1, account.Ordinary)
	st.turn = err == nil
	if err == nil {
		waited := time.Since(began)
		st.asked = st.asked.Add(waited)
		err = st.extend(waited)
	}
	return err
}

// extend moves the deadline, unless the connection was ended from outside meanwhile.
func (st *starting) extend(by time.Duration) error {
	st.deadline = st.deadline.Add(by)
	err := st.conn.SetDeadline(st.deadline)
	if st.revoked.Load() || st.server.handshakers.ctx.Err() != nil {
		err = st.conn.SetDeadline(time.Unix(1, 0)) // it may have been set before
	}
	return err
}

// Release implements [lane.Turns].
func (st *starting) Release(begins bool) {
	if st.turn {
		st.release()
	}
	if begins {
		st.asked = time.Now()
	}
	st.since.Store(st.asked.UnixNano())
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

// identify reads the header with which a load balancer names the client, and charges the
// connection to that client from then on. It reports false if it has closed the connection.
func (s *Server) identify(p pending) bool {
	st := s.start(p)
	st.since.Store(time.Now().UnixNano())
	var client netip.AddrPort
	err := st.within(s.current.Load().Limits.HeaderTimeout, func() (err error) {
		client, err = proxyheader.Read(p.conn)
		return err
	})
	if err != nil {
		if st.revoked.Load() {
			err = lane.ErrShort
		}
		s.notIdentified(p.conn, err)
		st.leave()
		return false
	}
	s.unnamed.Succeeded()
	if client.IsValid() {
		p.conn.SetClient(client)
	}
	p.place.close()
	p.place.open(s.connections, addressOf(p.conn).Addr())
	if !s.memory.accepts(p.place.account) {
		s.refuse(p.conn, tooLittleMemory)
		return false
	}
	return s.admit(p)
}

// notIdentified closes a connection of a load balancer without a valid header.
func (s *Server) notIdentified(c *lane.ClientConn, err error) {
	balancer := addressOf(c).Addr().Unmap().String()
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, lane.ErrShort):
		_ = c.Close()
		return
	case errors.Is(err, io.EOF): // a check whether the port is open
		s.log.Debug("a load balancer has closed a connection without a header", "from", balancer)
	default:
		s.unnamed.Failed("from", balancer, "error", err)
	}
	s.refuse(c, noClientNamed)
}
