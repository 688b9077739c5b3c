package cluster

import (
	"context"
	"slices"
	"strings"
	"sync"

	client "go.etcd.io/etcd/client/v2"
)

// Health is the state of a cluster as a client sees it.
type Health struct {
	// State is "healthy", "degraded" while there is still a quorum, or "unavailable".
	State   string         `json:"state"`
	Members []MemberHealth `json:"members"`
	// Leader is the name of the member that the healthy ones follow, LeaderID its id.
	Leader   string `json:"leader"`
	LeaderID string `json:"leader_id"`
	// Healthy is the number of healthy members, Quorum the number that is needed.
	Healthy int `json:"healthy"`
	Quorum  int `json:"quorum"`
	// Margin is the number of members that may still fail. Below 0 there is no quorum.
	Margin int `json:"margin"`
}

// MemberHealth is the state of one member.
type MemberHealth struct {
	ID         string      `json:"id"`
	Name       string      `json:"name"`
	PeerURLs   []string    `json:"peer_urls"`
	ClientURLs []string    `json:"client_urls"`
	State      State       `json:"state"`
	Leader     bool        `json:"leader"`
	Version    string      `json:"version,omitempty"`
	RaftIndex  uint64      `json:"raft_index,omitempty"`
	Behind     *uint64     `json:"behind,omitempty"` // nil if unknown
	URLs       []URLHealth `json:"urls"`

	follows string // the id of the leader according to this member
	cluster string // the id of its cluster
}

// State is the state of a member or a URL.
type State string

// The states. As in etcdctl, a member is healthy if one of its client URLs is.
const (
	Healthy     State = "healthy"
	Unhealthy   State = "unhealthy"   // it reports so, or another member answers there
	Unreachable State = "unreachable" // none of its URLs answers
	Unstarted   State = "unstarted"   // it was added and has not joined yet
)

// Label is the member's name in messages, with its id.
func (m *MemberHealth) Label() string { return label(client.Member{ID: m.ID, Name: m.Name}) }

// Problem says why a member is not healthy. It is empty for a healthy one.
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

// Probe lists the members and then checks all URLs that they advertise, like etcdctl: a
// member that advertises its proxy is healthy if the proxy reports that.
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
	mc.findReads(ctx)
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

// list returns a copy that is never null in JSON.
func list(texts []string) []string { return append([]string{}, texts...) }

// summarize derives the state of the cluster from its members.
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

// OK reports whether all members are healthy.
func (h *Health) OK() bool { return h.State == "healthy" }

// compareIndexes determines how far each member is behind the highest index read so far.
// It reads the indexes again: indexes read at the same time differ on any busy cluster.
func (mc *memberClient) compareIndexes(ctx context.Context, h *Health) {
	var highest uint64
	for _, m := range h.Members {
		highest = max(highest, m.RaftIndex)
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
				if index, ok := mc.raftIndex(ctx, u.URL); ok {
					m.RaftIndex = index
					behind := highest - min(highest, index)
					m.Behind = &behind
					return
				}
			}
		})
	}
	probes.Wait()
}
