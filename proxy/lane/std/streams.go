package std

import (
	"context"
	"slices"
	"sync"
	"time"

	"etcd-tlsproxy/proxy/account"
)

// What a stream of HTTP/2 is charged for, in bytes.
const (
	// StreamBytes is what an open stream needs as long as it is open: 10 KiB for the stack
	// of its handler and 9 KiB for what net/http and the handler allocate, as measured, and
	// the start of a body.
	StreamBytes = 24 << 10
	// receiveWindow is what net/http holds of the bodies of a connection that no handler
	// has read. It is the smallest that HTTP/2 allows.
	receiveWindow = 1<<16 - 1
	// smallHead is the part of a request's head that StreamBytes contains. What is longer
	// is charged several times, because net/http and the gate keep copies of the path.
	smallHead  = 4 << 10
	headCopies = 4

	streamUnits = StreamBytes / account.LeaseUnit
	windowUnits = (receiveWindow + 1) / account.LeaseUnit
)

// maxStreams is the number of streams that a client may have open on a connection, and
// maxFrame the smallest limit of a frame's payload that HTTP/2 allows.
const (
	maxStreams = 100
	maxFrame   = 16 << 10
)

// streamPatience is how long a new stream waits for its turn. Meanwhile nothing is read from
// its connection, so it is shorter than the timeout of any client of etcd.
const streamPatience = 2 * time.Second

// refusalPatience is how long a client can take for the answer to a stream that was refused
// for lack of memory.
const refusalPatience = time.Second

// streams charges the client of a connection for its streams before net/http knows of them:
// each connection can have a hundred, each of which needs memory as long as its client likes.
//
// net/http does not say which stream a handler serves, and answers some streams without a
// handler. So a stream counts from its first frame until either side has ended it, and no
// fewer are charged than there are handlers, which can outlast their streams for a moment.
//
// A stream for which there is no memory is passed on nevertheless if it is the only one of
// its connection, so that its client gets an answer.
type streams struct {
	pool    *account.Pool // in units of [account.LeaseUnit]; nil if there is no limit
	account *account.Account

	mu       sync.Mutex
	open     []openStream
	handlers int
	charged  int  // streams
	window   bool // the receive window is charged
	refusing bool // the next handler that starts serves the stream without memory
	closed   bool

	waited int64              // the units that wait is acquiring
	retry  context.CancelFunc // makes wait acquire what is missing now; nil if it acquires nothing
}

// openStream is a stream that neither side has ended.
type openStream struct {
	id       uint32
	receives bool // the client may send a body
}

func newStreams(pool *account.Pool, a *account.Account) *streams {
	s := &streams{pool: pool}
	if pool != nil {
		s.account = a.Reopen() // handlers can outlast the connection
	}
	return s
}

// begin records that the client has begun a stream, and charges it if that needs no wait.
func (s *streams) begin(id uint32, receives bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return true // nothing more is read
	}
	s.open = append(s.open, openStream{id, receives})
	units := s.missing()
	if units > 0 && !s.pool.TryAcquire(s.account, units, account.Ordinary) {
		return false
	}
	s.acquired()
	return true
}

// wait charges the stream that was begun last, and waits for its turn until ctx ends. It
// reports whether the stream may be passed on.
func (s *streams) wait(ctx context.Context) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.settle()
	for units := s.missing(); units > 0; units = s.missing() {
		err := s.acquire(ctx, units)
		missing := s.missing() // fewer, if streams or handlers have ended meanwhile
		switch {
		case err == nil && missing <= units:
			s.acquired()
			if surplus := units - missing; surplus > 0 {
				s.pool.Release(s.account, surplus, account.Ordinary)
			}
		case err == nil:
			s.pool.Release(s.account, units, account.Ordinary)
		case missing >= units:
			s.refusing = true
			return s.needed()-s.charged <= 1
		}
	}
	return !s.closed
}

// acquire waits for units of the pool until ctx ends or fewer are missing; s.mu is held, but
// not meanwhile.
func (s *streams) acquire(ctx context.Context, units int64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.waited, s.retry = units, cancel
	s.mu.Unlock()
	err := s.pool.Acquire(ctx, s.account, units, account.Ordinary)
	s.mu.Lock()
	s.retry = nil
	return err
}

// needed returns the number of streams to be charged; s.mu is held.
func (s *streams) needed() int { return max(len(s.open), s.handlers) }

// isOpen reports whether neither side has ended a stream that was begun.
func (s *streams) isOpen(id uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.open, func(o openStream) bool { return o.id == id })
}

// receives reports whether a body may arrive; s.mu is held.
func (s *streams) receives() bool {
	return slices.ContainsFunc(s.open, func(o openStream) bool { return o.receives })
}

// missing returns the units that are missing; s.mu is held.
func (s *streams) missing() int64 {
	if s.pool == nil {
		return 0
	}
	units := int64(max(0, s.needed()-s.charged)) * streamUnits
	if !s.window && s.receives() {
		units += windowUnits
	}
	return units
}

// acquired records that what was missing is charged; s.mu is held.
func (s *streams) acquired() {
	s.charged = max(s.charged, s.needed())
	s.window = s.window || s.receives()
}

// settle releases what is charged and not needed any more; s.mu is held.
func (s *streams) settle() {
	if s.pool == nil {
		return
	}
	units := int64(0)
	if n := s.charged - s.needed(); n > 0 {
		units = int64(n) * streamUnits
		s.charged -= n
	}
	if s.window && !s.receives() {
		units += windowUnits
		s.window = false
	}
	if units > 0 {
		s.pool.Release(s.account, units, account.Ordinary)
	}
	if s.retry != nil {
		if s.missing() < s.waited {
			s.retry()
		}
		return
	}
	if s.closed && s.handlers == 0 {
		s.account.Close()
		s.pool = nil
	}
}

// end records that a stream was ended by either side.
func (s *streams) end(id uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, o := range s.open {
		if o.id == id {
			s.open = slices.Delete(s.open, i, i+1)
			s.settle()
			return
		}
	}
}

// close records that the connection is closed.
func (s *streams) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	s.open = nil
	s.settle()
}

// startHandler records that a handler starts. It reports false if there is no memory for its
// stream.
func (s *streams) startHandler() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handlers++
	refused := s.refusing
	s.refusing = false
	return !refused
}

// endHandler records that a handler ends.
func (s *streams) endHandler() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handlers--
	s.settle()
}
