package upstream

import (
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// Buffered is the part of a body that is in memory before the client takes any of it.
// Once it is the whole body, etcd and the connection to it need not wait for a slow
// client.
type Buffered struct {
	// Bytes must not be used after Free.
	Bytes []byte

	budget *Budget
	held   int64 // bytes reserved in budget
}

const (
	// MaxBuffered bounds the bytes of one answer. A larger answer is passed on at the
	// pace of its client.
	MaxBuffered = 4 << 20
	// uncountedBytes is the part of each answer that the budget does not count. Small
	// answers are thus always received whole, even while large ones use up the budget.
	// The number of slots bounds them.
	uncountedBytes = 64 << 10
	// maxKept bounds the memory that is kept for the next answer.
	maxKept = 256 << 10
)

// Budget counts the bytes that buffered answers hold.
type Budget struct {
	held atomic.Int64
}

// Held returns the number of bytes that are held now.
func (b *Budget) Held() int64 { return b.held.Load() }

// reserve adds n bytes unless the total would exceed limit.
func (b *Budget) reserve(n, limit int64) bool {
	for {
		held := b.held.Load()
		if held+n > limit {
			return false
		}
		if b.held.CompareAndSwap(held, held+n) {
			return true
		}
	}
}

var bufferedPool = sync.Pool{New: func() any { return &Buffered{} }}

// ReadBuffered receives the rest of the body into memory. first is the part that
// the caller has read already. whole reports whether Bytes is the complete body; if
// it is not, Read returns the rest. The error is an [*Error], and there is nothing to
// free then.
//
// It takes at most BodyTimeout: a body that arrives more slowly is better forwarded as it
// arrives.
func (r *Response) ReadBuffered(first []byte) (b *Buffered, whole bool, err error) {
	return r.readBuffered(first, &r.conn.at.pool.count.Buffered)
}

// ReadBufferedShared is like [Response.ReadBuffered] for an answer that many clients
// share. Such answers have a budget of their own.
func (r *Response) ReadBufferedShared() (b *Buffered, whole bool, err error) {
	return r.readBuffered(nil, &r.conn.at.pool.count.Shared)
}

func (r *Response) readBuffered(first []byte, budget *Budget) (b *Buffered, whole bool, err error) {
	b = bufferedPool.Get().(*Buffered)
	b.budget = budget
	o := &r.conn.at.pool.o
	if kept := int64(cap(b.Bytes)); kept > uncountedBytes {
		if r.Length >= 0 && r.Length < kept/4 || !budget.reserve(kept, o.Buffered) {
			b.Bytes = nil
		} else {
			b.held = kept
		}
	}
	b.Bytes = append(b.Bytes[:0], first...)
	for deadline := time.Now().Add(o.BodyTimeout); b.grow(r.Length, o.Buffered) && time.Now().Before(deadline); {
		n, err := r.Read(b.Bytes[len(b.Bytes):cap(b.Bytes)])
		b.Bytes = b.Bytes[:len(b.Bytes)+n]
		if err == io.EOF { //nolint:errorlint // never wrapped: Read returns io.EOF itself at the end, and an *Error otherwise
			return b, true, nil
		}
		if err != nil {
			b.Free()
			return nil, false, err
		}
	}
	return b, false, nil
}

// grow makes room for the rest of a body of a known length, or doubles the buffer. It
// reports whether there is room for at least one more byte.
func (b *Buffered) grow(length, limit int64) bool {
	if length > MaxBuffered {
		return false
	}
	if len(b.Bytes) < cap(b.Bytes) {
		return true
	}
	size := max(2*int64(cap(b.Bytes)), uncountedBytes)
	if length >= 0 {
		size = length + 1 // one more byte shows the end without growing again
	}
	if size > MaxBuffered+1 || size > uncountedBytes && !b.budget.reserve(size-b.held, limit) {
		return false
	}
	if size > uncountedBytes {
		b.held = size
	}
	b.Bytes = append(make([]byte, 0, size), b.Bytes...)
	return true
}

// Free returns the memory.
func (b *Buffered) Free() {
	b.budget.held.Add(-b.held)
	b.held = 0
	if cap(b.Bytes) > maxKept {
		b.Bytes = nil
	}
	bufferedPool.Put(b)
}
