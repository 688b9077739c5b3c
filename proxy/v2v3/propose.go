package v2v3

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3/layout"
)

// maxConflicts is how often a POST is tried with the name that etcd would choose. Each event of
// the tree is a conflict then. Later only those of the same queue are.
const maxConflicts = 6

// maxRemoved is how many nodes one write may remove. Etcd removes all keys of a transaction before it
// carries out the next one, and sends each as an event, so that a hundred thousand would keep
// everybody waiting for seconds, and a million could not be followed at all.
const maxRemoved = 100_000

// proposal is a change, and the transaction that makes it if the mirror is right.
type proposal struct {
	change *v2store.Change
	txn    layout.Txn
	origin string
	// session and sessionRevision are the fence.
	session         string
	sessionRevision int64
	metaRevision    int64
	// keeper is the revision of the keeper's key, of an expiration.
	keeper int64
	// log and rebuilt are of the mirror that it rests on. The log is the revision of its last event.
	log     int64
	rebuilt <-chan struct{}
	done    chan *v2store.Event
}

// contends reports whether all other writes like this one conflict with it. Two that set a file, for
// example, do not.
func (p *proposal) contends() bool {
	return slices.ContainsFunc(p.change.Facts, func(f v2store.Fact) bool {
		return f.Kind == v2store.Recorded || f.Kind == v2store.LastIndex
	})
}

// propose plans a write. The failure is the answer if the mirror is fresh.
func (s *Store) propose(op *v2store.Operation, conflicts int) (*proposal, *v2store.Error, error) {
	session, revision, ok := s.session.Fence()
	now := s.o.Now()
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.writable(); err != nil {
		return nil, nil, err
	}
	if !s.lost.IsZero() {
		return nil, nil, errAway
	}
	if !ok {
		return nil, nil, errNoSession
	}
	m := s.m
	if op.InOrder {
		after := *op
		after.After = max(op.After, m.Queues[op.Key].Name)
		op = &after
	}
	c, failure := v2store.Plan(op, m.Tree, now)
	if failure != nil {
		return nil, failure, nil
	}
	return s.proposal(op, c, session, revision, conflicts)
}

// writable returns an error if no write may rest on the mirror. The caller holds the lock.
func (s *Store) writable() error {
	if err := s.usable(); err != nil {
		return err
	}
	if s.readOnly != "" {
		return &Error{Kind: NotExecuted, Reason: s.readOnly}
	}
	if s.m.Meta.State != layout.Live {
		return notLive(s.m.Meta)
	}
	return nil
}

func notLive(m *layout.Meta) *Error {
	return &Error{Kind: NotLive, Reason: "it is in the state " + strconv.Quote(m.State)}
}

// readable returns an error if the keys were moved away. While they are being moved, nobody changes them. The
// caller has waited for the barrier.
func (s *Store) readable() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.m == nil || s.m.Meta.State == layout.Live || s.m.Meta.State == layout.Frozen && s.m.Meta.Before == layout.Live {
		return nil
	}
	return notLive(s.m.Meta)
}

// noTurn returns the error of a write that had no turn: others are slow, or all are because etcd is away.
func (s *Store) noTurn(err error) *Error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if !s.lost.IsZero() {
		return &Error{Kind: NotExecuted, Reason: errAway.Error()}
	}
	return &Error{Kind: Busy, Reason: err.Error()}
}

