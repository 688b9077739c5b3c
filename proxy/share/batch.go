package share

import (
	"context"
	"sync"
	"sync/atomic"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/bulk"
)

// batch is one request for many readers.
type batch struct {
	done   chan struct{} // closed when answer and err are set
	answer *Answer
	err    error

	claim bulk.Claim
	payer *account.Account // of the claim; nil if nothing is claimed

	mu      sync.Mutex
	readers int // still waiting
	sent    bool
	cancel  context.CancelFunc // set once it is sent
}

// newBatch returns a batch whose first reader has a claim.
func newBatch(claim *bulk.Claim) *batch {
	b := &batch{done: make(chan struct{})}
	if !claim.IsFree() {
		b.payer = claim.Account().Reopen() // the batch may outlast its first reader
		b.claim = claim.For(b.payer)
	}
	return b
}

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
	if b.readers == 0 && b.sent {
		b.cancel()
	}
}

// finish publishes the result to the remaining readers.
func (b *batch) finish(answer *Answer, err error, saved *atomic.Uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cancel()
	if b.payer != nil {
		b.payer.Close()
	}
	b.answer, b.err = answer, err
	if answer != nil {
		answer.readers.Store(int32(b.readers) + 1) // and one for send
		saved.Add(uint64(max(b.readers, 1) - 1))
		answer.Shared = b.readers > 1
	}
	close(b.done)
}
