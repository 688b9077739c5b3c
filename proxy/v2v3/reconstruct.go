package v2v3

import (
	"context"
	"fmt"

	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// reconstruct returns the event of a write that was executed at a revision, although the mirror
// does not have it: it was loaded again, beyond that revision.
func (s *Store) reconstruct(ctx context.Context, p *proposal, revision int64) (*v2store.Event, error) {
	log, err := s.at(ctx, s.keys.Log(), revision)
	if err == nil {
		entry := new(layout.Entry)
		if log != nil {
			entry, err = layout.DecodeEntry(log.Value)
		}
		if err == nil && entry.Origin != p.origin {
			return nil, &Error{Kind: UnknownOutcome, Reason: "the store has another past than the one in which it was executed"}
		}
	}
	var tree *v2store.Tree
	if err == nil {
		tree, err = s.before(ctx, p, revision)
	}
	var e *v2store.Event
	if err == nil {
		e, err = tree.Apply(p.change, p.txn.Meta.Index(revision))
	}
	if err != nil {
		return nil, &Error{Kind: Executed, Index: p.txn.Meta.Index(revision), Reason: rpc.Reason(err)}
	}
	return e, nil
}

// before returns a tree that has only what a change shows of the revision before: the old node,
// and the directories above it.
func (s *Store) before(ctx context.Context, p *proposal, revision int64) (*v2store.Tree, error) {
	c, meta := p.change, p.txn.Meta
	tree := v2store.New(meta.Index(revision) - 1)
	above := c.Key
	if len(c.Dirs) > 0 {
		above = c.Dirs[0]
	}
	for i := 1; i < len(above); i++ {
		if above[i] == '/' {
			if err := tree.Load(v2store.Record{Key: above[:i], Dir: true}); err != nil {
				return nil, err
			}
		}
	}
	if len(c.Dirs) > 0 {
		return tree, nil
	}
	for _, r := range []v2store.Record{{Key: c.Key}, {Key: c.Key, Dir: true}} {
		key := s.keys.File(c.Key)
		if r.Dir {
			key = s.keys.Dir(c.Key)
		}
		kv, err := s.at(ctx, key, revision-1)
		if err != nil {
			return nil, err
		}
		if kv == nil {
			continue
		}
		r.Recorded = meta.Index(kv.ModRevision)
		if _, err := layout.DecodeRecord(kv.Value, &r); err != nil {
			return nil, err
		}
		if !r.Dir {
			value, err := s.at(ctx, s.keys.Data(c.Key), revision-1)
			if err != nil {
				return nil, err
			}
			if value == nil {
				return nil, fmt.Errorf("the file had no value")
			}
			r.Value = string(value.Value)
		}
		if err := tree.Load(r); err != nil {
			return nil, err
		}
	}
	return tree, nil
}

// settle finds out what became of a write whose response was lost. It puts up a fence, behind which
// the write cannot be executed any more. If the mirror has all events up to the fence, and that
// of the write is not among them, the write was not executed.
func (s *Store) settle(ctx context.Context, p *proposal, lost error) (*v2store.Event, error) {
	fence, err := s.session.FenceOff(ctx, p.session, p.sessionRevision)
	if err == nil {
		err = s.reach(ctx, fence)
	}
	if e, err := s.conclude(p, lost, err); e != nil || err != nil {
		return e, err
	}
	return nil, fmt.Errorf("%w: %s", errNotExecuted, rpc.Reason(lost))
}

// conclude returns what became of a write that failed, when nothing of it is under way any more and the
// mirror has all its events, unless waiting for that has failed. It returns neither an event nor an error
// if the write was not executed.
func (s *Store) conclude(p *proposal, failed, waiting error) (*v2store.Event, error) {
	// The event of the write is resolved before the lock is released.
	s.mu.RLock()
	rebuilt := p.rebuilt != s.rebuilt
	s.mu.RUnlock()
	select {
	case e := <-p.done:
		return e, nil
	default:
	}
	switch {
	case waiting != nil:
		return nil, &Error{Kind: UnknownOutcome, Reason: rpc.Reason(failed) + "; " + waiting.Error()}
	case rebuilt:
		return nil, &Error{Kind: UnknownOutcome, Reason: rpc.Reason(failed) + "; the tree was loaded again meanwhile"}
	}
	return nil, nil
}
