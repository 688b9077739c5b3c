package std

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane"
)

// bodies receives request bodies whole, before anything is sent to etcd. A write reaches
// etcd complete or not at all, a slow client holds no connection to etcd, and the forwarded
// length has been counted.
type bodies struct {
	// memory bounds the bytes that all large bodies hold together. Clients share it.
	memory *account.Pool
	// patience is how long a body waits for memory.
	patience time.Duration
}

// bodyPatience is long enough for the pool to take back the memory of others, and shorter
// than the timeout of any client of etcd.
const bodyPatience = 2 * time.Second

// smallBody is the size up to which a body does not use that memory, and the memory of a body
// of which no byte has arrived. The bodies of conftool and confd have a few hundred bytes, and
// must be accepted while large ones wait.
const smallBody = 4 << 10

// body is a received body. free releases its memory.
type body struct {
	bytes []byte

	from    *bodies
	payer   payer
	account *account.Account // that pays; nil while the body is small
	control http.ResponseController
	lease   account.Lease

	mu       sync.Mutex
	arriving bool               // more bytes may come
	revoked  bool               // others need the memory
	progress time.Time          // when the last bytes arrived
	waiting  context.CancelFunc // ends the wait for memory; nil if there is none
	units    int64              // that the lease holds
	queue    lane.Queue         // of the write whose body has arrived
}

// payer is the client that a body is charged to.
type payer interface {
	// openAccount returns the account, which must be closed.
	openAccount() *account.Account
}

// free can be called more than once, and for no body. The bytes must not be used afterwards.
func (b *body) free() {
	if b == nil {
		return
	}
	b.bytes = nil
	if b.account != nil {
		b.from.memory.Unregister(b.account, b)
		b.lease.Close()
		b.account.Close()
		b.account = nil
	}
}

// receive reads the body of r. It sends the 100 Continue that a client may wait for, so only
// clients that may write receive it.
func (bs *bodies) receive(w http.ResponseWriter, r *http.Request, limits *lane.Limits, p payer) (*body, *gate.Refusal) {
	b := &body{from: bs, payer: p, control: *http.NewResponseController(w)}
	if r.ContentLength > limits.Body {
		return b, gate.RefuseTooLarge
	}
	// On HTTP/2 a body can follow a length of 0. net/http notices when the body is read.
	if r.ContentLength == 0 && r.ProtoMajor == 1 {
		return b, nil
	}
	// The deadline must not outlive the body: net/http continues to read, so that it
	// notices when the client leaves.
	defer b.arrived()
	boundRest(w, r, limits)
	askForBody(w, r)
	pace := limits.NewPace()
	b.bytes = make([]byte, 0, min(max(r.ContentLength+1, 512), smallBody))
	b.arriving, b.progress = true, time.Now()
	for {
		if len(b.bytes) == cap(b.bytes) {
			if refusal := b.grow(r.Context(), limits.Body); refusal != nil {
				return b, refusal
			}
		}
		if refusal := b.arm(pace.Begin()); refusal != nil {
			return b, refusal
		}
		n, err := r.Body.Read(b.bytes[len(b.bytes):cap(b.bytes)])
		pace.End(n)
		b.bytes = b.bytes[:len(b.bytes)+n]
		switch {
		case int64(len(b.bytes)) > limits.Body:
			return b, gate.RefuseTooLarge
		case errors.Is(err, io.EOF):
			return b, nil
		case errors.Is(err, os.ErrDeadlineExceeded) && b.isRevoked():
			return b, gate.RefuseMemory
		case errors.Is(err, os.ErrDeadlineExceeded):
			return b, gate.RefuseSlowBody
		case err != nil:
			return b, gate.RefuseBody
		}
		b.progressed(n)
	}
}

// arm sets the deadline of the next read, unless others need the memory.
func (b *body) arm(deadline time.Time) *gate.Refusal {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.revoked {
		return gate.RefuseMemory
	}
	if b.control.SetReadDeadline(deadline) != nil {
		return gate.RefuseBody
	}
	return nil
}

// arrived records that no more bytes are read.
func (b *body) arrived() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.arriving = false
	_ = b.control.SetReadDeadline(time.Time{})
}

func (b *body) progressed(n int) {
	if n == 0 || len(b.bytes) < smallBody {
		return // it cannot be revoked
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.progress = time.Now()
}

func (b *body) isRevoked() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.revoked
}

// grow makes room for more bytes. Memory is allocated only as bytes arrive: a client that
// announces a large body and sends little of it holds little memory.
func (b *body) grow(ctx context.Context, limit int64) *gate.Refusal {
	size := min(2*int64(cap(b.bytes)), limit+1) // one more byte shows that the body is too large
	if size > smallBody && !b.charge(ctx, size-b.lease.Bytes()) {
		return gate.RefuseMemory
	}
	larger := make([]byte, len(b.bytes), size)
	copy(larger, b.bytes)
	b.bytes = larger
	return nil
}

// charge charges n more bytes. It waits for its turn, and meanwhile the pool takes memory
// back from clients that have more than their share.
func (b *body) charge(ctx context.Context, n int64) bool {
	if b.account == nil {
		b.account = b.payer.openAccount()
		b.lease = account.NewLease(b.from.memory, b.account, account.Write)
		b.from.memory.Register(b.account, b)
	}
	if !b.lease.TryGrow(n) {
		ctx, cancel := context.WithTimeout(ctx, b.from.patience)
		defer cancel()
		b.setWaiting(cancel)
		err := b.lease.Grow(ctx, n)
		b.setWaiting(nil)
		if err != nil {
			return false
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.units = b.lease.Units()
	return true
}

func (b *body) setWaiting(cancel context.CancelFunc) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting, b.progress = cancel, time.Now()
}

// setQueued records that the write waits for its turn at etcd until end is called, or that it does
// not wait any more.
func (b *body) setQueued(end context.CancelFunc) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.queue.Set(end)
}

// Class implements [account.Holder].
func (b *body) Class() account.Class {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.class()
}

// class returns what the body is doing; b.mu is held. A body that has arrived is on its way
// to etcd.
func (b *body) class() account.Class {
	switch {
	case !b.revoked && b.queue.Slow():
		return account.Slow
	case !b.arriving || b.revoked:
		return account.Busy
	case b.waiting == nil && time.Since(b.progress) > lane.StalledAfter:
		return account.Stalled
	}
	return account.Slow
}

// Revoke implements [account.Holder]. The client gets an answer: it can send the body again.
func (b *body) Revoke(class account.Class) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.class() != class || class == account.Busy || b.units == 0 {
		return 0
	}
	b.revoked = true
	if b.queue.Leave() {
		return b.units
	}
	_ = b.control.SetReadDeadline(time.Unix(1, 0)) // if it fails, the client has left
	if b.waiting != nil {
		b.waiting()
	}
	return b.units
}
