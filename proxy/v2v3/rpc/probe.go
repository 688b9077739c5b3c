package rpc

import (
	"context"
	"errors"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// Probed is what a member says about itself.
type Probed struct {
	ID      uint64
	Version string
	// Leader is 0 if the member knows none.
	Leader uint64
	// Names are those of the members that it knows.
	Names map[uint64]string
}

// Probe asks a member, on a connection of its own.
func Probe(ctx context.Context, e Endpoint, user, password string) (*Probed, error) {
	c, err := New([]Endpoint{e}, user, password)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	status, err := c.Maintenance().Status(ctx, &pb.StatusRequest{})
	if err != nil {
		return nil, errors.New(Reason(err))
	}
	p := &Probed{ID: status.Header.MemberId, Version: status.Version, Leader: status.Leader, Names: make(map[uint64]string)}
	// The list of the member itself may be old, but it is there without a quorum as well.
	list, err := c.Cluster().MemberList(ctx, &pb.MemberListRequest{})
	if err != nil {
		return nil, errors.New(Reason(err))
	}
	for _, m := range list.Members {
		p.Names[m.ID] = m.Name
	}
	return p, nil
}
