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

// acquire puts the lock, and keeps its lease alive until release is called. The lock stays for the rest of
// its lease if it is kept, as if the command had been killed. The context ends when somebody finds that the lock is
// lost.
func (s *store) acquire(ctx context.Context) (held context.Context, release func(keep bool), err error) {
	var lease int64
	err = s.call(ctx, func(ctx context.Context) error {
		granted, err := s.client.Lease().LeaseGrant(ctx, &pb.LeaseGrantRequest{TTL: int64(lockTTL / time.Second)})
		if err == nil {
			lease = granted.ID
		}
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("acquiring the lock: %w", err)
	}
	renewing, stop := context.WithCancel(ctx)
	held, lost := context.WithCancelCause(ctx)
	var running sync.WaitGroup
	release = func(keep bool) {
		stop()
		running.Wait()
		lost(nil)
		if keep {
			return
		}
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
		defer cancel()
		_, _ = s.client.Lease().LeaseRevoke(last, &pb.LeaseRevokeRequest{ID: lease}) // otherwise it expires
	}
	if err := s.putLock(ctx, lease); err != nil {
		release(false)
		return nil, nil, fmt.Errorf("acquiring the lock: %w", err)
	}
	lock := s.lock
	running.Go(func() { s.renew(renewing, lease, lock, lost) })
	return held, release, nil
}

// guarding is the value of the lock of a command that changes no keys, but only who may write at the v2 API.
const guarding = `{"guards":true}`

func (s *store) lockValue() []byte {
	if s.guards {
		return []byte(guarding)
	}
	return []byte("{}")
}

func (s *store) putLock(ctx context.Context, lease int64) error {
	t := layout.Txn{Keys: s.keys}
	t.Modified(s.keys.Lock(), 0)
	t.Modified(s.keys.Meta(), s.meta)
	t.Put(s.keys.Lock(), s.lockValue())
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

// renew keeps a lease alive, and ends the command if its lock is gone. If etcd does not answer for long, the
// transactions fail, and say so.
func (s *store) renew(ctx context.Context, lease, lock int64, lost context.CancelCauseFunc) {
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
		if held, err := s.compare(once, lock, 0); err == nil && !held {
			lost(errLost)
		}
		cancel()
	}
}

// compare reports whether the lock is that of a revision, and the description too unless that is 0.
func (s *store) compare(ctx context.Context, lock, meta int64) (bool, error) {
	t := layout.Txn{Keys: s.keys}
	t.Modified(s.keys.Lock(), lock)
	if meta != 0 {
		t.Modified(s.keys.Meta(), meta)
	}
	answer, err := s.client.Txn(ctx, &pb.TxnRequest{Compare: t.Compare})
	return err == nil && answer.Succeeded, err
}

// holding finds out whether the lock of a command is still held. One read is on its way at a time, and all who ask
// before it is sent share it.
type holding struct {
	*store
	// also says what must hold besides; nil for nothing.
	also    func(context.Context) error
	reading sync.Mutex
	mu      sync.Mutex
	next    *look
}

// look is one read.
type look struct {
	done chan struct{}
	err  error
}

// still returns nil if the lock was held, and the tree described as by this command, at a moment after the call.
func (h *holding) still(ctx context.Context) error {
	h.mu.Lock()
	if h.next == nil {
		h.next = &look{done: make(chan struct{})}
		go h.run(ctx, h.next, h.lock, h.meta)
	}
	l := h.next
	h.mu.Unlock()
	select {
	case <-l.done:
		return l.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (h *holding) run(ctx context.Context, l *look, lock, meta int64) {
	h.reading.Lock()
	defer h.reading.Unlock()
	h.mu.Lock()
	h.next = nil
	h.mu.Unlock()
	held := false
	l.err = h.call(ctx, func(ctx context.Context) (err error) {
		held, err = h.compare(ctx, lock, meta)
		return err
	})
	switch {
	case l.err != nil:
	case !held:
		l.err = errLost
	case h.also != nil:
		l.err = h.also(ctx)
	}
	close(l.done)
}

// live reports whether the tree has the keys.
func (h *holding) live(ctx context.Context) (live bool, err error) {
	err = h.call(ctx, func(ctx context.Context) error {
		found, err := h.client.Range(ctx, &pb.RangeRequest{Key: h.keys.Meta()})
		if err != nil || len(found.Kvs) == 0 {
			return err
		}
		meta, err := layout.DecodeMeta(found.Kvs[0].Value)
		live = err == nil && meta.State == layout.Live
		return err
	})
	return live, err
}
