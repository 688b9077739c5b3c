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
	mu    sync.Mutex
	lines map[uint64]*line
	spare []*line
}

// line is one target that is being read at this moment.
type line struct {
	target []byte
	next   *batch // who waits for the next request; nil if nobody does
}

// batch is one request for many receivers.
type batch struct {
	done   chan struct{} // closed when answer and err are there
	answer *Answer
	err    error

	mu      sync.Mutex
	members int // who still waits
	sent    bool
	cancel  context.CancelFunc // set once it is sent
}

// NewReads makes reads through a pool. On saved it counts the reads that etcd
// was not asked for.
func NewReads(pool *upstream.Pool, saved *atomic.Uint64) *Reads {
	r := &Reads{pool: pool, saved: saved, seed: maphash.MakeSeed()}
	for i := range r.shards {
		r.shards[i].lines = make(map[uint64]*line)
	}
	return r
}

// Turn is the right, and the duty, to go alone. Others wait for its end.
type Turn struct {
	shard *shard
	reads *Reads
	hash  uint64
	line  *line
}

// Join takes part in reading a target. Either it returns an answer, which must be
// released; or an error, an [*upstream.Error]; or, with both nil, the caller is to
// send the request itself and to call turn.Done once etcd's answer is complete or
// it turns out that it takes long. A zero turn needs no Done, and has one that
// does nothing.
//
// target may be a view of memory that changes later.
func (r *Reads) Join(ctx context.Context, target string) (turn Turn, answer *Answer, err error) {
	hash := maphash.String(r.seed, target)
	s := &r.shards[hash%uint64(len(r.shards))]
	s.mu.Lock()
	l, busy := s.lines[hash]
	if !busy {
		l = s.newLine(target)
		s.lines[hash] = l
		s.mu.Unlock()
		return Turn{shard: s, reads: r, hash: hash, line: l}, nil, nil
	}
	if string(l.target) != target {
		s.mu.Unlock()
		return Turn{}, nil, nil // two targets of one hash: the second is not shared
	}
	b := l.next
	if b == nil {
		b = &batch{done: make(chan struct{})}
		l.next = b
	}
	b.members++ // under the shard's lock, until the batch is sent
	s.mu.Unlock()
	return r.wait(ctx, s, b)
}

// wait waits for the batch, or leaves it when ctx ends.
func (r *Reads) wait(ctx context.Context, s *shard, b *batch) (Turn, *Answer, error) {
	select {
	case <-b.done:
	case <-ctx.Done():
		b.leave(s)
		return Turn{}, nil, &upstream.Error{Kind: upstream.Canceled, Err: context.Cause(ctx)}
	}
	if errors.Is(b.err, errTooLarge) {
		return Turn{}, nil, nil
	}
	if b.err != nil {
		return Turn{}, nil, b.err
	}
	return Turn{}, b.answer, nil
}

// newLine takes a line that was used before, if there is one; s.mu is held.
func (s *shard) newLine(target string) *line {
	var l *line
	if n := len(s.spare); n > 0 {
		l, s.spare = s.spare[n-1], s.spare[:n-1]
	} else {
		l = &line{}
	}
	l.target = append(l.target[:0], target...)
	return l
}

// mostSpare bounds the lines that a shard keeps for later.
const mostSpare = 64

// Done ends the turn: who waits now is sent for.
func (t *Turn) Done() {
	if t.line == nil {
		return
	}
	l, s := t.line, t.shard
	t.line = nil
	s.mu.Lock()
	b := l.next
	l.next = nil
	if b != nil {
		ctx := b.seal()
		s.mu.Unlock()
		next := Turn{shard: s, reads: t.reads, hash: t.hash, line: l}
		go next.run(ctx, b)
		return
	}
	delete(s.lines, t.hash)
	if len(s.spare) < mostSpare {
		s.spare = append(s.spare, l)
	}
	s.mu.Unlock()
}

// run sends a batch's request and hands its answer to those who wait.
func (t *Turn) run(ctx context.Context, b *batch) {
	answer, err := t.reads.receive(ctx, &upstream.Request{Method: "GET", Target: string(t.line.target)})
	b.finish(answer, err, t.reads.saved)
	if answer != nil {
		answer.yield()
	}
	t.Done()
}

// seal closes the batch to newcomers; the shard's lock is held.
func (b *batch) seal() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sent, b.cancel = true, cancel
	if b.members == 0 {
		cancel() // all of them left before it was sent
	}
	return ctx
}

// leave takes a member that does not wait any longer out.
func (b *batch) leave(s *shard) {
	// Before the batch is sent its members are counted under the shard's lock.
	s.mu.Lock()
	defer s.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.members--
	select {
	case <-b.done:
		if b.answer != nil {
			b.answer.Release() // its share was counted already
		}
		return
	default:
	}
	if b.members == 0 && b.sent {
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
		answer.readers.Store(int32(b.members) + 1) // and run itself
		saved.Add(uint64(max(b.members, 1) - 1))
	}
	close(b.done)
}

func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
