package share

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"

	"etcd-tlsproxy/proxy/bulk"
	"etcd-tlsproxy/proxy/http1"
	"etcd-tlsproxy/proxy/upstream"
)

// Answer is etcd's complete answer to a batch. Every reader must call Release, and must
// not use the answer afterwards.
type Answer struct {
	Status int
	// Fields is the head without framing, spelled as etcd does. Body is the whole body.
	Fields []http1.Field
	Body   []byte
	// Shared is set if the batch had more than one reader.
	Shared bool

	buffered *upstream.Buffered
	text     []byte // backs the strings of Fields
	readers  atomic.Int32
}

// Release frees the memory when the last reader has called it.
func (a *Answer) Release() {
	if a.readers.Add(-1) == 0 {
		a.free()
	}
}

// drainReaders yields the processor until most readers have their answer. Many of their
// clients send the next read at once, so the next batch then serves more of them. It never
// blocks: a slow reader or an idle processor costs a few rounds of the scheduler.
func (a *Answer) drainReaders() {
	defer a.Release()
	quarter := a.readers.Load() / 4
	for range 16 {
		if a.readers.Load() <= quarter+1 {
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

// errTooLarge makes each reader of a batch send its own request. An answer that does not
// fit into the memory for shared answers is streamed to each client.
var errTooLarge = errors.New("the answer is too large to be shared")

// receive sends a request, whose claim is acquired, and reads the complete answer.
func (r *Reads) receive(ctx context.Context, req *upstream.Request, claim *bulk.Claim) (*Answer, error) {
	defer claim.Release()
	resp, err := r.pool.Do(ctx, req)
	if err != nil {
		return nil, err
	}
	defer resp.Close()
	buffered, whole, err := resp.ReadBufferedShared()
	if err != nil {
		return nil, err
	}
	claim.Began(resp.Announced(), resp.Shows())
	if !whole {
		buffered.Free()
		return nil, errTooLarge
	}
	a := answers.Get().(*Answer)
	a.copyHead(resp)
	a.buffered, a.Body = buffered, buffered.Bytes
	return a, nil
}

// acquire acquires what a request is expected to need at etcd, and waits for its turn.
func (r *Reads) acquire(ctx context.Context, claim *bulk.Claim) error {
	if claim.Refresh(); claim.Size() > upstream.MaxBuffered {
		return errTooLarge // as the request before this one has shown
	}
	return claim.Acquire(ctx)
}

// copyHead copies the head. The response's strings are valid only until it is closed.
func (a *Answer) copyHead(resp *upstream.Response) {
	a.Status, a.Fields, a.text = resp.Status, a.Fields[:0], a.text[:0]
	size := 0
	for _, f := range resp.Fields {
		size += len(f.Name) + len(f.Value)
	}
	if cap(a.text) < size {
		a.text = make([]byte, 0, size) // growing later would move the strings
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
