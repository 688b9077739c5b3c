package share

import (
	"context"
	"errors"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"unsafe"

	"etcd-tlsproxy/proxy/upstream"
)

// Reads are the reads through one pool, in batches.
type Reads struct {
	pool   *upstream.Pool
	saved  *atomic.Uint64
	seed   maphash.Seed
	shards [64]shard
}

// shard is a part of the lines, so that reads of different targets rarely wait
// for each other's lock.
type shard struct {
	mu      sync.Mutex
	flights map[uint64]*flight
	free    []*flight
}

// line is one target that is being read at this moment.
type flight struct {
	target []byte
	next   *batch // who waits for the next request; nil if nobody does
}

// batch is one request for many receivers.
type batch struct {
	done   chan struct{} // closed when answer and err are there
	answer *Answer
	err    error

	mu      sync.Mutex
	readers int // who still waits
	sent    bool
	cancel  context.CancelFunc // set once it is sent
}

// NewReads makes reads through a pool. On saved it counts the reads that etcd
// was not asked for.
func NewReads(pool *upstream.Pool, saved *atomic.Uint64) *Reads {
	r := &Reads{pool: pool, saved: saved, seed: maphash.MakeSeed()}
	for i := range r.shards {
		r.shards[i].flights = make(map[uint64]*flight)
	}
	return r
}

// Turn is the right, and the duty, to go alone. Others wait for its end.
type Lead struct {
	shard  *shard
	reads  *Reads
	hash   uint64
	flight *flight
}

// Join takes part in reading a target. Either it returns an answer, which must be
// released; or an error, an [*upstream.Error]; or, with both nil, the caller is to
// send the request itself and to call turn.Done once etcd's answer is complete or
// it turns out that it takes long. A zero turn needs no Done, and has one that
// does nothing.
//
// target may be a view of memory that changes later.
func (r *Reads) Join(ctx context.Context, target string) (turn Lead, answer *Answer, err error) {
	hash := maphash.String(r.seed, target)
	s := &r.shards[hash%uint64(len(r.shards))]
	s.mu.Lock()
	l, busy := s.flights[hash]
	if !busy {
		l = s.newFlight(target)
		s.flights[hash] = l
		s.mu.Unlock()
		return Lead{shard: s, reads: r, hash: hash, flight: l}, nil, nil
	}
	if string(l.target) != target {
		s.mu.Unlock()
		return Lead{}, nil, nil // two targets of one hash: the second is not shared
	}
	b := l.next
	if b == nil {
		b = &batch{done: make(chan struct{})}
		l.next = b
	}
	b.readers++ // under the shard's lock, until the batch is sent
	s.mu.Unlock()
	return r.wait(ctx, s, b)
}

// wait waits for the batch, or leaves it when ctx ends.
func (r *Reads) wait(ctx context.Context, s *shard, b *batch) (Lead, *Answer, error) {
	select {
	case <-b.done:
	case <-ctx.Done():
		b.remove(s)
		return Lead{}, nil, &upstream.Error{Kind: upstream.Canceled, Err: context.Cause(ctx)}
	}
	if errors.Is(b.err, errTooLarge) {
		return Lead{}, nil, nil
	}
	if b.err != nil {
		return Lead{}, nil, b.err
	}
	return Lead{}, b.answer, nil
}

// newLine takes a line that was used before, if there is one; s.mu is held.
func (s *shard) newFlight(target string) *flight {
	var l *flight
	if n := len(s.free); n > 0 {
		l, s.free = s.free[n-1], s.free[:n-1]
	} else {
		l = &flight{}
	}
	l.target = append(l.target[:0], target...)
	return l
}

// mostSpare bounds the lines that a shard keeps for later.
const maxFree = 64

// Done ends the turn: who waits now is sent for.
func (t *Lead) Done() {
	if t.flight == nil {
		return
	}
	l, s := t.flight, t.shard
	t.flight = nil
	s.mu.Lock()
	b := l.next
	l.next = nil
	if b != nil {
		ctx := b.close()
		s.mu.Unlock()
		next := Lead{shard: s, reads: t.reads, hash: t.hash, flight: l}
		go next.run(ctx, b)
		return
	}
	delete(s.flights, t.hash)
	if len(s.free) < maxFree {
		s.free = append(s.free, l)
	}
	s.mu.Unlock()
}

// run sends a batch's request and hands its answer to those who wait.
func (t *Lead) run(ctx context.Context, b *batch) {
	answer, err := t.reads.receive(ctx, &upstream.Request{Method: "GET", Target: string(t.flight.target)})
	b.finish(answer, err, t.reads.saved)
	if answer != nil {
		answer.drainReaders()
	}
	t.Done()
}

// seal closes the batch to newcomers; the shard's lock is held.
func (b *batch) close() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sent, b.cancel = true, cancel
	if b.readers == 0 {
		cancel() // all of them left before it was sent
	}
	return ctx
}

// leave takes a member that does not wait any longer out.
func (b *batch) remove(s *shard) {
	// Before the batch is sent its members are counted under the shard's lock.
	s.mu.Lock()
	defer s.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.readers--
	select {
	case <-b.done:
		if b.answer != nil {
			b.answer.Release() // its share was counted already
		}
		return
	default:
	}
	if b.readers == 0 && b.sent {
		b.cancel()
	}
}

// finish tells those who still wait.
func (b *batch) finish(answer *Answer, err error, saved *atomic.Uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cancel()
	b.answer, b.err = answer, err
	if answer != nil {
		answer.readers.Store(int32(b.readers) + 1) // and run itself
		saved.Add(uint64(max(b.readers, 1) - 1))
	}
	close(b.done)
}

func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
