package v2v3

import (
	"context"
	"errors"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3/rpc"
	"etcd-tlsproxy/proxy/v2v3/turn"
)

// errNoSession means that this proxy has no session yet, or none any more.
var errNoSession = errors.New("this proxy has no session at etcd")

// errAway means that there is no stream of events. A write could not be answered, and until it is known
// whether the store still has the past of the mirror, it could rest on facts of another past.
var errAway = errors.New("etcd is away")

// errConflict means that a transaction was refused because of a fact. The mirror knows better now.
var errConflict = errors.New("the tree has changed")

// errRenewed means that a transaction was refused because the session, the description of the tree or
// the keeper is another one now.
var errRenewed = errors.New("the session, the keeper or the description of the tree has changed")

// errNotExecuted means that the response to a transaction was lost, and that it was not executed.
var errNotExecuted = errors.New("the transaction was lost")

// execute plans a write and sends it, until it is carried out or refused.
func (s *Store) execute(ctx context.Context, op *v2store.Operation, client *turn.Client) (v2store.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	t := turn.New(&s.turns, op.Key, client)
	defer t.End()
	for conflicts := 0; ; {
		p, failure, err := s.propose(op, conflicts)
		if failure != nil {
			t.End() // others need not wait for the barrier
			if err = s.fresh(ctx); err == nil {
				p, failure, err = s.propose(op, conflicts)
			}
			if err == nil && failure != nil {
				s.counts.Failed(op.Action, failure.Code)
				return failure.Answer(), nil
			}
		}
		var e *v2store.Event
		if err == nil && (conflicts > 0 || p.contends()) {
			var waited bool
			if waited, err = begin(ctx, &t); waited && err == nil {
				continue // those before have changed the tree
			}
		}
		if err == nil {
			e, err = s.commit(ctx, p)
		}
		var etcd *v2store.Error
		switch {
		case err == nil:
			return e.Answer(op), nil
		case errors.As(err, &etcd):
			return s.refused(etcd, err), nil
		case errors.Is(err, errConflict):
			conflicts++
			s.conflicts.Add(1)
			if err := t.Pause(ctx, conflicts); err != nil {
				return v2store.Answer{}, s.noTurn(err)
			}
		case errors.Is(err, turn.ErrNone):
			return v2store.Answer{}, s.noTurn(err)
		case errors.Is(err, errRenewed):
		case errors.Is(err, errAway):
			t.End() // all wait for etcd, and not for each other
			if !s.waitBack(ctx) {
				return v2store.Answer{}, &Error{Kind: NotExecuted, Reason: err.Error()}
			}
		case errors.Is(err, errNoSession), errors.Is(err, errNotExecuted):
			if !rpc.Pause(ctx) || errors.Is(err, errNotExecuted) && !again(ctx) {
				return v2store.Answer{}, &Error{Kind: NotExecuted, Reason: err.Error()}
			}
		default:
			return v2store.Answer{}, asError(err)
		}
		if ctx.Err() != nil {
			return v2store.Answer{}, &Error{Kind: NotExecuted, Reason: "there was no time left to try it again: " + err.Error()}
		}
	}
}

// begin begins the turn of a write. It reports whether it had to wait for others. What is left of the time
// must do for a transaction then.
func begin(ctx context.Context, t *turn.Turn) (waited bool, err error) {
	waited, err = t.Begin(ctx)
	if waited && err == nil && !again(ctx) {
		err = turn.ErrNone
	}
	return waited, err
}

// again reports whether there is time to send a write again.
func again(ctx context.Context) bool {
	end, ok := ctx.Deadline()
	return !ok || time.Until(end) > minAttempt
}

// waitBack waits until there is a stream of events, and reports whether there is time left.
func (s *Store) waitBack(ctx context.Context) bool {
	s.mu.RLock()
	lost, back := !s.lost.IsZero(), s.back
	s.mu.RUnlock()
	if !lost {
		return true
	}
	select {
	case <-back:
		return true
	case <-ctx.Done():
	case <-s.ctx.Done():
	}
	return false
}

