package v2v3

import (
	"context"
	"errors"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/mirror"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// Witness sees what becomes of the tree of a rehearsal.
type Witness = mirror.Witness

// rehearsed returns an error unless the tree is the complete copy of a rehearsal.
func rehearsed(m *layout.Meta) error {
	switch {
	case m.State != layout.Rehearsal:
		return fmt.Errorf("%w of a rehearsal: it is in the state %q; use another shadow.prefix", errUnserved, m.State)
	case m.Copied == 0:
		return fmt.Errorf("%w: the copy of the rehearsal is not complete; see etcd-tlsproxy migrate rehearse", errUnserved)
	}
	return nil
}

// errNoCopy means that there is no tree of a rehearsal.
var errNoCopy = fmt.Errorf("%w: there is no copy at shadow.prefix yet; make one with \"etcd-tlsproxy migrate rehearse\"", errUnserved)

// View calls a function with the tree, which does not change meanwhile. It reports whether there is one that
// is the store's.
func (s *Store) View(see func(*mirror.Mirror)) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.m == nil || s.reason != "" {
		return false
	}
	see(s.m)
	return true
}

// Keeps reports whether this proxy is the keeper. For the tree of a rehearsal, it is the one that appends
// changes. Nothing expires there by itself.
func (s *Store) Keeps() bool { return s.keeper.Keeps() }

// Tell lets commands know what comes of comparisons with the tree of a rehearsal.
func (s *Store) Tell(of *layout.Shadow) { s.session.Tell(of) }

// Errors of [Store.Append].
var (
	// ErrChanged means that the tree has changed since the change was planned.
	ErrChanged = errConflict
	// ErrTooLarge means that etcd takes no transaction of that size.
	ErrTooLarge = errTooLarge
	// ErrNothing means that no change was planned.
	ErrNothing = errors.New("nothing changes")
)

// maxFill is how full, in percent of its quota, a store may be for the sake of a rehearsal. Others may need it.
const maxFill = 50

// Append makes changes of the tree of a rehearsal, if nobody else has changed the tree since they were planned. It
// waits until they are applied. After an error they may have been made, or may be made later; the same changes
// can be planned again.
func (s *Store) Append(ctx context.Context, plan func(*mirror.Mirror) (list []layout.Batched, origin string)) error {
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	if size, _ := s.space.Size(); size.Quota > 0 && 100*size.InUse > maxFill*size.Quota {
		return errors.New("the store is too full for a rehearsal")
	}
	request, err := s.planAppend(plan)
	if err != nil {
		return err
	}
	answer, err := s.client.Txn(ctx, request)
	switch {
	case rpc.TooLarge(err):
		return fmt.Errorf("%w: %s", ErrTooLarge, rpc.Reason(err))
	case err != nil:
		return fmt.Errorf("changing the tree: %s", rpc.Reason(err))
	}
	s.header(answer.Header)
	if !answer.Succeeded {
		// The mirror is behind, or another proxy has become the keeper.
		_ = s.barrier.wait(ctx)
		return ErrChanged
	}
	return s.reach(ctx, answer.Header.Revision)
}

func (s *Store) planAppend(plan func(*mirror.Mirror) ([]layout.Batched, string)) (*pb.TxnRequest, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	m := s.m
	if err := s.usable(); err != nil {
		return nil, err
	}
	switch {
	case s.readOnly != "":
		return nil, errors.New(s.readOnly)
	case !s.lost.IsZero():
		return nil, errAway
	}
	list, origin := plan(m)
	if len(list) == 0 {
		return nil, ErrNothing
	}
	now := time.Now().UnixNano()
	for i := range list {
		if c := list[i].Change(now); c.Removes(m.Tree) > s.o.removable() {
			return nil, fmt.Errorf("%w: the directory %q has more than %d keys", ErrTooLarge, c.Key, s.o.removable())
		}
	}
	t := layout.Txn{Keys: s.keys, Meta: m.Meta}
	t.Modified(s.keys.Meta(), m.MetaRevision)
	t.Modified(s.keys.Log(), m.LogRevision)
	t.Batch(list, now, origin)
	return &pb.TxnRequest{Compare: t.Compare, Success: t.Success}, nil
}
