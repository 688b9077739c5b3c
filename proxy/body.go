package proxy

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"golang.org/x/sync/semaphore"
)

// bodies receives request bodies whole, before etcd hears of the request: a
// write reaches etcd complete or not at all, a client that trickles holds no
// connection to etcd, and the length sent on is one that was counted.
type bodies struct {
	// memory bounds what all large bodies together may hold, in bytes.
	memory *semaphore.Weighted
}

// smallBody is what every request may hold without asking: conftool's and
// confd's bodies are a few hundred bytes, and must pass while large ones wait.
const smallBody = 64 << 10

// firstBody is what is made room for before any byte has come.
const firstBody = 4 << 10

func newBodies(memory int64) *bodies { return &bodies{memory: semaphore.NewWeighted(memory)} }

// body is a received body. free gives its memory back.
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

// receive reads the body of r. The 100 Continue that a client may wait for is
// sent by the first read, so only to clients that are allowed to write.
func (bs *bodies) receive(w http.ResponseWriter, r *http.Request, limits *Limits) (*body, *Refusal) {
	b := &body{from: bs}
	if r.ContentLength > limits.Body {
		return b, refuseTooLarge
	}
	// On HTTP/2 a body can follow that was announced as none; net/http notices as it is read.
	if r.ContentLength == 0 && r.ProtoMajor == 1 {
		return b, nil
	}
	control := http.NewResponseController(w)
	// The deadline must not outlive the body: the server goes on reading, to
	// notice when the client leaves.
	defer control.SetReadDeadline(time.Time{})
	boundRest(w, r, limits)
	began := time.Now()
	b.bytes = make([]byte, 0, min(max(r.ContentLength+1, 512), firstBody))
	for {
		if len(b.bytes) == cap(b.bytes) {
			if refusal := b.grow(limits.Body); refusal != nil {
				return b, refusal
			}
		}
		if err := control.SetReadDeadline(limits.bodyDeadline(began, int64(len(b.bytes)))); err != nil {
			return b, refuseBody
		}
		n, err := r.Body.Read(b.bytes[len(b.bytes):cap(b.bytes)])
		b.bytes = b.bytes[:len(b.bytes)+n]
		switch {
		case int64(len(b.bytes)) > limits.Body:
			return b, refuseTooLarge
		case err == io.EOF:
			return b, nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return b, refuseSlowBody
		case err != nil:
			return b, refuseBody
		}
	}
}

// grow makes room for more, asking for memory only as bytes really arrive: a
// client that promises much and sends little holds little.
func (b *body) grow(limit int64) *Refusal {
	size := min(2*int64(cap(b.bytes)), limit+1) // one more byte shows that it is too large
	if size > smallBody {
		if !b.from.memory.TryAcquire(size - b.held) {
			return refuseMemory
		}
		b.held = size
	}
	larger := make([]byte, len(b.bytes), size)
	copy(larger, b.bytes)
	b.bytes = larger
	return nil
}
