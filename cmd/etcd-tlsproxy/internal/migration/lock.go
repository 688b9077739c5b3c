package migration

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

const (
	// lockTTL is how long the lock of a command that was killed is in the way of the next one, and of
	// writes that proxies hold for it.
	lockTTL = 5 * time.Second
	// renewEvery leaves several attempts until the lease ends.
	renewEvery = time.Second
	// releaseTimeout bounds the end of a command whose etcd has gone away.
	releaseTimeout = 2 * time.Second
)

// errRunning means that somebody else holds the lock.
var errRunning = fmt.Errorf("another command works on the tree, or was killed less than %s ago (hint: wait, and run the command again)", lockTTL)

// acquire puts the lock, and keeps its lease alive until the result is called. The lock stays for the rest of
// its lease if it is kept, as if the command had been killed.
func (s *store) acquire(ctx context.Context) (release func(keep bool), err error) {
	var lease int64
	err = s.call(ctx, func(ctx context.Context) error {
		granted, err := s.client.Lease().LeaseGrant(ctx, &pb.LeaseGrantRequest{TTL: int64(lockTTL / time.Second)})
		if err == nil {
			lease = granted.ID
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("acquiring the lock: %w", err)
	}
	renewing, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { s.renew(renewing, lease) })
	release = func(keep bool) {
		stop()
		running.Wait()
		if keep {
			return
		}
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
		defer cancel()
		_, _ = s.client.Lease().LeaseRevoke(last, &pb.LeaseRevokeRequest{ID: lease}) // otherwise it expires
	}
	if err := s.putLock(ctx, lease); err != nil {
		release(false)
		return nil, fmt.Errorf("acquiring the lock: %w", err)
	}
	return release, nil
}

func (s *store) putLock(ctx context.Context, lease int64) error {
	t := layout.Txn{Keys: s.keys}
	t.Modified(s.keys.Lock(), 0)
	t.Modified(s.keys.Meta(), s.meta)
	t.Put(s.keys.Lock(), []byte("{}"))
	t.Success[0].GetRequestPut().Lease = lease
	var put *pb.TxnResponse
	err := s.call(ctx, func(ctx context.Context) (err error) {
		put, err = s.client.Txn(ctx, &pb.TxnRequest{Compare: t.Compare, Success: t.Success})
		return err
	})
	switch {
	case err != nil:
		return errors.New(rpc.Reason(err))
	case !put.Succeeded:
		return errRunning
	}
	s.lock = put.Header.Revision
	return nil
}

// renew keeps a lease alive. If that fails for long, the transactions fail, and say so.
func (s *store) renew(ctx context.Context, lease int64) {
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		once, cancel := context.WithTimeout(ctx, renewEvery)
		if stream, err := s.client.Lease().LeaseKeepAlive(once); err == nil && stream.Send(&pb.LeaseKeepAliveRequest{ID: lease}) == nil {
			_, _ = stream.Recv()
		}
		cancel()
	}
}
