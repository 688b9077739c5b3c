package lane

import (
	"context"
	"time"

	"etcd-tlsproxy/proxy/account"
)

// revocable is a registered connection in the form in which the pool takes it back.
type revocable struct {
	conns *Conns
	Conn
}

// Revoke implements [account.Holder].
func (r revocable) Revoke(class account.Class) int64 {
	ended := false
	if class == account.Silent {
		ended = r.CloseIfIdle()
	} else {
		ended = r.CutIf(class)
	}
	if !ended {
		return 0
	}
	r.conns.Revoked()
	return 1
}

// forget tells the pool that a connection cannot be taken back any more.
func (cs *Conns) forget(c Conn, a *account.Account) {
	if cs.Pool != nil {
		cs.Pool.Unregister(a, revocable{cs, c})
	}
}

// StalledAfter is how long a client may send nothing of a message that it has begun before
// its connection counts as stalled. Congested networks can take a second for a packet.
const StalledAfter = 2 * time.Second

// Queue is the wait of a request for its turn at etcd. Nothing is lost if it ends early, so what is
// held meanwhile can be taken back: a client could otherwise have thousands of requests that wait
// for each other. The zero Queue is no wait. Its owner's lock guards it.
type Queue struct {
	since time.Time
	end   context.CancelFunc
}

// Set records the arguments of [Client.Queued].
func (q *Queue) Set(end context.CancelFunc) { q.since, q.end = time.Now(), end }

// Slow reports whether the request has waited for some time.
func (q *Queue) Slow() bool { return q.end != nil && time.Since(q.since) >= blockedFor }

// Leave ends the wait, and reports whether there was one.
func (q *Queue) Leave() bool {
	if q.end == nil {
		return false
	}
	q.end()
	return true
}

// blockedFor is how long the client must have accepted nothing before it counts as slow. An
// answer that is being encrypted looks the same for a moment.
const blockedFor = 200 * time.Millisecond

// Blocked recognizes connections whose client does not accept what is written to it, by what
// repeated calls of Class see. The zero Blocked is ready to use.
type Blocked struct {
	since time.Time
}

// Slow reports whether the connection was blocked at each call for some time. blocked is
// whether it is now.
func (b *Blocked) Slow(blocked bool) bool {
	now := time.Now()
	switch {
	case !blocked:
		b.since = time.Time{}
	case b.since.IsZero():
		b.since = now
	}
	return blocked && now.Sub(b.since) >= blockedFor
}
