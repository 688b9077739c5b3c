package presence

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// sessionTTL is how long a session outlives its proxy, in seconds. An election of etcd, and the way
// to the next endpoint, need less.
const sessionTTL = 10

var errClosed = errors.New("the store is closed")

// Session is the key by which the store knows this proxy. Its name is never used again, so that the
// origins of writes are unique.
type Session struct {
	Host

	mu sync.Mutex
	// name is "" if there is no session. revision is the newest one known at which its key was put.
	name     string
	revision int64
	lease    int64
	begun    chan struct{} // closed while there is a session, and when full has changed without one
	ended    chan struct{} // closed when the session turned out to be over
	fences   map[string]*fencing
	put      int64 // the number of attempts to put up a fence
	frozen   int64 // what the key says of it
	shadow   *layout.Shadow
	failure  error         // why the last session could not begin, or has ended
	full     bool          // there is no session because the store is full
	asked    chan struct{} // has room for one
}

// Host is what a session and a keeper need.
type Host struct {
	// Context ends when the store is closed.
	Context context.Context
	Client  *rpc.Client
	Keys    layout.Keys
	Log     *slog.Logger
	// Now returns the time of the system's clock.
	Now func() time.Time
	// Name returns a name that is never used again.
	Name func() string
	// Machine and Version are the names of this machine and of the program, for operators.
	Machine, Version string
	// Process names the program that runs: all its sessions are those of one proxy.
	Process string
	// Auto is set if the proxy writes through the v2 API until the tree says otherwise.
	Auto bool
	// Seen takes note of a response, and of a revision of the tree's range that it has shown.
	Seen func(header *pb.ResponseHeader, revision int64, endpoint int)
}

// presence returns the value of the session's key or, with the name of the session, of the keeper's.
func (h *Host) presence(session string) layout.Presence {
	return layout.Presence{Time: h.Now().UnixNano(), Session: session, Host: h.Machine, Version: h.Version, Process: h.Process}
}

// NewSession returns a session that begins with [Session.Keep].
func NewSession(h Host) *Session {
	return &Session{Host: h, fences: map[string]*fencing{}, begun: make(chan struct{}), asked: make(chan struct{}, 1)}
}

// Fence returns the session and the revision at which its key was put. Writes compare it.
func (n *Session) Fence() (name string, revision int64, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.name, n.revision, n.name != ""
}

// Current returns the session, or "" if there is none. changed is closed when that is not so any more, or what
// [Session.Full] says.
func (n *Session) Current() (name string, changed <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.name == "" {
		return "", n.begun
	}
	return n.name, n.ended
}

// Saw takes note of the revision at which the key of a session was put last, or of 0 if there is no
// key any more. Nobody else puts it.
func (n *Session) Saw(name string, revision int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.name != name || name == "":
	case revision == 0:
		n.name, n.begun = "", make(chan struct{})
		close(n.ended)
	default:
		n.revision = max(n.revision, revision)
	}
}

// Keep begins sessions and keeps their leases alive.
func (n *Session) Keep() {
	for n.Context.Err() == nil {
		err := n.begin()
		if err == nil {
			err = n.renew()
			n.leave()
		}
		n.Log.Debug("the session has ended", "error", err)
		n.fail(err)
		select {
		case <-n.Context.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (n *Session) begin() error {
	ctx, cancel := context.WithTimeout(n.Context, leaseTimeout)
	defer cancel()
	lease, err := n.Client.Lease().LeaseGrant(ctx, &pb.LeaseGrantRequest{TTL: sessionTTL})
	if err != nil {
		return fmt.Errorf("granting a lease: %w", err)
	}
	name := n.Name()
	n.mu.Lock()
	n.frozen = 0
	n.mu.Unlock()
	put, err := n.Client.Put(ctx, &pb.PutRequest{Key: n.Keys.Session(name), Value: n.value(), Lease: lease.ID})
	if err != nil {
		n.revoke(lease.ID) // if it was executed, the key goes with its lease
		return fmt.Errorf("putting the session: %w", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.name, n.revision, n.lease, n.ended = name, put.Header.Revision, lease.ID, make(chan struct{})
	n.full = false
	close(n.begun)
	return nil
}

// Ask makes the session put its key again, with the time of its clock. A new keeper compares clocks.
func (n *Session) Ask() {
	select {
	case n.asked <- struct{}{}:
	default:
	}
}

// leave ends the session. Its key goes at once if etcd can be reached, so that others need not wait
// for its lease.
func (n *Session) leave() {
	n.mu.Lock()
	name, lease := n.name, n.lease
	n.mu.Unlock()
	n.Saw(name, 0)
	n.revoke(lease)
}

// renew keeps the lease alive until that fails.
func (n *Session) renew() error {
	n.mu.Lock()
	lease, ended := n.lease, n.ended
	n.mu.Unlock()
	ctx, cancel := context.WithCancelCause(n.Context)
	var answering sync.WaitGroup
	defer answering.Wait()
	defer cancel(nil)
	answering.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-ended:
				cancel(errors.New("the key of the session is gone"))
				return
			case <-n.asked:
				n.putAgain(ctx)
			}
		}
	})
	return renewLease(ctx, n.Client, lease, sessionTTL*time.Second)
}

// putAgain puts the key again, for as long as the session lasts without etcd.
func (n *Session) putAgain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, sessionTTL*time.Second)
	defer cancel()
	name, revision, _ := n.Fence()
	_, _ = n.FenceOff(ctx, name, revision)
}
