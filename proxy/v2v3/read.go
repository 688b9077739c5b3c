package v2v3

import (
	"context"
	"time"

	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3/turn"
)

// Client is on whose behalf a write is made.
type Client = turn.Client

// Do is [Store.DoFor] for nobody in particular.
func (s *Store) Do(ctx context.Context, op *v2store.Operation) (v2store.Answer, error) {
	return s.DoFor(ctx, op, &Client{})
}

// DoFor answers a read or a write. The error is always an [Error]. The body of the answer must not be
// changed. Only writes use the client.
func (s *Store) DoFor(ctx context.Context, op *v2store.Operation, client *Client) (v2store.Answer, error) {
	if op.Write() {
		return s.write(ctx, op, client)
	}
	if op.Quorum || s.o.Linearizable {
		if err := s.barrier.wait(ctx); err != nil {
			return v2store.Answer{}, &Error{Kind: NotServed, Reason: err.Error()}
		}
	}
	if err := s.catchUp(ctx); err != nil {
		return v2store.Answer{}, err
	}
	return s.read(op)
}

// maxWhole is the size up to which an answer is rendered whole. A larger one is rendered while its
// client takes it, so that it never needs the memory.
const maxWhole = 4 << 20

// Size returns the most bytes that the answer to a read would have now.
func (s *Store) Size(op *v2store.Operation) int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.m == nil {
		return 0
	}
	return s.m.Tree.Size(op)
}

// read answers from the mirror.
func (s *Store) read(op *v2store.Operation) (v2store.Answer, error) {
	now := s.o.Now()
	s.mu.RLock()
	if err := s.usable(); err != nil {
		s.mu.RUnlock()
		return v2store.Answer{}, err
	}
	a := s.m.Tree.Answer(op, now)
	s.mu.RUnlock()
	if l := a.Large; l != nil && l.Size() <= maxWhole {
		a.Body, a.Large = l.Body(), nil
		s.mu.RLock()
		l.Keep(a.Body)
		s.mu.RUnlock()
	}
	if a.Failed {
		s.counts.Failed(op.Action, v2store.CodeKeyNotFound)
	} else {
		s.counts.Succeeded(op.Action)
	}
	return a, nil
}

// maxCatchUp is how long an operation waits until this store has what the one before has shown.
const maxCatchUp = time.Second

// Succeed makes this store take the place of another one of the same tree, which answers what is on its
// way: what a client has learned there is never news here. It is called before the first operation.
func (s *Store) Succeed(before *Store) { s.predecessor.Store(before) }

// shown returns the revision up to which this store, or one before it, may have answered.
func (s *Store) shown() int64 {
	shown := s.applied.Load()
	if before := s.predecessor.Load(); before != nil {
		shown = max(shown, before.shown())
	}
	return shown
}

// catchUp waits until this store has everything that the one before has shown. The revisions of
// another cluster, or of another past, say nothing.
func (s *Store) catchUp(ctx context.Context) *Error {
	before := s.predecessor.Load()
	if before == nil {
		return nil
	}
	of, _ := before.past()
	own, _ := s.past()
	if before.ctx.Err() != nil || of != own {
		s.predecessor.CompareAndSwap(before, nil)
		return nil
	}
	before.mu.RLock()
	serves := before.reason == ""
	before.mu.RUnlock()
	if !serves { // but it may again
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, maxCatchUp)
	defer cancel()
	if s.reach(ctx, before.shown()) != nil {
		return &Error{Kind: NotServed, Reason: "the tree is behind what was answered before the last reload"}
	}
	return nil
}
