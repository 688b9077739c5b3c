package changeover

import (
	"context"
	"maps"
	"slices"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// Prefixes returns those of all trees of a store for which proxies have sessions. Each session has a lease, and there
// are far fewer leases than keys.
func Prefixes(ctx context.Context, client *rpc.Client) ([]layout.Keys, error) {
	all, err := client.Lease().LeaseLeases(ctx, &pb.LeaseLeasesRequest{})
	if err != nil {
		return nil, err
	}
	session := string(layout.Keys("").Session(""))
	found := map[layout.Keys]bool{}
	for _, lease := range all.Leases {
		l, err := client.Lease().LeaseTimeToLive(ctx, &pb.LeaseTimeToLiveRequest{ID: lease.ID, Keys: true})
		if err != nil {
			return nil, err
		}
		for _, key := range l.Keys {
			if at := strings.LastIndex(string(key), session); at >= 0 {
				found[layout.Keys(key[:at])] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}
