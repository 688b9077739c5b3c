package std

import (
	"context"
	"errors"
	"net/http"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/go-chi/chi/v5/middleware"

	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/observe"
)

// request is one request from its head to the last byte of its answer.
type request struct {
	server   *Server
	w        http.ResponseWriter
	r        *http.Request
	conn     *connection
	snapshot *lane.Snapshot
	rec      *observe.Record
	task     task
	before   phase       // the phase before the wait for its turn
	broken   atomic.Bool // BreakOff was called
	body     receivedBody
	present  lane.Presence
	endWatch atomic.Pointer[context.CancelCauseFunc] // nil unless a watch runs
	upload   *body                                   // what it has received; nil for nothing
	leave    atomic.Pointer[context.CancelFunc]      // ends the wait for its turn at etcd; nil if there is none
	charged  int64                                   // to the pool of streams, beside the stream
	refused  bool                                    // there is no memory for it
}

// BreakOff implements [lane.Client].
func (q *request) BreakOff() {
	q.broken.Store(true)
	if q.conn.strict != nil {
		q.conn.strict.broken.Store(true)
	}
	_ = http.NewResponseController(q.w).SetWriteDeadline(time.Unix(1, 0))
}

// Queued implements [lane.Client].
func (q *request) Queued(end context.CancelFunc) {
	if q.upload != nil {
		q.upload.setQueued(end)
	}
	if end == nil {
		q.leave.Store(nil)
		q.task.enter(q.before)
		return
	}
	q.leave.Store(&end)
	q.before = q.task.enter(queued)
}

// serveHTTP serves one request.
func (s *Server) serveHTTP(out http.ResponseWriter, r *http.Request) {
	conn := connectionOf(r.Context())
	if conn.http2 == nil {
		defer conn.run.Served()
	}
	w := middleware.NewWrapResponseWriter(out, r.ProtoMajor)
	rec := &observe.Record{Peer: conn.peer, Started: time.Now(), Proto: r.Proto, UserAgent: r.UserAgent(), RequestID: observe.ClientRequestID(r.Header.Get(observe.RequestIDField))}
	// An answer that is broken off is recorded as well; the panic that breaks it off
	// continues.
	defer func() {
		defer boundRest(w, r, s.currentLimits()) // the last bytes are still to be sent
		if bug := recover(); bug != nil {
			if err, ok := bug.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
				s.exchange.Log.Error("a request was given up because of a bug", "from", conn.peer.Addr.String(), "panic", bug, "stack", string(debug.Stack()))
			}
			defer panic(http.ErrAbortHandler)
		}
		rec.Status, rec.Bytes = w.Status(), int64(w.BytesWritten())
		if rec.Status == 0 {
			rec.Status = statusClientGone
		}
		s.exchange.Observer.Answered(rec)
	}()
	if rec.RequestID != "" {
		w.Header()[observe.RequestIDField] = []string{rec.RequestID}
	}
	q := &request{server: s, w: w, r: r, conn: conn, snapshot: s.exchange.Current.Load(), rec: rec, task: task{work: conn.work}}
	if conn.http2 != nil {
		rec.Refusal = q.startStream()
		defer q.endStream()
	}
	q.task.enter(working)
	defer q.task.enter(ended)
	if rec.Refusal == nil {
		rec.Refusal = q.serve()
	}
	if rec.Refusal != nil {
		q.refuse(rec.Refusal)
	}
}

// statusClientGone is recorded if the client disconnected before it was answered. It is
// nginx's status for this.
const statusClientGone = 499

// serve decides about a request and answers it, or returns a refusal.
func (q *request) serve() *gate.Refusal {
	if refusal := q.conn.malformed(q.r); refusal != nil {
		return refusal
	}
	if q.r.ProtoMajor == 2 {
		if refusal := checkHTTP2(q.r); refusal != nil {
			return refusal
		}
	}
	req := gate.Request{
		Method:        q.r.Method,
		Target:        q.r.RequestURI,
		Authorization: q.r.Header.Get("Authorization"), // there is at most one
		Upgrade:       len(q.r.Header["Upgrade"]) > 0 && q.r.ContentLength != 0,
		Peer:          q.conn.peer,
	}
	op := &q.rec.Op
	if refusal := q.decide(&req); refusal != nil {
		return refusal
	}
	if !op.HasBody() && q.r.ContentLength != 0 {
		if refusal := q.dropBody(); refusal != nil {
			return refusal
		}
	}
	switch {
	case op.Method == http.MethodOptions:
		q.w.Header().Set("Allow", gate.AllowedMethods)
		q.w.Header().Set("Content-Length", "0")
		q.w.WriteHeader(http.StatusOK)
		return nil
	case q.snapshot.Waits(op):
		return q.watch()
	}
	return q.forward()
}

// decide asks the gate. On HTTP/1 net/http notices that a client has left only once it has
// read the body.
func (q *request) decide(req *gate.Request) *gate.Refusal {
	ctx := q.r.Context()
	if q.conn.strict != nil {
		q.present = lane.NewPresence(ctx, lane.Wire(q.conn.strict.Conn))
		defer q.present.Stop()
		ctx = &q.present
	}
	return q.server.exchange.Decide(ctx, q.snapshot, req, q.rec)
}

// refuse answers and keeps the connection. Like in nginx, the rest of the client's body is
// read and dropped after the answer, so that the client can send its next request. On
// HTTP/2 only the stream ends.
func (q *request) refuse(refusal *gate.Refusal) {
	refusal.Header(q.w.Header().Set)
	q.w.Header()[observe.RequestIDField] = []string{string(q.server.exchange.Observer.Records.AppendRequestID(nil, q.rec))}
	control := http.NewResponseController(q.w)
	unread := q.r.ProtoMajor == 1 && q.r.ContentLength != 0
	if unread {
		// Otherwise net/http reads the body before it sends the answer.
		if err := control.EnableFullDuplex(); err != nil {
			panic("BUG: an HTTP/1 response is not full duplex: " + err.Error())
		}
	}
	expects := unread && expectsContinue(q.r)
	last := refusal.Close || expects && q.r.ContentLength > q.snapshot.Limits.Body
	switch {
	case q.r.ProtoMajor == 2:
		q.w.Header().Del("Connection") // net/http would end the connection
	case last:
		q.w.Header().Set("Connection", "close")
	}
	q.w.WriteHeader(refusal.Status)
	// An error means that the client has disconnected and needs no answer.
	_ = q.newSender().send([]byte(refusal.Body), true)
	if !unread {
		return
	}
	q.startReceiving()
	switch {
	case last:
		// The body is broken, or so large that its client should not send it. net/http must
		// not wait for it before it closes.
		_ = control.SetReadDeadline(time.Now())
	case !discard(control, q.r.Body, &q.snapshot.Limits, expects):
		// The start of the next request is unknown. net/http would take the rest of the
		// body for it.
		panic(http.ErrAbortHandler)
	}
}
