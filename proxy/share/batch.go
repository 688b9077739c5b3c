package share

import (
	"context"
	"sync"
	"sync/atomic"
)

// batch is one request for many readers.
type batch struct {
	done   chan struct{} // closed when answer and err are set
	answer *Answer
	err    error

	payment

	mu      sync.Mutex
	readers int // still waiting
	sent    bool
	cancel  context.CancelFunc // set once it is sent
}

// newBatch returns a batch without readers.
func newBatch() *batch { return &batch{done: make(chan struct{})} }

// close admits no more readers to the batch; the shard's lock is held.
func (b *batch) close() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sent, b.cancel = true, cancel
	if b.readers == 0 {
		cancel() // all readers left before it was sent
	}
	return ctx
}

// remove removes a reader that stopped waiting.
func (b *batch) remove(s *shard) {
	// Until the batch is sent, the shard's lock guards readers.
	s.mu.Lock()
	defer s.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.readers--
	select {
	case <-b.done:
		if b.answer != nil {
			b.answer.Release() // the answer's reference count includes this reader already
		}
		return
	default:
	}
	switch {
	case b.readers > 0:
	case b.sent:
		b.cancel()
	default:
		b.interrupt()
	}
}

// finish publishes the result to the remaining readers.
func (b *batch) finish(answer *Answer, err error, saved *atomic.Uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cancel()
	b.payment.close()
	b.answer, b.err = answer, err
	if answer != nil {
		answer.readers.Store(int32(b.readers) + 1) // and one for send
		saved.Add(uint64(max(b.readers, 1) - 1))
		answer.Shared = b.readers > 1
	}
	close(b.done)
}