// asError makes sure that callers get an [Error].
func asError(err error) error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	return &Error{Kind: NotExecuted, Reason: err.Error()}
}

// errTooLarge wraps the error of a write that etcd finds too large.
var errTooLarge = errors.New("the request is too large")

// refused renders an error of etcd.
func (s *Store) refused(e *v2store.Error, err error) v2store.Answer {
	a := e.Answer()
	if errors.Is(err, errTooLarge) {
		a.Status = 413
	}
	return a
}

// commit sends a proposal and returns its event. An error is errConflict, errRenewed, an [Error], or
// an error of etcd.
func (s *Store) commit(ctx context.Context, p *proposal) (*v2store.Event, error) {
	s.await(p)
	defer s.forget(p)
	endpoint, _ := s.client.Endpoint()
	answer, err := s.send(ctx, p)
	switch {
	case err == nil:
		s.header(answer.Header)
	case rpc.TooLarge(err):
		return nil, fmt.Errorf("%w: %w", errTooLarge, raftError(rpc.Reason(err), s.index()))
	case rpc.NoSpace(err):
		s.space.Full(s.o.Log)
		return s.settleFull(ctx, p, err)
	case rpc.Refused(err):
		return nil, &Error{Kind: NotExecuted, Reason: rpc.Reason(err)}
	default:
		e, err := s.settle(ctx, p, err)
		s.settled.count(e, err)
		return e, err
	}
	if !answer.Succeeded {
		return nil, s.conflict(ctx, p, answer, endpoint)
	}
	s.seen.show(answer.Header.Revision, endpoint)
	return s.outcome(ctx, p, answer.Header.Revision)
}

// index returns the index of the tree.
func (s *Store) index() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.m == nil {
		return 0
	}
	return s.m.Tree.Index()
}

// conflict finds out why a transaction was refused, and waits until the mirror knows that too.
func (s *Store) conflict(ctx context.Context, p *proposal, answer *pb.TxnResponse, endpoint int) error {
	var revisions [4]int64
	for i, r := range answer.Responses {
		if kvs := r.GetResponseRange().Kvs; len(kvs) > 0 {
			revisions[i] = kvs[0].ModRevision
		}
	}
	newest := max(revisions[1], revisions[2])
	s.seen.show(newest, endpoint)
	err := errConflict
	if revisions[0] != p.sessionRevision {
		s.session.Saw(p.session, revisions[0])
		err = errRenewed
	}
	if revisions[1] != p.metaRevision || p.keeper != 0 && revisions[3] != p.keeper {
		err = errRenewed
	}
	if err == errConflict && revisions[2] <= p.log && s.doubt(p) { //nolint:errorlint // it was set above
		return &Error{Kind: NotExecuted, Reason: "the tree in memory is not that of the store; they are compared within a minute"}
	}
	if waitErr := s.reach(ctx, newest); waitErr != nil {
		return &Error{Kind: NotExecuted, Reason: fmt.Sprintf("waiting for the revision %d: %v", newest, waitErr)}
	}
	return err
}

// doubt has the mirror compared with the store: a plan did not hold although there was no other event.
// It reports whether the plan rests on the mirror in use.
func (s *Store) doubt(p *proposal) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rebuilt != p.rebuilt {
		return false
	}
	s.m.Doubtful = true
	return true
}

// outcome waits for the event of a write that was executed at a revision.
func (s *Store) outcome(ctx context.Context, p *proposal, revision int64) (*v2store.Event, error) {
	select {
	case e := <-p.done:
		return e, nil
	case <-p.rebuilt:
	case <-ctx.Done():
	case <-s.ctx.Done():
	}
	select {
	case e := <-p.done:
		return e, nil
	default:
		return s.reconstruct(ctx, p, revision)
	}
}
