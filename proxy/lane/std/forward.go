package std

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/http1"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/rawio"
)

const bufferSize = 32 << 10

// maxCopied is the size of the buffer that each stream of HTTP/2 has in net/http. An answer
// of up to that size is copied there, and sent when it is flushed.
const maxCopied = 4 << 10

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// newCall returns the call of a request that the gate has allowed.
func (q *request) newCall() *lane.Call {
	return &lane.Call{
		Snapshot:       q.snapshot,
		Client:         q,
		Peer:           q.conn.peer,
		Op:             &q.rec.Op,
		ContentType:    first(q.r.Header["Content-Type"]),
		Accept:         first(q.r.Header["Accept"]),
		AcceptEncoding: first(q.r.Header["Accept-Encoding"]),
		UserAgent:      first(q.r.Header["User-Agent"]),
		Authorization:  first(q.r.Header["Authorization"]),
	}
}

// openAccount implements payer.
func (q *request) openAccount() *account.Account {
	return q.server.exchange.Account(q.conn.peer, &q.rec.Op)
}

// first returns the first value that is not empty, which counts in package http1 as well.
func first(values []string) string {
	for _, value := range values {
		if value != "" {
			return value
		}
	}
	return ""
}

// forward carries an operation to etcd and its answer to the client.
func (q *request) forward() *gate.Refusal {
	call := q.newCall()
	if q.rec.Op.HasBody() {
		q.startReceiving()
		body, refusal := q.server.bodies.receive(q.w, q.r, &q.snapshot.Limits, q)
		defer body.free()
		q.upload = body
		q.task.enter(working)
		if refusal != nil {
			return refusal
		}
		call.Body = body.bytes
	}
	if q.rec.Op.IsWrite() {
		q.task.enter(writing)
	}
	var buf *[bufferSize]byte // nil while the answer needs none, such as one that is shared
	giveBack := func() {
		if buf != nil {
			buffers.Put(buf)
			buf = nil
		}
	}
	defer giveBack()
	answer, refusal, err := q.server.exchange.Do(q.r.Context(), call, func() []byte {
		q.upload.free() // the client may wait for its turn to get the answer
		if buf == nil {
			buf = buffers.Get().(*[bufferSize]byte)
		}
		return buf[:]
	})
	// Nothing can take back the memory of a body that has arrived, and the client may take the
	// answer as slowly as it likes.
	q.upload.free()
	q.rec.Upstream, q.rec.Turn, q.rec.Shared = call.Waited, call.Turn, answer.Shared
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if refusal != nil {
		return refusal
	}
	defer answer.Close()
	if q.r.ProtoMajor == 2 && !q.charge(q.r.Context(), waitingBytes(len(answer.Body))) {
		panic(http.ErrAbortHandler) // a write was carried out: only breaking off says that nothing is known
	}
	copyHeader(q.w.Header(), answer.Fields, answer.Length)
	q.w.WriteHeader(answer.Status)
	answer.Finish()
	out := q.newSender()
	switch {
	case !answer.Whole:
		err = relay(out, &answer, buf[:])
	case q.r.ProtoMajor == 2 && len(answer.Body) <= maxCopied:
		// The client may be slow to take the answer, and can wait for a hundred of them. The
		// buffer must not wait with it.
		if err = out.write(answer.Body, false); err == nil {
			giveBack()
			err = out.write(nil, true)
		}
	default:
		err = sendWhole(out, &answer)
	}
	if err != nil {
		// The head has been sent, so only breaking off the answer can show that it is
		// incomplete.
		panic(http.ErrAbortHandler)
	}
	return nil
}

// waitingBytes returns what an answer of HTTP/2 holds until its client takes it, beside what is
// charged for it elsewhere. On HTTP/1 the kernel takes so much.
func waitingBytes(body int) int {
	switch {
	case body <= maxCopied:
		return 0
	case body <= bufferSize:
		return bufferSize
	}
	return lane.UncountedAnswer
}

// relay sends an answer at the pace of the client.
func relay(out *sender, a *lane.Answer, buf []byte) error {
	for {
		n, err := a.Read(buf)
		if err != nil && err != io.EOF { //nolint:errorlint // never wrapped: Read returns io.EOF itself at the end, and an *upstream.Error otherwise
			return err
		}
		last := err == io.EOF //nolint:errorlint // never wrapped: see above
		if err := out.write(buf[:n], last); err != nil || last {
			return err
		}
		a.Taken()
	}
}

// sendWhole sends an answer that is in memory.
func sendWhole(out *sender, a *lane.Answer) error {
	for rest := a.Body; ; {
		piece := rest[:min(len(rest), rawio.MaxCorked)]
		rest = rest[len(piece):]
		if err := out.write(piece, len(rest) == 0); err != nil || len(rest) == 0 {
			return err
		}
		a.Taken()
	}
}

// copyHeader copies the head of etcd's answer in etcd's spelling: PyBal looks for
// X-Etcd-Index in exactly this case. A length below 0 is left out.
func copyHeader(h http.Header, fields []http1.Field, length int64) {
	for _, f := range fields {
		if !lane.ConnectionField(f.Name) {
			// The views end with the answer, and the header may be sent later.
			name := strings.Clone(f.Name)
			h[name] = append(h[name], strings.Clone(f.Value))
		}
	}
	if h["Content-Type"] == nil {
		h["Content-Type"] = nil // otherwise net/http guesses a type from the body
	}
	if length >= 0 {
		h["Content-Length"] = []string{strconv.FormatInt(length, 10)}
	}
}
