package share

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"etcd-tlsproxy/proxy/http1"
	"etcd-tlsproxy/proxy/upstream"
)

// Answer is etcd's answer to a batch, received whole. Every receiver must call
// Release, and use nothing of it afterwards.
type Answer struct {
	Status int
	// Fields is the head without framing, as etcd spells it; Body the whole body.
	Fields []http1.Field
	Body   []byte

	text    []byte // where the strings of Fields are
	readers atomic.Int32
	held    *atomic.Int64 // the sum of all answers' memory
}

// Release gives the memory back when the last receiver is done.
func (a *Answer) Release() {
	if a.readers.Add(-1) == 0 {
		a.free()
	}
}

// yield lets most receivers go first if there are not processors enough for all:
// those who were answered ask again, and the next batch is for more of them. It
// waits for nobody: a receiver that is slow to take its answer, or a processor that
// is free, costs a few turns of the scheduler.
func (a *Answer) yield() {
	defer a.Release()
	most := a.readers.Load() / 4
	for range 16 {
		if a.readers.Load() <= most+1 {
			return
		}
		runtime.Gosched()
	}
}

func (a *Answer) free() {
	a.held.Add(-int64(cap(a.Body)))
	if cap(a.Body) > mostKept {
		a.Body = nil
	}
	answers.Put(a)
}

var answers = sync.Pool{New: func() any { return &Answer{} }}

const (
	// mostShared bounds an answer, in bytes. A tree that is larger is streamed to
	// each client instead.
	mostShared = 4 << 20
	// mostHeld bounds all answers that are received or sent at a time.
	mostHeld = 256 << 20
	// mostKept is what an answer may keep for the next one.
	mostKept = 1 << 20
)

// errTooLarge sends the receivers of a batch on their own ways.
var errTooLarge = errors.New("the answer is too large to be shared")

// receive reads a whole answer.
func (r *Reads) receive(ctx context.Context, req *upstream.Request) (*Answer, error) {
	resp, err := r.pool.Do(ctx, req)
	if err != nil {
		return nil, err
	}
	defer resp.Close()
	if resp.Length > mostShared {
		return nil, errTooLarge
	}
	a := answers.Get().(*Answer)
	a.held = &r.held
	a.held.Add(int64(cap(a.Body)))
	a.take(resp)
	for {
		if len(a.Body) == cap(a.Body) {
			a.grow(int(resp.Length))
		}
		n, err := resp.Read(a.Body[len(a.Body):cap(a.Body)])
		a.Body = a.Body[:len(a.Body)+n]
		switch {
		case err == io.EOF:
			return a, nil
		case err == nil && (len(a.Body) > mostShared || r.held.Load() > mostHeld):
			err = errTooLarge
		}
		if err != nil {
			a.free()
			return nil, err
		}
	}
}

// take copies the head, whose strings end with the response.
func (a *Answer) take(resp *upstream.Response) {
	a.Status, a.Fields, a.Body, a.text = resp.Status, a.Fields[:0], a.Body[:0], a.text[:0]
	size := 0
	for _, f := range resp.Fields {
		size += len(f.Name) + len(f.Value)
	}
	if cap(a.text) < size {
		a.text = make([]byte, 0, size) // at once: strings into it must not move
	}
	keep := func(s string) string {
		start := len(a.text)
		a.text = append(a.text, s...)
		return view(a.text[start:])
	}
	for _, f := range resp.Fields {
		a.Fields = append(a.Fields, http1.Field{Name: keep(f.Name), Value: keep(f.Value)})
	}
}

// grow makes room for the rest of a body of a known length, or for as much again.
func (a *Answer) grow(length int) {
	size := max(2*cap(a.Body), 16<<10, length+1) // one more byte lets the end be seen without growing
	a.held.Add(int64(size - cap(a.Body)))
	larger := make([]byte, len(a.Body), size)
	copy(larger, a.Body)
	a.Body = larger
}
