package v2v3

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/v2v3/layout"
)

const (
	// sessionTTL is how long a session outlives its proxy, in seconds. An election of etcd, and the
	// way to the next endpoint, need less.
	sessionTTL = 10
	// leaseTimeout bounds a call about the lease. The next attempt may go to another endpoint.
	leaseTimeout = 2 * time.Second
)

// errNoSession means that this proxy has no session yet, or none any more.
var errNoSession = errors.New("this proxy has no session at etcd")

// session is the key by which the store knows this proxy. Its name is never used again, so that the
// origins of writes are unique.
type session struct {
	s  *Store
	mu sync.Mutex
	// name is "" if there is no session. revision is the newest one known at which its key was put.
	name     string
	revision int64
	lease    int64
	ended    chan struct{} // closed when the session turned out to be over
	fences   map[string]*fencing
}

// fence returns the session and the revision at which its key was put. Writes compare it.
func (n *session) fence() (name string, revision int64, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.name, n.revision, n.name != ""
}

// saw takes note of the revision at which the key of a session was put last, or of 0 if there is no
// key any more. Nobody else puts it.
func (n *session) saw(name string, revision int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.name != name || name == "":
	case revision == 0:
		n.name = ""
		close(n.ended)
	default:
		n.revision = max(n.revision, revision)
	}
}

// keep begins sessions and keeps their leases alive.
func (n *session) keep() {
	for n.s.ctx.Err() == nil {
		err := n.begin()
		if err == nil {
			err = n.renew()
			n.leave()
		}
		n.s.o.Log.Debug("the session has ended", "error", err)
		select {
		case <-n.s.ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (n *session) begin() error {
	ctx, cancel := context.WithTimeout(n.s.ctx, leaseTimeout)
	defer cancel()
	lease, err := n.s.client.Lease().LeaseGrant(ctx, &pb.LeaseGrantRequest{TTL: sessionTTL})
	if err != nil {
		return fmt.Errorf("granting a lease: %w", err)
	}
	name := randomName()
	value := layout.Presence{Time: time.Now().UnixNano()}
	put, err := n.s.client.Put(ctx, &pb.PutRequest{Key: n.s.keys.Session(name), Value: value.Encode(), Lease: lease.ID})
	if err != nil {
		return fmt.Errorf("putting the session: %w", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.name, n.revision, n.lease, n.ended = name, put.Header.Revision, lease.ID, make(chan struct{})
	return nil
}

// leave ends the session. Its key goes at once if etcd can be reached, so that others need not wait
// for its lease.
func (n *session) leave() {
	n.mu.Lock()
	name, lease := n.name, n.lease
	n.mu.Unlock()
	n.saw(name, 0)
	ctx, cancel := context.WithTimeout(context.Background(), leaseTimeout)
	defer cancel()
	if _, err := n.s.client.Lease().LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: lease}); err != nil {
		n.s.o.Log.Debug("the lease of the session was not revoked", "error", err)
	}
}

// renew keeps the lease alive until that fails.
func (n *session) renew() error {
	n.mu.Lock()
	lease, ended := n.lease, n.ended
	n.mu.Unlock()
	tick := time.NewTicker(sessionTTL * time.Second / 4)
	defer tick.Stop()
	for renewed := time.Now(); ; {
		select {
		case <-n.s.ctx.Done():
			return errClosed
		case <-ended:
			return errors.New("the key of the session is gone")
		case <-tick.C:
		}
		left, err := n.renewOnce(lease)
		switch {
		case err == nil && left <= 0:
			return errors.New("the lease has expired")
		case err == nil:
			renewed = time.Now()
		case time.Since(renewed) > sessionTTL*time.Second:
			return err
		}
	}
}

func (n *session) renewOnce(lease int64) (int64, error) {
	ctx, cancel := context.WithTimeout(n.s.ctx, leaseTimeout)
	defer cancel()
	stream, err := n.s.client.Lease().LeaseKeepAlive(ctx)
	if err != nil {
		return 0, fmt.Errorf("renewing the lease: %w", err)
	}
	if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: lease}); err != nil {
		return 0, fmt.Errorf("renewing the lease: %w", err)
	}
	answer, err := stream.Recv()
	if err != nil {
		return 0, fmt.Errorf("renewing the lease: %w", err)
	}
	return answer.TTL, nil
}
