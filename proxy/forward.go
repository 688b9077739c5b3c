package proxy

import (
	"errors"
	"io"
	"net/http"
	"sync"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/share"
	"etcd-tlsproxy/proxy/upstream"
)

// forward carries an operation to etcd and its answer to the client.
func (l standard) forward(w http.ResponseWriter, r *http.Request, s *Snapshot, rec *record) *Refusal {
	req := upstreamRequest(r, rec)
	if rec.op.hasBody() {
		body, refusal := l.bodies.receive(w, r, &s.Limits)
		defer body.free()
		if refusal != nil {
			return refusal
		}
		req.Body = body.bytes
	}
	var turn share.Turn
	if s.Reads != nil && rec.op.shareable() {
		var answer *share.Answer
		var err error
		if turn, answer, err = s.Reads.Join(r.Context(), rec.op.Target); err != nil {
			return l.failed(err, rec)
		}
		if answer != nil {
			defer answer.Release()
			return l.sendShared(w, r, s, answer)
		}
		defer turn.Done()
	}
	resp, err := s.Upstream.Do(r.Context(), req)
	if err != nil {
		return l.failed(err, rec)
	}
	finish := sync.OnceFunc(resp.Close) // the response is another request's then
	defer finish()
	buf := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buf)
	// The first bytes are read before the head is sent, so that an answer which
	// breaks off at once can still become an error that clients understand.
	n, err := readFull(resp, buf[:])
	if err != nil && err != io.EOF {
		return l.failed(err, rec)
	}
	turn.Done() // others wait for etcd, not for this client
	body, length := buf[:n], resp.Length
	free := func() {}
	if err == nil && rec.op.receivedWhole() {
		var ahead *upstream.Ahead
		if ahead, err = resp.ReadAhead(body); err != nil && err != io.EOF {
			return l.failed(err, rec)
		}
		free = sync.OnceFunc(ahead.Free)
		defer free()
		if body = ahead.Bytes; err == io.EOF {
			length = int64(len(body))
		}
	}
	copyHeader(w.Header(), resp.Fields, length)
	w.WriteHeader(resp.Status)
	if err == io.EOF {
		finish() // etcd need not wait for a client that is slow to take its answer
	}
	out := newSender(w, r, &s.Limits)
	for {
		if sendErr := out.write(body, err == io.EOF); sendErr != nil {
			panic(http.ErrAbortHandler)
		}
		if err == io.EOF {
			return nil
		}
		free()
		if n, err = resp.Read(buf[:]); err != nil && err != io.EOF {
			// The head is out: only a broken answer can tell that this one is.
			panic(http.ErrAbortHandler)
		}
		body = buf[:n]
	}
}

// sendShared sends an answer that others get as well.
func (l standard) sendShared(w http.ResponseWriter, r *http.Request, s *Snapshot, answer *share.Answer) *Refusal {
	copyHeader(w.Header(), answer.Fields, int64(len(answer.Body)))
	w.WriteHeader(answer.Status)
	if newSender(w, r, &s.Limits).write(answer.Body, true) != nil {
		panic(http.ErrAbortHandler)
	}
	return nil
}

// upstreamRequest is the request etcd gets. Of the client's fields only those
// named here go on; framing, host and the client's address are our own. The address
// is left out where the nginx site left it out: etcd does not look at it, but would
// parse it for each read.
func upstreamRequest(r *http.Request, rec *record) *upstream.Request {
	req := &upstream.Request{
		Method:         rec.op.Method,
		Target:         rec.op.Target,
		ContentType:    r.Header.Get("Content-Type"),
		Accept:         r.Header.Get("Accept"),
		AcceptEncoding: r.Header.Get("Accept-Encoding"),
		UserAgent:      r.Header.Get("User-Agent"),
	}
	if rec.op.Surface != Keys {
		req.ForwardedFor, req.RealIP = rec.peer.address, rec.peer.address
	}
	return req
}

// failed is what a client hears if etcd did not answer.
func (l standard) failed(err error, rec *record) *Refusal {
	refusal := l.failure(err, &rec.op)
	if refusal == nil {
		panic(http.ErrAbortHandler) // the client is gone
	}
	return refusal
}

// failure counts and logs that etcd did not answer, and finds what the client is
// told: nil if the client itself ended the request.
func (s *Server) failure(err error, op *Operation) *Refusal {
	var failure *upstream.Error
	if !errors.As(err, &failure) {
		panic("BUG: the pool failed with an error of no kind: " + err.Error())
	}
	refusal := failureRefusals[failure.Kind]
	if refusal == nil {
		return nil
	}
	if op.Access == acl.Write && failure.Kind == upstream.Broken {
		refusal = refuseLost // a malformed answer tells as little as none
	}
	s.metrics.upstreamFailures.WithLabelValues(failure.Kind.String()).Inc()
	s.log.Warn("etcd did not answer", "kind", failure.Kind.String(), "endpoint", failure.Endpoint, "error", failure.Err)
	return refusal
}

// failureRefusals has no answer to Canceled: there is nobody to hear it.
var failureRefusals = map[upstream.Kind]*Refusal{
	upstream.Unreachable: refuseUnreachable,
	upstream.Busy:        refuseUpstreamBusy,
	upstream.TooLong:     refuseTooLong,
	upstream.Lost:        refuseLost,
	upstream.Broken:      refuseBroken,
	upstream.Timeout:     refuseTimeout,
}

const bufferSize = 32 << 10

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// readFull reads until buf is full or the message ends; io.EOF is its end.
func readFull(r io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) && err == nil {
		var m int
		m, err = r.Read(buf[n:])
		n += m
	}
	return n, err
}
