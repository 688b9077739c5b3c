package std

import (
	"errors"
	"net/http"
	"runtime/debug"
	"strconv"
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
	broken   atomic.Bool // BreakOff was called
}

// BreakOff implements [lane.Client].
func (q *request) BreakOff() {
	q.broken.Store(true)
	_ = http.NewResponseController(q.w).SetWriteDeadline(time.Unix(1, 0))
}

// serveHTTP serves one request.
func (s *Server) serveHTTP(out http.ResponseWriter, r *http.Request) {
	conn := connectionOf(r.Context())
	w := middleware.NewWrapResponseWriter(out, r.ProtoMajor)
	rec := &observe.Record{Peer: conn.peer, Started: time.Now(), Proto: r.Proto, UserAgent: r.UserAgent()}
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
	q := &request{server: s, w: w, r: r, conn: conn, snapshot: s.exchange.Current.Load(), rec: rec, task: task{work: conn.work}}
	q.task.enter(working)
	defer q.task.enter(ended)
	if rec.Refusal = q.serve(); rec.Refusal != nil {
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
	authorization := q.r.Header["Authorization"]
	if len(authorization) > 1 {
		return gate.RefuseAuthorizations
	}
	if !goodLength(q.r) {
		return gate.RefuseLength
	}
	req := gate.Request{
		Method:  q.r.Method,
		Target:  q.r.RequestURI,
		Upgrade: len(q.r.Header["Upgrade"]) > 0,
		Peer:    q.conn.peer,
	}
	if len(authorization) == 1 {
		req.Authorization = authorization[0]
	}
	op := &q.rec.Op
	if refusal := q.server.exchange.Decide(q.r.Context(), q.snapshot, &req, op); refusal != nil {
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
	case op.Watch:
		return q.watch()
	}
	return q.forward()
}

// goodLength reports whether a request has at most one length, which is a number. On
// HTTP/1 the strictConn refuses such requests. On HTTP/2 net/http takes the first of
// several lengths, and a length that is not a number for 0.
func goodLength(r *http.Request) bool {
	lengths := r.Header["Content-Length"]
	if len(lengths) == 0 {
		return true
	}
	n, err := strconv.ParseUint(lengths[0], 10, 63)
	return err == nil && len(lengths) == 1 && int64(n) == r.ContentLength
}

// refuse answers and keeps the connection. Like in nginx, the rest of the client's body is
// read and dropped after the answer, so that the client can send its next request. On
// HTTP/2 only the stream ends.
func (q *request) refuse(refusal *gate.Refusal) {
	refusal.Header(q.w.Header().Set)
	control := http.NewResponseController(q.w)
	unread := q.r.ProtoMajor == 1 && q.r.ContentLength != 0
	if unread {
		// Otherwise net/http reads the body before it sends the answer.
		if err := control.EnableFullDuplex(); err != nil {
			panic("BUG: an HTTP/1 response is not full duplex: " + err.Error())
		}
	}
	expects := unread && q.r.Header.Get("Expect") != ""
	if expects {
		// net/http itself closes such a connection only for HTTP/1.1.
		q.w.Header().Set("Connection", "close")
	}
	q.w.WriteHeader(refusal.Status)
	// An error means that the client has disconnected and needs no answer.
	_ = q.newSender().send([]byte(refusal.Body), true)
	if !unread {
		return
	}
	if refusal.Close || expects {
		// The body is broken, or its client waits for a 100 Continue that is not sent.
		// There is nothing to read, and net/http must not wait for the body before it
		// closes.
		_ = control.SetReadDeadline(time.Now())
		return
	}
	if !discard(control, q.r.Body, &q.snapshot.Limits) {
		// The start of the next request is unknown. net/http would take the rest of the
		// body for it.
		panic(http.ErrAbortHandler)
	}
}