// proposal makes the transaction of a change. The caller holds the lock for reading.
func (s *Store) proposal(op *v2store.Operation, c *v2store.Change, session string, revision int64, conflicts int) (*proposal, *v2store.Error, error) {
	m := s.m
	if growth := c.Growth(m.Tree); growth > 0 && s.o.MaxBytes > 0 && int64(m.Tree.Bytes()+growth) > s.o.MaxBytes {
		return nil, raftError("all keys together need too much memory of the proxy; delete some, or raise limits.memory", m.Tree.Index()), nil
	}
	if n, most := c.Removes(m.Tree), s.o.removable(); n > most {
		return nil, raftError(fmt.Sprintf("the directory has %d keys, want at most %d; remove what is in it first", n, most), m.Tree.Index()), nil
	}
	if m.Protects(c) {
		return nil, raftError("the key, or one below it, belongs to a client of v3", m.Tree.Index()), nil
	}
	p := &proposal{change: c, session: session, sessionRevision: revision, metaRevision: m.MetaRevision, log: m.LogRevision,
		rebuilt: s.rebuilt, done: make(chan *v2store.Event, 1), txn: layout.Txn{Keys: s.keys, Meta: m.Meta}}
	p.origin = s.newOrigin(session)
	t := &p.txn
	t.Modified(s.keys.Session(session), revision)
	t.Modified(s.keys.Meta(), m.MetaRevision)
	facts := c.Facts
	if op != nil && op.InOrder {
		if conflicts >= maxConflicts {
			facts = withoutIndex(facts)
			t.Modified(s.keys.Queue(op.Key), m.Queues[op.Key].Revision)
		}
		name, err := strconv.ParseUint(c.Key[strings.LastIndexByte(c.Key, '/')+1:], 10, 64)
		if err != nil {
			panic("BUG: the name in a queue is not a number: " + err.Error())
		}
		t.Put(s.keys.Queue(op.Key), layout.EncodeQueue(name))
	}
	t.Facts(facts)
	t.Change(c, m.Extra(c.Key, c.Put != nil && c.Put.Dir))
	entry := layout.Entry{Action: c.Action, Key: c.Key, Time: c.Time, Refresh: c.Refresh, Origin: p.origin}
	t.Put(s.keys.Log(), entry.Encode())
	return p, nil, nil
}

func withoutIndex(facts []v2store.Fact) []v2store.Fact {
	var left []v2store.Fact
	for _, f := range facts {
		if f.Kind != v2store.LastIndex {
			left = append(left, f)
		}
	}
	return left
}

func (s *Store) newOrigin(session string) string {
	s.writes.Lock()
	defer s.writes.Unlock()
	s.number++
	return session + "." + strconv.FormatUint(s.number, 10)
}

// raftError is the error of etcd for what its consensus could not do.
func raftError(cause string, index uint64) *v2store.Error {
	return &v2store.Error{Code: v2store.CodeRaftInternal, Message: "Raft Internal Error", Cause: cause, Index: index}
}

// await registers a write before it is sent, so that its event finds it.
func (s *Store) await(p *proposal) {
	s.writes.Lock()
	defer s.writes.Unlock()
	s.waiting[p.origin] = p.done
}

// forget ends the registration of a write.
func (s *Store) forget(p *proposal) {
	s.writes.Lock()
	defer s.writes.Unlock()
	delete(s.waiting, p.origin)
}

// request returns the transaction. If it fails, the answer says why, and is a barrier itself.
func (s *Store) request(p *proposal) *pb.TxnRequest {
	return &pb.TxnRequest{Compare: p.txn.Compare, Success: p.txn.Success,
		Failure: []*pb.RequestOp{head(s.keys.Session(p.session)), head(s.keys.Meta()), head(s.keys.Log()), head(s.keys.Keeper())}}
}

// maxAttempt is how long a member may take for a transaction before its outcome is settled otherwise. A
// member that has passed a transaction on to a leader which died then loses it without an answer; its
// own limit is longer than that of many clients.
const maxAttempt = 3 * time.Second

// minAttempt is the time that must be left for a transaction that is sent again, and for its fence.
const minAttempt = 500 * time.Millisecond

// send sends a transaction. At least half of the time is left then for a fence, without which the
// outcome of a lost one stays unknown.
func (s *Store) send(ctx context.Context, p *proposal) (*pb.TxnResponse, error) {
	attempt := maxAttempt
	if end, ok := ctx.Deadline(); ok {
		attempt = min(attempt, time.Until(end)/2)
	}
	ctx, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	return s.client.Txn(ctx, s.request(p))
}

// head reads only the revision of a key.
func head(key []byte) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: key, KeysOnly: true}}}
}

// fresh waits for the barrier.
func (s *Store) fresh(ctx context.Context) error {
	if err := s.barrier.wait(ctx); err != nil {
		return &Error{Kind: NotExecuted, Reason: err.Error()}
	}
	return nil
}
