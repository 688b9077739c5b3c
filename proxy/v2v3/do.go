package v2v3

import (
	"context"
	"errors"
	"time"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3/space"
	"etcd-tlsproxy/proxy/v2v3/turn"
)

// Client is on whose behalf a write is made.
type Client struct {
	turn.Client
	// Known means that the write needs a login, which the client has.
	Known bool
	// Written adds up what accounts have written; nil for nothing.
	Written *account.Tally
}

// Room is whose writes the store has room for.
type Room = space.Room

// The rooms that are too small for some.
const (
	ForModest = space.ForModest
	ForKnown  = space.ForKnown
	ForNone   = space.ForNone
)

// Do is [Store.DoFor] for nobody in particular.
func (s *Store) Do(ctx context.Context, op *v2store.Operation) (v2store.Answer, error) {
	return s.DoFor(ctx, op, &Client{Known: true})
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
		if err := s.readable(); err != nil {
			return v2store.Answer{}, err
		}
	}
	if err := s.catchUp(ctx); err != nil {
		return v2store.Answer{}, err
	}
	return s.read(op)
}

// write executes a write if there is room for it.
func (s *Store) write(ctx context.Context, op *v2store.Operation, client *Client) (v2store.Answer, error) {
	if room := s.room(op, client); room != space.ForAll {
		return v2store.Answer{}, &Error{Kind: NoRoom, Room: room, Reason: "the store is too full for it"}
	}
	bytes := writtenBytes(op)
	if s.space.Begin(bytes) {
		select {
		case s.grown <- struct{}{}:
		default: // somebody has said so already
		}
	}
	executed := true // unless it is known that it was not
	defer func() {
		s.space.End(bytes, executed)
		if executed {
			client.Written.Add(client.Account, bytes)
		}
	}()
	a, err := s.execute(ctx, op, &client.Client)
	var failure *Error
	if errors.As(err, &failure) {
		executed = failure.Kind == Executed || failure.Kind == UnknownOutcome
	} else {
		executed = !a.Failed
	}
	return a, err
}

// room returns whose writes there is room for, or space.ForAll if this one is among them. What removes
// something is never refused. While etcd refuses all writes, it says so itself.
func (s *Store) room(op *v2store.Operation, client *Client) Room {
	if op.Action == v2store.Delete || op.Action == v2store.CompareAndDelete {
		return space.ForAll
	}
	if size, _ := s.space.Size(); size.NoSpace {
		return space.ForAll
	}
	fill := s.space.Fill(time.Now())
	room := fill.Room()
	switch {
	case room == space.ForAll, room == ForNone, room == ForKnown && !client.Known:
		return room
	case fill.Greedy(client.Written.Standing(client.Account)):
		return ForModest
	}
	return space.ForAll
}

// writtenBytes returns about how much a write adds to a store: its value, two times its key, the log, the record,
// and what etcd needs for each version of a key.
func writtenBytes(op *v2store.Operation) int64 {
	const rest = 250
	return int64(len(op.Value)+2*len(op.Key)) + rest
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
