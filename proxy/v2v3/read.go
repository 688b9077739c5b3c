package v2v3

import (
	"context"

	"etcd-tlsproxy/proxy/v2store"
)

// Do answers a read or a write. The error is always an [Error]. The body of the answer must not be
// changed.
func (s *Store) Do(ctx context.Context, op *v2store.Operation) (v2store.Answer, error) {
	if op.Write() {
		return s.write(ctx, op)
	}
	if op.Quorum || s.o.Linearizable {
		if err := s.barrier.wait(ctx); err != nil {
			return v2store.Answer{}, &Error{Kind: NotServed, Reason: err.Error()}
		}
	}
	return s.read(op)
}

// read answers from the mirror.
func (s *Store) read(op *v2store.Operation) (v2store.Answer, error) {
	now := s.o.now()
	s.mu.RLock()
	if err := s.usable(); err != nil {
		s.mu.RUnlock()
		return v2store.Answer{}, err
	}
	a := s.m.Tree.Answer(op, now)
	s.mu.RUnlock()
	if a.Failed {
		s.counts.Failed(op.Action, v2store.CodeKeyNotFound)
	} else {
		s.counts.Succeeded(op.Action)
	}
	return a, nil
}
