package presence

import (
	"context"
	"errors"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// leaseTimeout bounds a call about a lease. The next attempt may go to another endpoint.
const leaseTimeout = 2 * time.Second

// renewLease keeps a lease alive until it has expired, or until the context ends.
func renewLease(ctx context.Context, client *rpc.Client, lease int64, ttl time.Duration) error {
	tick := time.NewTicker(ttl / 4)
	defer tick.Stop()
	for renewed := time.Now(); ; {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		left, err := renewOnce(ctx, client, lease)
		switch {
		case err == nil && left <= 0:
			return errors.New("the lease has expired")
		case err == nil:
			renewed = time.Now()
		case time.Since(renewed) > ttl:
			return err
		}
	}
}

func renewOnce(ctx context.Context, client *rpc.Client, lease int64) (left int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, leaseTimeout)
	defer cancel()
	stream, err := client.Lease().LeaseKeepAlive(ctx)
	if err == nil {
		err = stream.Send(&pb.LeaseKeepAliveRequest{ID: lease})
	}
	if err != nil {
		return 0, fmt.Errorf("renewing the lease: %s", rpc.Reason(err))
	}
	answer, err := stream.Recv()
	if err != nil {
		return 0, fmt.Errorf("renewing the lease: %s", rpc.Reason(err))
	}
	return answer.TTL, nil
}

// revoke ends a lease, and with it the keys that are bound to it, even if the store is closed.
func (h *Host) revoke(lease int64) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(h.Context), leaseTimeout)
	defer cancel()
	if _, err := h.Client.Lease().LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: lease}); err != nil {
		h.Log.Debug("a lease was not revoked", "error", rpc.Reason(err))
	}
}
