package v2v3

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// sessionTTL is how long a session outlives its proxy, in seconds.
const sessionTTL = 10

// session is the key by which the store knows this proxy. Its name is never used again.
type session struct {
	s  *Store
	mu sync.Mutex
	// name is "" if there is no session.
	name     string
	revision int64
	lease    int64
	ended    chan struct{} // closed when the session turned out to be over
}

// fence returns the session and the revision at which its key was put. Writes compare it.
func (n *session) fence() (name string, revision int64, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.name, n.revision, n.name != ""
}

// end ends a session whose key was last put at another revision, which is 0 if there is no key.
func (n *session) end(name string, revision int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.name == name && name != "" && n.revision != revision {
		n.name = ""
		close(n.ended)
	}
}

// keep begins sessions and keeps their leases alive.
func (n *session) keep() {
	for n.s.ctx.Err() == nil {
		name, err := n.begin()
		if err == nil {
			err = n.renew()
			n.end(name, 0)
		}
		n.s.o.Log.Debug("the session has ended", "error", err)
		select {
		case <-n.s.ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (n *session) begin() (string, error) {
	ctx, cancel := context.WithTimeout(n.s.ctx, 3*time.Second)
	defer cancel()
	lease, err := n.s.client.Lease().LeaseGrant(ctx, &pb.LeaseGrantRequest{TTL: sessionTTL})
	if err != nil {
		return "", fmt.Errorf("granting a lease: %w", err)
	}
	name := randomName()
	put, err := n.s.client.Put(ctx, &pb.PutRequest{Key: n.s.keys.Session(name), Value: []byte("0"), Lease: lease.ID})
	if err != nil {
		return "", fmt.Errorf("putting the session: %w", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.name, n.revision, n.lease, n.ended = name, put.Header.Revision, lease.ID, make(chan struct{})
	return name, nil
}

// renew keeps the lease alive until that fails.
func (n *session) renew() error {
	n.mu.Lock()
	lease, ended := n.lease, n.ended
	n.mu.Unlock()
	tick := time.NewTicker(sessionTTL * time.Second / 4)
	defer tick.Stop()
	for failed := 0; ; {
		select {
		case <-n.s.ctx.Done():
			return errClosed
		case <-ended:
			return errors.New("a write found that the session is over")
		case <-tick.C:
		}
		switch left, err := n.renewOnce(lease); {
		case err != nil:
			if failed++; failed > 3 {
				return err
			}
		case left <= 0:
			return errors.New("the lease has expired")
		default:
			failed = 0
		}
	}
}

func (n *session) renewOnce(lease int64) (int64, error) {
	ctx, cancel := context.WithTimeout(n.s.ctx, 2*time.Second)
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
