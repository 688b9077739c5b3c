package cluster

import (
	"context"
	"slices"
	"strings"
	"sync"

	client "go.etcd.io/etcd/client/v2"
)

// Health is how a cluster is, seen from outside.
type Health struct {
	// State is "healthy", "degraded" while a quorum is, or "unavailable".
	State   string         `json:"state"`
	Members []MemberHealth `json:"members"`
	// Leader is the member that the healthy ones follow, by name, LeaderID by id.
	Leader   string `json:"leader"`
	LeaderID string `json:"leader_id"`
	// Healthy counts the members that are; Quorum is how many have to be.
	Healthy int `json:"healthy"`
	Quorum  int `json:"quorum"`
	// Margin is how many more may fail; below 0 there is no quorum.
	Margin int `json:"margin"`
}

// MemberHealth is one member's.
type MemberHealth struct {
	ID         string      `json:"id"`
	Name       string      `json:"name"`
	PeerURLs   []string    `json:"peer_urls"`
	ClientURLs []string    `json:"client_urls"`
	State      State       `json:"state"`
	Leader     bool        `json:"leader"`
	Version    string      `json:"version,omitempty"`
	RaftIndex  uint64      `json:"raft_index,omitempty"`
	Behind     *uint64     `json:"behind,omitempty"` // nil is unknown
	URLs       []URLHealth `json:"urls"`

	follows string // the leader's id, as this member has it
	cluster string // its cluster's id
}

// State is a member's or a URL's.
type State string

// The states. A member is healthy if one of its client URLs is, as etcdctl has it.
const (
	Healthy     State = "healthy"
	Unhealthy   State = "unhealthy"   // it says so itself, or is not what it should be
	Unreachable State = "unreachable" // nothing answers
	Unstarted   State = "unstarted"   // it was added, and has not joined yet
)

// Label is how the member is called in texts.
func (m *MemberHealth) Label() string { return label(client.Member{ID: m.ID, Name: m.Name}) }

// Problem is why a member is not healthy, or "".
func (m *MemberHealth) Problem() string {
	switch {
	case m.State == Healthy:
		return ""
	case m.State == Unstarted:
		return "it was added and has not started"
	case len(m.URLs) == 0:
		return "it advertises no client URL"
	}
	var all []string
	for _, u := range m.URLs {
		all = append(all, u.URL+": "+u.Problem)
	}
	return strings.Join(all, "; ")
}

// Look asks for the members, and then all of their advertised URLs, as etcdctl does:
// members that advertise their proxy are healthy while the proxy says so.
func (c *Connection) Probe(ctx context.Context) (*Health, error) {
	members, err := c.Members(ctx)
	if err != nil {
		return nil, err
	}
	mc, err := c.memberClient()
	if err != nil {
		return nil, err
	}
	defer mc.close()
	h := &Health{Members: make([]MemberHealth, len(members))}
	var probes sync.WaitGroup
	for i, m := range members {
		probes.Go(func() { h.Members[i] = mc.probe(ctx, m) })
	}
	probes.Wait()
	slices.SortFunc(h.Members, func(x, y MemberHealth) int { return strings.Compare(x.Name+"\x00"+x.ID, y.Name+"\x00"+y.ID) })
	h.summarize()
	mc.compareIndexes(ctx, h)
	return h, nil
}

func (mc *memberClient) probe(ctx context.Context, m client.Member) MemberHealth {
	member := MemberHealth{ID: m.ID, Name: m.Name, PeerURLs: list(m.PeerURLs), ClientURLs: list(m.ClientURLs), State: Unreachable, URLs: []URLHealth{}}
	if m.Name == "" && len(m.ClientURLs) == 0 {
		member.State = Unstarted
		return member
	}
	for _, base := range m.ClientURLs {
		u := mc.probeURL(ctx, m.ID, base, &member)
		if rank(u.State) > rank(member.State) {
			member.State = u.State
		}
		member.URLs = append(member.URLs, u)
	}
	return member
}

func rank(s State) int { return slices.Index([]State{Unreachable, Unhealthy, Healthy}, s) }

// list is never null in JSON.
func list(texts []string) []string { return append([]string{}, texts...) }

// sum judges the cluster by its members.
func (h *Health) summarize() {
	h.Quorum = Quorum(len(h.Members))
	for i := range h.Members {
		if h.Members[i].State == Healthy {
			h.Healthy++
			if h.LeaderID == "" {
				h.LeaderID = h.Members[i].follows
			}
		}
	}
	for i := range h.Members {
		if m := &h.Members[i]; h.LeaderID != "" && m.ID == h.LeaderID {
			m.Leader, h.Leader = true, m.Name
		}
	}
	h.Margin = h.Healthy - h.Quorum
	switch {
	case h.Margin < 0 || h.LeaderID == "":
		h.State = "unavailable"
	case h.Healthy < len(h.Members):
		h.State = "degraded"
	default:
		h.State = "healthy"
	}
}

// OK reports whether everything is.
func (h *Health) OK() bool { return h.State == "healthy" }

// compareIndexes finds how far each member is behind what another had before it was
// asked: indexes that were read at one time differ on any busy cluster.
func (mc *memberClient) compareIndexes(ctx context.Context, h *Health) {
	var most uint64
	for _, m := range h.Members {
		most = max(most, m.RaftIndex)
	}
	var probes sync.WaitGroup
	for i := range h.Members {
		m := &h.Members[i]
		if m.RaftIndex == 0 {
			continue
		}
		probes.Go(func() {
			for _, u := range m.URLs {
				if u.State != Healthy {
					continue
				}
				if index, _, ok := mc.raftIndex(ctx, u.URL); ok {
					m.RaftIndex = index
					behind := most - min(most, index)
					m.Behind = &behind
					return
				}
			}
		})
	}
	probes.Wait()
}
