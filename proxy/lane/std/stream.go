package std

import (
	"context"
	"net/http"
	"time"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane"
)

// stream is a request of HTTP/2 in the form in which the pool of streams takes it back.
type stream struct{ *request }

// Class implements [account.Holder].
func (s stream) Class() account.Class { return s.task.class() }

// Revoke implements [account.Holder]. Only the stream ends. If its client accepts nothing at
// all, the end of the stream does not reach it either, so the connection is cut.
func (s stream) Revoke(class account.Class) int64 {
	if class == account.Busy || s.task.class() != class || s.broken.Swap(true) {
		return 0
	}
	if end := s.endWatch.Load(); class == account.Watching && end != nil {
		(*end)(lane.ErrShort)
		return streamUnits
	}
	if leave := s.leave.Load(); leave != nil {
		(*leave)()
	}
	control := http.NewResponseController(s.w)
	_ = control.SetReadDeadline(time.Unix(1, 0))
	_ = control.SetWriteDeadline(time.Unix(1, 0))
	if conn := s.conn.http2; conn.stuck() {
		conn.CutIf(account.Stalled)
	}
	return streamUnits
}

// charge charges the stream for what a request holds beside the usual, and waits for its turn.
func (q *request) charge(ctx context.Context, bytes int) bool {
	units := int64(bytes+account.LeaseUnit-1) / account.LeaseUnit
	s := q.conn.http2.streams
	if s.pool == nil || units == 0 {
		return true
	}
	if !s.pool.TryAcquire(s.account, units, account.Ordinary) {
		ctx, cancel := context.WithTimeout(ctx, streamPatience)
		defer cancel()
		if s.pool.Acquire(ctx, s.account, units, account.Ordinary) != nil {
			return false
		}
	}
	q.charged += units
	return true
}

// startStream begins the use of a stream by a handler. A refusal means that there is no memory
// for it.
func (q *request) startStream() *gate.Refusal {
	s := q.conn.http2.streams
	admitted := s.startHandler()
	if s.pool != nil {
		s.pool.Register(s.account, stream{q})
	}
	if admitted && q.charge(q.r.Context(), headBytes(q.r)) {
		return nil
	}
	q.refused = true
	return gate.RefuseSpace
}

// endStream ends that use.
func (q *request) endStream() {
	s := q.conn.http2.streams
	if s.pool != nil {
		s.pool.Unregister(s.account, stream{q})
		if q.charged > 0 {
			s.pool.Release(s.account, q.charged, account.Ordinary)
		}
	}
	s.endHandler()
}

// headBytes returns what the head of a request needs beside [StreamBytes].
func headBytes(r *http.Request) int {
	n := headCopies * len(r.RequestURI)
	for name, values := range r.Header {
		for _, value := range values {
			n += len(name) + len(value)
		}
	}
	return max(0, n-smallHead)
}
