package members

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// Member is a member of the cluster.
type Member struct {
	ID                   uint64
	Name                 string
	PeerURLs, ClientURLs []string
	Learner, Leader      bool
	// Answers is true for the member that was asked.
	Answers bool
}

// view is a member in JSON.
type view struct {
	ID         string   `json:"id"`
	Name       string   `json:"name"`
	PeerURLs   []string `json:"peerURLs"`
	ClientURLs []string `json:"clientURLs"`
}

// view returns the member with lists that are empty, and not null, if there are no URLs.
func (m *Member) view() view {
	return view{hex(m.ID), m.Name, append([]string{}, m.PeerURLs...), append([]string{}, m.ClientURLs...)}
}

func hex(id uint64) string { return strconv.FormatUint(id, 16) }

// list is what the member in use knows of the cluster.
type list struct {
	cluster uint64
	members []Member
}

// List returns the members in the order of their ids.
func List(ctx context.Context, client *rpc.Client) ([]Member, error) {
	l, err := read(ctx, client)
	if err != nil {
		return nil, err
	}
	// A member that cannot tell the leader may know the members.
	if status, err := client.Maintenance().Status(ctx, &pb.StatusRequest{}); err == nil {
		for i := range l.members {
			l.members[i].Leader = l.members[i].ID == status.Leader
		}
	}
	return l.members, nil
}

func read(ctx context.Context, client *rpc.Client) (*list, error) {
	answer, err := client.Cluster().MemberList(ctx, &pb.MemberListRequest{})
	if err != nil {
		return nil, fmt.Errorf("reading the members: %w", err)
	}
	l := &list{cluster: answer.Header.ClusterId}
	for _, m := range answer.Members {
		l.members = append(l.members, Member{ID: m.ID, Name: m.Name, PeerURLs: m.PeerURLs, ClientURLs: m.ClientURLs,
			Learner: m.IsLearner, Answers: m.ID == answer.Header.MemberId})
	}
	slices.SortFunc(l.members, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	return l, nil
}
