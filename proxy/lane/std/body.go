package std

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"golang.org/x/sync/semaphore"

	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane"
)

// bodies receives request bodies whole, before anything is sent to etcd. A write reaches
// etcd complete or not at all, a slow client holds no connection to etcd, and the forwarded
// length has been counted.
type bodies struct {
	// memory bounds the bytes that all large bodies hold together.
	memory *semaphore.Weighted
}

// smallBody is the size up to which a body does not use that memory. The bodies of conftool
// and confd have a few hundred bytes, and must be accepted while large ones wait.
const smallBody = 64 << 10

// firstBody bounds the memory of a body of which no byte has arrived.
const firstBody = 4 << 10

func newBodies(memory int64) *bodies { return &bodies{memory: semaphore.NewWeighted(memory)} }

// body is a received body. free releases its memory.
type body struct {
	bytes []byte
	held  int64
	from  *bodies
}

func (b *body) free() {
	if b.held > 0 {
		b.from.memory.Release(b.held)
		b.held = 0
	}
}

// receive reads the body of r. It sends the 100 Continue that a client may wait for, so only
// clients that may write receive it.
func (bs *bodies) receive(w http.ResponseWriter, r *http.Request, limits *lane.Limits) (*body, *gate.Refusal) {
	b := &body{from: bs}
	if r.ContentLength > limits.Body {
		return b, gate.RefuseTooLarge
	}
	// On HTTP/2 a body can follow a length of 0. net/http notices when the body is read.
	if r.ContentLength == 0 && r.ProtoMajor == 1 {
		return b, nil
	}
	control := http.NewResponseController(w)
	// The deadline must not outlive the body: net/http continues to read, so that it
	// notices when the client leaves.
	defer control.SetReadDeadline(time.Time{})
	boundRest(w, r, limits)
	askForBody(w, r)
	began := time.Now()
	b.bytes = make([]byte, 0, min(max(r.ContentLength+1, 512), firstBody))
	for {
		if len(b.bytes) == cap(b.bytes) {
			if refusal := b.grow(limits.Body); refusal != nil {
				return b, refusal
			}
		}
		if err := control.SetReadDeadline(limits.BodyDeadline(began, int64(len(b.bytes)))); err != nil {
			return b, gate.RefuseBody
		}
		n, err := r.Body.Read(b.bytes[len(b.bytes):cap(b.bytes)])
		b.bytes = b.bytes[:len(b.bytes)+n]
		switch {
		case int64(len(b.bytes)) > limits.Body:
			return b, gate.RefuseTooLarge
		case errors.Is(err, io.EOF):
			return b, nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return b, gate.RefuseSlowBody
		case err != nil:
			return b, gate.RefuseBody
		}
	}
}

// grow makes room for more bytes. Memory is allocated only as bytes arrive: a client that
// announces a large body and sends little of it holds little memory.
func (b *body) grow(limit int64) *gate.Refusal {
	size := min(2*int64(cap(b.bytes)), limit+1) // one more byte shows that the body is too large
	if size > smallBody {
		if !b.from.memory.TryAcquire(size - b.held) {
			return gate.RefuseMemory
		}
		b.held = size
	}
	larger := make([]byte, len(b.bytes), size)
	copy(larger, b.bytes)
	b.bytes = larger
	return nil
}

// expectsContinue reports whether a client of HTTP/1.1 waits for a 100 Continue before it sends
// its body. The strictConn leaves the name of the field, without its value. On HTTP/2 net/http
// sends the 100 Continue.
func expectsContinue(r *http.Request) bool {
	return r.ProtoMajor == 1 && r.ProtoMinor == 1 && r.ContentLength != 0 && len(r.Header["Expect"]) > 0
}

// askForBody sends the 100 Continue that a client waits for.
func askForBody(w http.ResponseWriter, r *http.Request) {
	if expectsContinue(r) {
		w.WriteHeader(http.StatusContinue)
	}
}
