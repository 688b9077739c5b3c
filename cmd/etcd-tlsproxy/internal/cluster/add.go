package cluster

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Add checks that a member may be added. An error cannot be forced.
func (h *Health) PlanAdd(name, peerURL string) (*Change, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	u, err := CheckPeerURL(peerURL)
	if err != nil {
		return nil, err
	}
	if err := h.checkUnused(name, u.String()); err != nil {
		return nil, err
	}
	if err := h.checkOneHealthy(); err != nil {
		return nil, err
	}
	c := &Change{}
	h.checkAllHealthy(c)
	h.checkPeerScheme(c, u)
	before := len(h.Members)
	after := before + 1
	c.addStep("add member %s with the peer URL %s: %s", name, u, quorumChange(before, after))
	switch left := h.Healthy - Quorum(after); {
	case before == 1:
		c.addStep("from then on, until %s has started and answers, the cluster has no quorum and takes no writes: 2 of 2 members have to agree", name)
	case left < 0:
		c.addObjection("%d healthy members are less than the %d that have to agree then: there is no quorum until %s has started", h.Healthy, Quorum(after), name)
	default:
		c.addStep("until %s has started and answers, %d of the others may fail", name, left)
	}
	if even := EvenWarning(after); even != "" {
		c.addStep("note that %s", even)
	}
	c.addStep("start %s with an empty data folder and the settings that are printed", name)
	return c, nil
}

// free refuses what is some member's already.
func (h *Health) checkUnused(name, peerURL string) error {
	for i := range h.Members {
		m := &h.Members[i]
		switch {
		case m.Name == name:
			return fmt.Errorf("member %s has that name already (hint: remove it first, if it is to be replaced)", m.Label())
		case m.ID == name:
			return fmt.Errorf("%q is the id of member %s, and would be ambiguous as a name", name, m.Label())
		case slices.ContainsFunc(m.PeerURLs, func(other string) bool { return strings.EqualFold(strings.TrimSuffix(other, "/"), peerURL) }):
			if m.State == Unstarted {
				return fmt.Errorf("member %s with the peer URL %s was added before and has not started (hint: start it, or remove it by its id)", m.ID, peerURL)
			}
			return fmt.Errorf("member %s has the peer URL %s already", m.Label(), peerURL)
		}
	}
	return nil
}

// allStarted: a newcomer counts as failed until it has started, and any that are
// down already come on top of it.
func (h *Health) checkAllHealthy(c *Change) {
	for i := range h.Members {
		m := &h.Members[i]
		switch m.State {
		case Healthy:
		case Unstarted:
			c.addObjection("member %s was added and has not started: two that are missing at once may cost the quorum (start it and wait until it answers, or remove it)", m.ID)
		default:
			c.addObjection("member %s is %s (%s): together with a newcomer that has not started it may cost the quorum (mend or remove it first)", m.Label(), m.State, m.Problem())
		}
	}
	if h.LeaderID == "" {
		c.addObjection("no healthy member knows a leader (wait for an election)")
	}
}

// sameWay: peers speak one scheme, and must be able to reach each other.
func (h *Health) checkPeerScheme(c *Change, newcomer *url.URL) {
	used := make(map[string]bool)
	for i := range h.Members {
		m := &h.Members[i]
		for _, text := range m.PeerURLs {
			u, err := url.Parse(text)
			if err != nil {
				continue
			}
			used[u.Port()] = true
			if u.Scheme != newcomer.Scheme {
				c.addObjection("member %s has the peer URL %s, the newcomer %s: peers do not reach each other with different schemes", m.Label(), text, newcomer)
			}
			if loopback(u.Hostname()) != loopback(newcomer.Hostname()) {
				c.addObjection("member %s has the peer URL %s, the newcomer %s: from one machine the other's loopback is not reached (after --force-new-cluster the peer URL must be updated first)", m.Label(), text, newcomer)
			}
		}
	}
	if used[newcomer.Port()] {
		return
	}
	for i := range h.Members {
		m := &h.Members[i]
		for _, text := range m.ClientURLs {
			if u, err := url.Parse(text); err == nil && u.Port() == newcomer.Port() {
				c.addObjection("port %s of the peer URL is the one that member %s advertises to clients (peers have another, as 2380)", newcomer.Port(), m.Label())
			}
		}
	}
}

// Joining is a cluster's peers as a newcomer has to know them: each peer URL of each
// member, the newcomer among them.
func (h *Health) PeersWith(name, peerURL string) []Peer {
	all := append(h.Peers(), Peer{Name: name, URL: peerURL})
	slices.SortStableFunc(all, func(a, b Peer) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Peers are the members, by peer URL. etcd counts those that have not started, too,
// and compares no names: their ids do.
func (h *Health) Peers() []Peer {
	var all []Peer
	for _, m := range h.Members {
		for _, u := range m.PeerURLs {
			all = append(all, Peer{Name: cmp.Or(m.Name, m.ID), URL: u})
		}
	}
	return all
}
