package proxy

import (
	"errors"
	"io"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5/middleware"

	"etcd-tlsproxy/acl"
)

// standard is the lane on net/http: every request shape HTTP allows and the gate
// accepts, HTTP/2 included.
type standard struct {
	*Server
}

// ServeHTTP takes one request from its head to the last byte of its answer.
func (l standard) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	conn := connectionOf(r.Context())
	w := middleware.NewWrapResponseWriter(out, r.ProtoMajor)
	rec := &record{peer: conn.peer, started: time.Now(), proto: r.Proto, userAgent: r.UserAgent()}
	// Also for an answer that is broken off: the panic that does so goes on.
	defer func() {
		defer boundRest(w, r, l.currentLimits()) // the last bytes are still to go
		if mistake := recover(); mistake != nil {
			if mistake != http.ErrAbortHandler {
				l.log.Error("a request was given up", "from", conn.peer.Addr.String(), "panic", mistake, "stack", string(debug.Stack()))
			}
			defer panic(http.ErrAbortHandler)
		}
		rec.status, rec.bytes = w.Status(), int64(w.BytesWritten())
		if rec.status == 0 {
			rec.status = statusClientGone
		}
		l.answered(rec)
	}()
	s := l.snapshot.Load()
	if rec.refusal = l.handle(w, r, s, conn, rec); rec.refusal != nil {
		l.refuse(w, r, s, conn, rec.refusal)
	}
}

// statusClientGone is recorded, as nginx does, if the client left before it was
// answered.
const statusClientGone = 499

func (l standard) handle(w http.ResponseWriter, r *http.Request, s *Snapshot, conn *connection, rec *record) *Refusal {
	if refusal := conn.malformed(r); refusal != nil {
		return refusal
	}
	authorization := r.Header["Authorization"]
	if len(authorization) > 1 {
		return refuseAuthorizations
	}
	if !goodLength(r) {
		return refuseLength
	}
	req := Request{
		Method:  r.Method,
		Target:  r.RequestURI,
		Upgrade: len(r.Header["Upgrade"]) > 0,
		Peer:    conn.peer,
	}
	if len(authorization) == 1 {
		req.Authorization = authorization[0]
	}
	if refusal := l.gate.Decide(r.Context(), s, &req, &rec.op); refusal != nil {
		return refusal
	}
	if !rec.op.hasBody() && r.ContentLength != 0 {
		if refusal := l.drop(w, r, s); refusal != nil {
			return refusal
		}
	}
	switch {
	case rec.op.Method == http.MethodOptions:
		w.Header().Set("Allow", allowedMethods)
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(http.StatusOK)
		return nil
	case rec.op.Watch:
		return l.watch(w, r, s, rec)
	}
	return l.forward(w, r, s, rec)
}

// refuse answers and keeps the connection: what the client still sends of its
// body is read and dropped after the answer, as nginx did, so that the refused
// client can go on with its next request. HTTP/2 gives up one stream instead.
func (l standard) refuse(w http.ResponseWriter, r *http.Request, s *Snapshot, conn *connection, refusal *Refusal) {
	refusal.Header(w.Header().Set)
	control := http.NewResponseController(w)
	unread := r.ProtoMajor == 1 && r.ContentLength != 0
	if unread {
		// Else net/http reads the body before it sends the answer.
		if err := control.EnableFullDuplex(); err != nil {
			panic("BUG: an HTTP/1 response is not full duplex: " + err.Error())
		}
	}
	waits := unread && r.Header.Get("Expect") != ""
	if waits {
		// net/http closes by itself only for HTTP/1.1.
		w.Header().Set("Connection", "close")
	}
	w.WriteHeader(refusal.Status)
	// A client that is gone needs no answer.
	_ = newSender(w, r, &s.Limits).send([]byte(refusal.Body), true)
	if !unread {
		return
	}
	if refusal.Close || waits {
		// The body is broken, or its client waits for a 100 that does not come: there
		// is nothing to read, and net/http must not wait for it before it closes.
		_ = control.SetReadDeadline(time.Now())
		return
	}
	if !discard(control, r.Body, &s.Limits) {
		// Where the next request would begin is not known any more; net/http would
		// take the rest of the body for it.
		conn.strict.unread.Store(true)
		panic(http.ErrAbortHandler)
	}
}

// goodLength refuses what the strict connection refuses of HTTP/1: of several lengths on
// HTTP/2 net/http takes the first, and one that is no number for 0.
func goodLength(r *http.Request) bool {
	lengths := r.Header["Content-Length"]
	if len(lengths) == 0 {
		return true
	}
	n, err := strconv.ParseUint(lengths[0], 10, 63)
	return err == nil && len(lengths) == 1 && int64(n) == r.ContentLength
}

// drop reads a body that etcd would not look at. Unread it would hide from
// net/http that the client is gone.
func (l standard) drop(w http.ResponseWriter, r *http.Request, s *Snapshot) *Refusal {
	most := min(s.Limits.Body, smallBody)
	if r.ContentLength > most {
		return refuseTooLarge
	}
	control := http.NewResponseController(w)
	defer control.SetReadDeadline(time.Time{})
	boundRest(w, r, &s.Limits)
	var buf [1 << 10]byte
	began := time.Now()
	for read := int64(0); ; {
		if control.SetReadDeadline(s.Limits.bodyDeadline(began, read)) != nil {
			return refuseBody
		}
		n, err := r.Body.Read(buf[:])
		switch read += int64(n); {
		case read > most:
			return refuseTooLarge
		case err == io.EOF:
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return refuseSlowBody
		case err != nil:
			return refuseBody
		}
	}
}

// discard reads what a refused client sends, up to what an allowed one could
// have sent, and reports whether that was the whole body.
func discard(control *http.ResponseController, body io.Reader, limits *Limits) bool {
	buf := make([]byte, 8<<10)
	began := time.Now()
	for left := limits.Body; left > 0; {
		if control.SetReadDeadline(limits.bodyDeadline(began, limits.Body-left)) != nil {
			return false
		}
		n, err := body.Read(buf)
		left -= int64(n)
		if err != nil {
			return err == io.EOF && control.SetReadDeadline(time.Time{}) == nil
		}
	}
	return false
}

// shareable reports whether equal operations may be answered by one: reads of
// keys that end.
func (op *Operation) shareable() bool {
	return op.Surface == Keys && op.Method == http.MethodGet && !op.Watch
}

// hasBody reports whether etcd looks at the body of an operation. It ignores
// those of reads and deletions, and then so do we: what is not sent on cannot be
// read by anyone in another way.
func (op *Operation) hasBody() bool {
	return op.Access == acl.Write && op.Method != http.MethodDelete
}
