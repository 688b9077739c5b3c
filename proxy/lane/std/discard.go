package std

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane"
)

// maxDropped is the size of the largest body that is read though etcd does not read it.
const maxDropped = 64 << 10

// dropBody reads a body that etcd does not read. Unread, it would keep net/http from
// noticing that the client has left.
func (q *request) dropBody() *gate.Refusal {
	limits := &q.snapshot.Limits
	maxBody := min(limits.Body, maxDropped)
	if q.r.ContentLength > maxBody {
		return gate.RefuseTooLarge
	}
	control := http.NewResponseController(q.w)
	defer control.SetReadDeadline(time.Time{})
	q.startReceiving()
	defer q.task.enter(working)
	boundRest(q.w, q.r, limits)
	askForBody(q.w, q.r)
	var buf [1 << 10]byte
	pace := limits.NewPace()
	for read := int64(0); ; {
		if control.SetReadDeadline(pace.Begin()) != nil {
			return gate.RefuseBody
		}
		n, err := q.r.Body.Read(buf[:])
		pace.End(n)
		switch read += int64(n); {
		case read > maxBody:
			return gate.RefuseTooLarge
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return gate.RefuseSlowBody
		case err != nil:
			return gate.RefuseBody
		}
	}
}

// discard reads the body of a refused request, up to the size of a body that is allowed. It
// reports whether the whole body was read.
//
// A client that waited for a 100 Continue must send its body nevertheless if it goes on to
// use the connection (RFC 9110, 10.1.1). Some clients send their next request instead. What
// looks like one can be neither served, because it may be the body, nor dropped.
func discard(control *http.ResponseController, body io.Reader, limits *lane.Limits, waited bool) bool {
	buf := make([]byte, 8<<10)
	pace := limits.NewPace()
	for remaining := limits.Body; remaining > 0; {
		if control.SetReadDeadline(pace.Begin()) != nil {
			return false
		}
		n, err := body.Read(buf)
		pace.End(n)
		if waited && n > 0 && looksLikeRequest(buf[:n]) {
			return false
		}
		waited = waited && n == 0
		remaining -= int64(n)
		if err != nil {
			return errors.Is(err, io.EOF) && control.SetReadDeadline(time.Time{}) == nil
		}
	}
	return false
}

// looksLikeRequest reports whether bytes could be the start of a request.
func looksLikeRequest(b []byte) bool {
	method, _, found := bytes.Cut(b, []byte(" "))
	return found && gate.KnownMethod(string(method))
}
