package upstream

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"etcd-tlsproxy/proxy/account"
)

// Buffered is the part of a body that is in memory before the client takes any of it.
// Once it is the whole body, etcd and the connection to it need not wait for a slow
// client.
type Buffered struct {
	// Bytes must not be used after Free.
	Bytes []byte

	budget *Budget
	held   int64 // bytes reserved in budget
	paid   bool  // they are charged to lease as well
	lease  account.Lease
	ctx    context.Context // of the request that pays
}

// Payer is the client that an answer is charged to. The zero Payer pays nothing.
type Payer struct {
	// Memory is a pool in units of [account.LeaseUnit]; nil for none.
	Memory  *account.Pool
	Account *account.Account
}

// payPatience is how long an answer waits for memory, while etcd waits to send it. The pool
// takes memory back from clients above their share meanwhile.
const payPatience = 2 * time.Second

const (
	// MaxBuffered bounds the bytes of one answer. A larger answer is passed on at the
	// pace of its client.
	MaxBuffered = 4 << 20
	// Uncounted is the part of each answer that the budget does not count. Small
	// answers are thus always received whole, even while large ones use up the budget.
	// The number of slots bounds them.
	Uncounted = 64 << 10
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
func (r *Response) ReadBuffered(first []byte, payer Payer) (b *Buffered, whole bool, err error) {
	return r.readBuffered(first, &r.conn.at.pool.count.Buffered, payer)
}

// ReadBufferedShared is like [Response.ReadBuffered] for an answer that many clients
// share. Such answers have a budget of their own.
func (r *Response) ReadBufferedShared() (b *Buffered, whole bool, err error) {
	return r.readBuffered(nil, &r.conn.at.pool.count.Shared, Payer{})
}

func (r *Response) readBuffered(first []byte, budget *Budget, payer Payer) (b *Buffered, whole bool, err error) {
	b = bufferedPool.Get().(*Buffered)
	b.budget, b.ctx = budget, r.ctx
	if b.paid = payer.Memory != nil; b.paid {
		b.lease = account.NewLease(payer.Memory, payer.Account, account.Ordinary)
	}
	o := &r.conn.at.pool.o
	if kept := int64(cap(b.Bytes)); kept > Uncounted {
		if r.Length >= 0 && r.Length < kept/4 || !b.reserve(kept, o.Buffered) {
			b.Bytes = nil
		}
	}
	b.Bytes = append(b.Bytes[:0], first...)
	for deadline := time.Now().Add(o.BodyTimeout); b.grow(r.Length, r.Announced(), o.Buffered) && time.Now().Before(deadline); {
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
// reports whether there is room for at least one more byte, and for all that is announced.
func (b *Buffered) grow(length, announced, limit int64) bool {
	if announced > MaxBuffered {
		return false
	}
	if len(b.Bytes) < cap(b.Bytes) {
		return true
	}
	size := max(2*int64(cap(b.Bytes)), Uncounted)
	if length >= 0 {
		size = length + 1 // one more byte shows the end without growing again
	}
	if size > MaxBuffered+1 || size > Uncounted && !b.reserve(size-b.held, limit) {
		return false
	}
	b.Bytes = append(make([]byte, 0, size), b.Bytes...)
	return true
}

// reserve reserves n more bytes, for all answers and for the client that pays.
func (b *Buffered) reserve(n, limit int64) bool {
	if !b.budget.reserve(n, limit) {
		return false
	}
	if b.paid && !b.lease.TryGrow(n) && !b.waitForMemory(n) {
		b.budget.held.Add(-n)
		return false
	}
	b.held += n
	return true
}

func (b *Buffered) waitForMemory(n int64) bool {
	ctx, cancel := context.WithTimeout(b.ctx, payPatience)
	defer cancel()
	return b.lease.Grow(ctx, n) == nil
}

// Units returns the units of [account.LeaseUnit] that the payer pays.
func (b *Buffered) Units() int64 {
	if !b.paid {
		return 0
	}
	return b.lease.Units()
}

// Free returns the memory.
func (b *Buffered) Free() {
	b.budget.held.Add(-b.held)
	b.held = 0
	if b.paid {
		b.lease.Close()
	}
	b.ctx = nil
	if cap(b.Bytes) > maxKept {
		b.Bytes = nil
	}
	bufferedPool.Put(b)
}
