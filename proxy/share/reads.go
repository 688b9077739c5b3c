package share

import (
	"bytes"
	"context"
	"errors"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"unsafe"

	"etcd-tlsproxy/proxy/bulk"
	"etcd-tlsproxy/proxy/upstream"
)

// Reads batches the reads through one pool.
type Reads struct {
	pool   *upstream.Pool
	saved  *atomic.Uint64
	seed   maphash.Seed
	shards [64]shard

	changed func() // called when readers or flights change; for tests
}

// shard holds a part of the flights, so that reads of different targets rarely contend
// for a lock.
type shard struct {
	mu      sync.Mutex
	flights map[uint64]*flight
	free    []*flight
}

// flight is one target that is being read.
type flight struct {
	target []byte
	next   *batch // waits for the next request; nil if it has no readers
}

// NewReads returns reads through a pool. saved counts the reads that did not need a
// request of their own.
func NewReads(pool *upstream.Pool, saved *atomic.Uint64) *Reads {
	r := &Reads{pool: pool, saved: saved, seed: maphash.MakeSeed()}
	for i := range r.shards {
		r.shards[i].flights = make(map[uint64]*flight)
	}
	return r
}

// Lead is held by the caller that sends its own request. The next batch waits until Done
// is called.
type Lead struct {
	shard  *shard
	reads  *Reads
	hash   uint64
	flight *flight
}

// Reader is a client that can give up a read.
type Reader interface {
	// Queued is called when the client begins to wait for an answer that is not small, with a
	// function that ends the wait, and with nil when it has ended.
	Queued(leave context.CancelFunc)
}

// Join reads a path with a query, which may be empty, together with others. It returns an
// answer, which the caller must release, or an [*upstream.Error]. If both are nil, the caller
// sends the request itself and calls lead.Done when the answer is complete or is going to
// take long. On a zero Lead, Done does nothing and need not be called.
//
// The claim is that of a request for the caller alone. The request of a batch is charged to
// one of its readers.
//
// The strings may be views of memory that changes later. The caller's own request may be
// spelled differently, as long as etcd's answer is the same.
func (r *Reads) Join(ctx context.Context, path, query string, claim *bulk.Claim, reader Reader) (lead Lead, answer *Answer, err error) {
	hash := maphash.String(r.seed, path)
	if query != "" {
		hash = 31*hash + maphash.String(r.seed, query)
	}
	s := &r.shards[hash%uint64(len(r.shards))]
	s.mu.Lock()
	l, busy := s.flights[hash]
	if !busy {
		l = s.newFlight(path, query)
		s.flights[hash] = l
		s.mu.Unlock()
		return Lead{shard: s, reads: r, hash: hash, flight: l}, nil, nil
	}
	if !l.reads(path, query) {
		s.mu.Unlock()
		return Lead{}, nil, nil // a hash collision: the second target is not shared
	}
	b := l.next
	if b == nil {
		b = newBatch()
		l.next = b
	}
	b.offer(claim)
	b.readers++ // under the shard's lock, until the batch is sent
	s.mu.Unlock()
	if r.changed != nil {
		r.changed()
	}
	if reader != nil && !claim.IsFree() {
		var leave context.CancelFunc
		ctx, leave = context.WithCancel(ctx)
		defer leave()
		reader.Queued(leave)
		defer reader.Queued(nil)
	}
	return r.wait(ctx, s, b)
}

// wait waits for the batch, and leaves it when ctx ends.
func (r *Reads) wait(ctx context.Context, s *shard, b *batch) (Lead, *Answer, error) {
	select {
	case <-b.done:
	case <-ctx.Done():
		b.remove(s)
		if r.changed != nil {
			r.changed()
		}
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

// Waiting returns the number of reads that wait for a request that is not sent yet.
func (r *Reads) Waiting() (n int) {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		for _, l := range s.flights {
			if l.next != nil {
				n += l.next.readers
			}
		}
		s.mu.Unlock()
	}
	return n
}

// newFlight returns a free flight, or a new one; s.mu is held.
func (s *shard) newFlight(path, query string) *flight {
	var l *flight
	if n := len(s.free); n > 0 {
		l, s.free = s.free[n-1], s.free[:n-1]
	} else {
		l = &flight{}
	}
	l.target = append(l.target[:0], path...)
	if query != "" {
		l.target = append(append(l.target, '?'), query...)
	}
	return l
}

// reads reports whether the flight's target is the path with the query.
func (l *flight) reads(path, query string) bool {
	at, rest, _ := bytes.Cut(l.target, []byte{'?'})
	return string(at) == path && string(rest) == query
}

// maxFree bounds the free flights that a shard keeps.
const maxFree = 64

// Done ends the lead and sends the batch that waits.
func (t *Lead) Done() {
	if t.flight == nil {
		return
	}
	l, s := t.flight, t.shard
	t.flight = nil
	s.mu.Lock()
	if l.next != nil {
		next := Lead{shard: s, reads: t.reads, hash: t.hash, flight: l}
		b, ctx := l.next, context.Context(nil)
		if b.payer == nil {
			ctx = next.closeBatch()
		}
		s.mu.Unlock()
		go next.send(ctx, b)
		return
	}
	delete(s.flights, t.hash)
	if len(s.free) < maxFree {
		s.free = append(s.free, l)
	}
	s.mu.Unlock()
	if t.reads.changed != nil {
		t.reads.changed()
	}
}

// closeBatch admits no more readers to the batch that waits; the shard's lock is held.
func (t *Lead) closeBatch() context.Context {
	b := t.flight.next
	t.flight.next = nil
	return b.close()
}

// send sends a batch's request and distributes the answer to its readers. ctx is nil if the batch
// still admits readers, because the request has to be paid for.
func (t *Lead) send(ctx context.Context, b *batch) {
	var answer *Answer
	var err error
	if ctx == nil {
		ctx, err = t.pay(b)
	}
	if err == nil {
		answer, err = t.reads.receive(ctx, &upstream.Request{Method: "GET", Target: string(t.flight.target)}, &b.claim)
	}
	b.finish(answer, err, t.reads.saved)
	if answer != nil {
		answer.drainReaders()
	}
	t.Done()
}

func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
