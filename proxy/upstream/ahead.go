package upstream

import (
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// Ahead is as much of a body as was received before a client takes any of it. Once it
// is the whole, etcd and its connection need not wait for a client that is slow.
type Ahead struct {
	// Bytes end with Free.
	Bytes []byte

	budget *Budget
	held   int64
}

const (
	// MostAhead bounds the bytes of one answer. What is larger goes through as the client
	// takes it.
	MostAhead = 4 << 20
	// freeAhead is how much of each answer is not counted: small ones are received
	// whole, whatever the large ones hold. The number of slots bounds them.
	freeAhead = 64 << 10
	// mostKept is what may be kept for the next answer.
	mostKept = 256 << 10
)

// Budget counts the bytes that are held of all there may be.
type Budget struct {
	held atomic.Int64
}

// Held is how many bytes are held now.
func (b *Budget) Held() int64 { return b.held.Load() }

func (b *Budget) take(n, most int64) bool {
	for {
		held := b.held.Load()
		if held+n > most {
			return false
		}
		if b.held.CompareAndSwap(held, held+n) {
			return true
		}
	}
}

var aheads = sync.Pool{New: func() any { return &Ahead{} }}

// ReadAhead receives the rest of the body, of which first is what was read already. The
// error is io.EOF if Bytes are the whole; nil if there is more, which Read returns; any
// other is an [*Error], and there is nothing to free then. It takes no longer than the
// limit on a wait for more: what comes that slowly is better sent on.
func (r *Response) ReadAhead(first []byte) (*Ahead, error) {
	return r.readAhead(first, &r.conn.at.pool.count.Ahead)
}

// ReadShared is [Response.ReadAhead] of an answer for many clients, which have a budget
// of their own.
func (r *Response) ReadShared() (*Ahead, error) {
	return r.readAhead(nil, &r.conn.at.pool.count.Shared)
}

func (r *Response) readAhead(first []byte, b *Budget) (*Ahead, error) {
	a := aheads.Get().(*Ahead)
	a.budget = b
	o := &r.conn.at.pool.o
	if kept := int64(cap(a.Bytes)); kept > freeAhead {
		if r.Length >= 0 && r.Length < kept/4 || !b.take(kept, o.Ahead) {
			a.Bytes = nil
		} else {
			a.held = kept
		}
	}
	a.Bytes = append(a.Bytes[:0], first...)
	for last := time.Now().Add(o.BodyTimeout); a.room(r.Length, o.Ahead) && time.Now().Before(last); {
		n, err := r.Read(a.Bytes[len(a.Bytes):cap(a.Bytes)])
		a.Bytes = a.Bytes[:len(a.Bytes)+n]
		if err == io.EOF {
			return a, err
		}
		if err != nil {
			a.Free()
			return nil, err
		}
	}
	return a, nil
}

// room makes room for the rest of a body of a known length, or for as much again.
func (a *Ahead) room(length, most int64) bool {
	if length > MostAhead {
		return false
	}
	if len(a.Bytes) < cap(a.Bytes) {
		return true
	}
	size := max(2*int64(cap(a.Bytes)), freeAhead)
	if length >= 0 {
		size = length + 1 // one more byte lets the end be seen without growing
	}
	if size > MostAhead+1 || size > freeAhead && !a.budget.take(size-a.held, most) {
		return false
	}
	if size > freeAhead {
		a.held = size
	}
	a.Bytes = append(make([]byte, 0, size), a.Bytes...)
	return true
}

// Free gives the memory back.
func (a *Ahead) Free() {
	a.budget.held.Add(-a.held)
	a.held = 0
	if cap(a.Bytes) > mostKept {
		a.Bytes = nil
	}
	aheads.Put(a)
}
