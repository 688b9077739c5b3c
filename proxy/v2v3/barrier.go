package v2v3

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// barrier makes the mirror as fresh as the store. One read is on its way at a time, and all who
// arrive before it is sent share it.
type barrier struct {
	s      *Store
	wanted chan struct{} // has room for one
	mu     sync.Mutex
	next   *round
	// waits and reads count, and waited is the sum of all waits in nanoseconds, for the status.
	waits, reads, waited atomic.Int64
}

// round is one read.
type round struct {
	done     chan struct{}
	revision int64
	err      error
}

// wait returns when the mirror has everything that etcd had acknowledged before the call: each event, and the
// description of the tree, which says whether it still has the keys. A read that fails is repeated: the next endpoint may answer it.
func (b *barrier) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, b.s.o.Timeout)
	defer cancel()
	began := time.Now()
	defer func() {
		b.waits.Add(1)
		b.waited.Add(int64(time.Since(began)))
	}()
	for {
		r, err := b.round(ctx)
		switch {
		case err != nil:
			return err
		case r.err == nil:
			if err := b.s.reach(ctx, r.revision); err != nil {
				return fmt.Errorf("waiting for the revision %d: %w", r.revision, err)
			}
			return nil
		case !rpc.Pause(ctx):
			return r.err
		}
	}
}

// round returns the result of a read that begins after the call.
func (b *barrier) round(ctx context.Context) (*round, error) {
	b.mu.Lock()
	if b.next == nil {
		b.next = &round{done: make(chan struct{})}
	}
	r := b.next
	b.mu.Unlock()
	select {
	case b.wanted <- struct{}{}:
	default:
	}
	select {
	case <-r.done:
		return r, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for a read of the log: %w", ctx.Err())
	case <-b.s.ctx.Done():
		return nil, errClosed
	}
}

// run reads whenever somebody waits.
func (b *barrier) run() {
	for {
		select {
		case <-b.wanted:
		case <-b.s.ctx.Done():
			return
		}
		b.mu.Lock()
		r := b.next
		b.next = nil
		b.mu.Unlock()
		if r != nil {
			b.reads.Add(1)
			r.revision, r.err = b.read()
			close(r.done)
		}
	}
}

func (b *barrier) read() (int64, error) {
	s := b.s
	ctx, cancel := context.WithTimeout(s.ctx, s.o.Timeout)
	defer cancel()
	endpoint, _ := s.client.Endpoint()
	cluster, last := s.past()
	// There are no others between these two keys but the lock.
	answer, err := s.client.Range(ctx, &pb.RangeRequest{Key: s.keys.Log(), RangeEnd: append(s.keys.Meta(), 0), KeysOnly: true})
	if err != nil {
		return 0, fmt.Errorf("reading the log: %s", rpc.Reason(err))
	}
	s.header(answer.Header)
	if cluster != 0 && cluster != answer.Header.ClusterId {
		return 0, fmt.Errorf("reading the log: the endpoint belongs to another cluster")
	}
	if len(answer.Kvs) == 0 || string(answer.Kvs[0].Key) != string(s.keys.Log()) {
		return 0, fmt.Errorf("reading the log: the store has none")
	}
	revision := answer.Kvs[0].ModRevision
	if revision < last {
		return 0, fmt.Errorf("reading the log: the store was restored to an older state than that of the tree in memory")
	}
	if meta := answer.Kvs[len(answer.Kvs)-1]; string(meta.Key) == string(s.keys.Meta()) {
		revision = max(revision, meta.ModRevision)
	}
	s.seen.show(revision, endpoint)
	return revision, nil
}

// past returns the cluster of the mirror, and the revision of its last event; zeros if there is none.
func (s *Store) past() (cluster uint64, last int64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.m == nil {
		return 0, 0
	}
	return s.m.Cluster, s.m.LogRevision
}

// maxBehind is how long the stream of events may be behind a revision that another response has
// shown. A partitioned member goes on to answer requests for progress.
const maxBehind = time.Second

// seen is the newest revision of the tree that a response has shown.
type seen struct {
	mu       sync.Mutex
	revision int64
	endpoint int // which showed it
}

// show takes note of a revision that the stream of events must show too.
func (n *seen) show(revision int64, endpoint int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if revision > n.revision {
		n.revision, n.endpoint = revision, endpoint
	}
}

// newest returns the newest revision and the endpoint that showed it.
func (n *seen) newest() (revision int64, endpoint int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.revision, n.endpoint
}

// bound takes note of a linearizable read: what is beyond its revision was of another past.
func (n *seen) bound(revision int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.revision = min(n.revision, revision)
}

// lag is how far the stream of events is behind. It is counted in ticks of the heartbeat.
type lag struct {
	since int   // ticks; 0 if it is not behind
	idle  int64 // the responses without events when it fell behind
}

// tooLong reports, once in each tick, whether the stream has been behind for too long. Large
// events may take as long as they need: etcd sends them before its answer to a later
// heartbeat. So the stream is only behind if it is idle.
func (l *lag) tooLong(upToDate bool, idle int64) bool {
	switch {
	case upToDate:
		*l = lag{}
	case l.since == 0:
		*l = lag{1, idle}
	default:
		l.since++
	}
	// The first idle response may answer a heartbeat from before.
	return l.since > int(maxBehind/tick) && idle > l.idle+1
}

// forget makes all revisions unseen. They were of another past.
func (n *seen) forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.revision = 0
}

// header takes note of the head of a response.
func (s *Store) header(h *pb.ResponseHeader) {
	s.term.Store(h.RaftTerm)
	for {
		old := s.revision.Load()
		if h.Revision <= old || s.revision.CompareAndSwap(old, h.Revision) {
			return
		}
	}
}
