package upstream

import (
	"io"
	"sync"
	"sync/atomic"
)

// Ahead is as much of a body as was received before a client takes any of it. Once it
// is the whole, etcd and its connection need not wait for a client that is slow.
type Ahead struct {
	// Bytes end with Free.
	Bytes []byte

	budget *budget
	held   int64
}

const (
	// MostAhead bounds the bytes of one answer, and allAhead those of all. What is larger
	// goes through as the client takes it.
	MostAhead = 4 << 20
	allAhead  = 256 << 20
	// mostKept is what may be kept for the next answer.
	mostKept = 1 << 20
)

// budget is how many bytes are held of [allAhead].
type budget struct{ atomic.Int64 }

func (b *budget) take(n int64) bool {
	if b.Add(n) > allAhead {
		b.Add(-n)
		return false
	}
	return true
}

// Ahead is how many bytes of answers wait for their clients.
func (p *Pool) Ahead() int64 { return p.ahead.Load() }

var aheads = sync.Pool{New: func() any { return &Ahead{} }}

// ReadAhead receives the rest of the body, of which first is what was read already. The
// error is io.EOF if Bytes are the whole; nil if there is more, which Read returns; any
// other is an [*Error], and there is nothing to free then.
func (r *Response) ReadAhead(first []byte) (*Ahead, error) {
	a := aheads.Get().(*Ahead)
	a.budget = &r.conn.at.pool.ahead
	if kept := int64(cap(a.Bytes)); a.budget.take(kept) {
		a.held = kept
	} else {
		a.Bytes = nil
	}
	a.Bytes = append(a.Bytes[:0], first...)
	for a.room(r.Length) {
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
func (a *Ahead) room(length int64) bool {
	if len(a.Bytes) < cap(a.Bytes) {
		return true
	}
	size := max(2*int64(cap(a.Bytes)), 64<<10)
	if length >= 0 {
		size = length + 1 // one more byte lets the end be seen without growing
	}
	if size > MostAhead+1 || !a.budget.take(size-a.held) {
		return false
	}
	a.held = size
	a.Bytes = append(make([]byte, 0, size), a.Bytes...)
	return true
}

// Free gives the memory back.
func (a *Ahead) Free() {
	a.budget.Add(-a.held)
	a.held = 0
	if cap(a.Bytes) > mostKept {
		a.Bytes = nil
	}
	aheads.Put(a)
}
