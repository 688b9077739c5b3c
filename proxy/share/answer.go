package share

import (
	"context"
	"errors"
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

	buffered *upstream.Buffered
	text     []byte // where the strings of Fields are
	readers  atomic.Int32
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
func (a *Answer) drainReaders() {
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
	a.buffered.Free()
	a.buffered, a.Body = nil, nil
	answers.Put(a)
}

var answers = sync.Pool{New: func() any { return &Answer{} }}

// errTooLarge sends the receivers of a batch on their own ways: an answer for which there
// is not that much memory is streamed to each client.
var errTooLarge = errors.New("the answer is too large to be shared")

// receive reads a whole answer.
func (r *Reads) receive(ctx context.Context, req *upstream.Request) (*Answer, error) {
	resp, err := r.pool.Do(ctx, req)
	if err != nil {
		return nil, err
	}
	defer resp.Close()
	buffered, whole, err := resp.ReadBufferedShared()
	if err != nil {
		return nil, err
	}
	if !whole {
		buffered.Free()
		return nil, errTooLarge
	}
	a := answers.Get().(*Answer)
	a.copyHead(resp)
	a.buffered, a.Body = buffered, buffered.Bytes
	return a, nil
}

// take copies the head, whose strings end with the response.
func (a *Answer) copyHead(resp *upstream.Response) {
	a.Status, a.Fields, a.text = resp.Status, a.Fields[:0], a.text[:0]
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
