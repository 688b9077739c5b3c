package v2v3

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/mirror"
	"etcd-tlsproxy/proxy/v2v3/presence"
	"etcd-tlsproxy/proxy/v2v3/rpc"
	"etcd-tlsproxy/proxy/v2v3/space"
	"etcd-tlsproxy/proxy/v2v3/stats"
)

// Store serves the tree. Its methods may be called by several goroutines at once.
type Store struct {
	o       Options
	keys    layout.Keys
	client  *rpc.Client
	session *presence.Session
	keeper  *presence.Keeper
	// compaction is used only by the keeper.
	compaction compaction
	barrier    barrier
	audits     audits
	space      space.Space
	// grown asks for a measurement of the space.
	grown chan struct{}
	seen  seen
	// turns are those of writes that would conflict.
	turns account.Turns

	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup

	// predecessor is the store whose place this one has taken, for as long as that is open.
	predecessor atomic.Pointer[Store]
	// applied is the revision up to which the mirror is complete.
	applied atomic.Int64
	// loads, conflicts and expired count, for the status.
	loads, conflicts, expired atomic.Int64
	// settled counts what became of writes whose response was lost.
	settled settled
	// counts is what etcd's statistics say about operations. They begin with the first tree.
	counts stats.Counts
	// counted is the revision up to which events were counted; 0 before there is a tree. Only the
	// follower uses it.
	counted int64
	// term and revision are those of the newest header of a response.
	term     atomic.Uint64
	revision atomic.Int64
	// heard is when the last response of a member in use came, since the epoch.
	heard atomic.Int64

	mu sync.RWMutex
	m  *mirror.Mirror // nil until the tree is loaded
	// reason says why the mirror must not be used; "" if it may.
	reason string
	// readOnly says why this program must not write the tree; "" if it may.
	readOnly string
	// lost is when the stream of events ended; zero while there is one.
	lost time.Time
	// back is closed when there is one again.
	back chan struct{}
	// rebuilt is closed when another mirror takes the place of this one.
	rebuilt chan struct{}
	// end ends the connection of the follower.
	end context.CancelCauseFunc
	// pastFailures counts the attempts to load the tree with its history that failed.
	pastFailures int
	// fragments means that the next events are too large for one response. Only the follower changes it.
	fragments bool
	// patience is how long the next member may be silent, if the last one was. Only the follower uses it.
	patience time.Duration
	// pastFrom is the oldest revision at which to load it. Only the follower uses it.
	pastFrom int64
	reaching []reaching
	// advised means that the last error named what the operator can do. Only the follower uses it.
	advised bool
	// warned is when changes by clients of v3 were logged. Only the follower uses it.
	warned time.Time
	// unexpired is when a directory that cannot expire was logged. Only the keeper uses it.
	unexpired time.Time
	// together is how many nodes expire side by side, at least one. Only the keeper uses it.
	together int
	due      delivery

	writes  sync.Mutex
	waiting map[string]chan *v2store.Event
	number  uint64
}

var errClosed = errors.New("the store is closed")

// Open returns a store, which connects and loads in the background until it is closed.
func Open(o Options) (*Store, error) {
	if len(o.Endpoints) == 0 || o.Timeout <= 0 || o.Log == nil {
		return nil, errors.New("opening the store: it needs an endpoint, a timeout and a log")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.known = cmp.Or(o.known, layout.Schema)
	client, err := rpc.New(o.Endpoints, o.User, o.Password)
	if err != nil {
		return nil, err
	}
	s := &Store{o: o, keys: layout.Keys(o.Prefix), client: client, reason: "the tree is being loaded",
		rebuilt: make(chan struct{}), waiting: map[string]chan *v2store.Event{}}
	s.compaction.events, s.compaction.age = keptEvents, keptTime
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.barrier.s, s.barrier.wanted = s, make(chan struct{}, 1)
	s.grown = make(chan struct{}, 1)
	s.session = presence.NewSession(s.host())
	s.keeper = presence.NewKeeper(s.host(), s.session, keeping{s})
	s.running.Go(s.barrier.run)
	s.running.Go(s.follow)
	s.running.Go(s.session.Keep)
	s.running.Go(s.keeper.Run)
	s.running.Go(s.auditor)
	s.running.Go(s.measurer)
	return s, nil
}

// Ready waits until the tree is loaded.
func (s *Store) Ready(ctx context.Context) error {
	for {
		s.mu.RLock()
		reason, rebuilt := s.reason, s.rebuilt
		s.mu.RUnlock()
		if reason == "" {
			return nil
		}
		select {
		case <-rebuilt:
		case <-ctx.Done():
			return &Error{Kind: NotServed, Reason: reason}
		case <-s.ctx.Done():
			return &Error{Kind: NotServed, Reason: errClosed.Error()}
		}
	}
}

func (s *Store) host() presence.Host {
	return presence.Host{Context: s.ctx, Client: s.client, Keys: s.keys, Log: s.o.Log, Now: s.o.Now, Name: randomName, Machine: s.o.Host, Version: s.o.Version, Process: s.o.Process,
		Seen: func(header *pb.ResponseHeader, revision int64, endpoint int) {
			s.header(header)
			s.seen.show(revision, endpoint)
		}}
}

// Close ends the store. Its watches are lost.
func (s *Store) Close() {
	s.cancel()
	s.running.Wait()
	s.breakOff(errClosed.Error())
	s.client.Close()
}

// Cluster returns what the heads of answers say about the cluster.
func (s *Store) Cluster() v2store.Cluster {
	s.mu.RLock()
	defer s.mu.RUnlock()
	c := v2store.Cluster{RaftIndex: uint64(s.revision.Load()), RaftTerm: s.term.Load()}
	if s.m != nil {
		c.ID = s.m.Cluster
	}
	return c
}

// maxStale is how long reads are answered without a stream of events. A member that changes
// its leader, or the next endpoint, needs less.
const maxStale = 10 * time.Second

// usable returns an error if the mirror must not answer. The caller holds the lock.
func (s *Store) usable() *Error {
	if s.reason != "" {
		return &Error{Kind: NotServed, Reason: s.reason}
	}
	if !s.lost.IsZero() && !s.o.ServeStale && time.Since(s.lost) > maxStale {
		return &Error{Kind: NotServed, Reason: "etcd is away"}
	}
	return nil
}

// reaching waits for a revision.
type reaching struct {
	revision int64
	done     chan struct{}
}

// reach waits until the mirror has applied a revision.
func (s *Store) reach(ctx context.Context, revision int64) error {
	if s.applied.Load() >= revision {
		return nil
	}
	s.mu.Lock()
	if s.applied.Load() >= revision {
		s.mu.Unlock()
		return nil
	}
	r := reaching{revision, make(chan struct{})}
	s.reaching = append(s.reaching, r)
	s.mu.Unlock()
	select {
	case <-r.done:
		return nil
	case <-ctx.Done():
		s.giveUp(r)
		return ctx.Err()
	case <-s.ctx.Done():
		s.giveUp(r)
		return errClosed
	}
}

// giveUp forgets who waits no longer. The revision may never come, if it is of another past.
func (s *Store) giveUp(r reaching) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reaching = slices.DeleteFunc(s.reaching, func(other reaching) bool { return other == r })
}

// advance publishes the revision up to which the mirror is complete. The caller holds the lock.
func (s *Store) advance(revision int64) {
	s.applied.Store(revision)
	left := s.reaching[:0]
	for _, r := range s.reaching {
		if r.revision <= revision {
			close(r.done)
		} else {
			left = append(left, r)
		}
	}
	clear(s.reaching[len(left):])
	s.reaching = left
}
