package cluster

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// PlanAdd checks whether a member can be added and lists the steps. An error cannot be
// forced; objections can.
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
		c.addStep("until %s has started and answers, the cluster has no quorum and accepts no writes: 2 of 2 members have to agree", name)
	case left < 0:
		c.addObjection("%d healthy members are fewer than the %d that have to agree after the change: there is no quorum until %s has started", h.Healthy, Quorum(after), name)
	default:
		c.addStep("until %s has started and answers, %d of the others may fail", name, left)
	}
	if even := EvenWarning(after); even != "" {
		c.addStep("note: %s", even)
	}
	c.addStep("start %s with an empty data folder and the printed settings", name)
	return c, nil
}

// checkUnused refuses a name or a peer URL that a member already has.
func (h *Health) checkUnused(name, peerURL string) error {
	for i := range h.Members {
		m := &h.Members[i]
		switch {
		case m.Name == name:
			return fmt.Errorf("member %s already has that name (hint: to replace it, remove it first)", m.Label())
		case m.ID == name:
			return fmt.Errorf("%q is the id of member %s, and would be ambiguous as a name", name, m.Label())
		case slices.ContainsFunc(m.PeerURLs, func(other string) bool { return strings.EqualFold(strings.TrimSuffix(other, "/"), peerURL) }):
			if m.State == Unstarted {
				return fmt.Errorf("member %s with the peer URL %s was added earlier and has not started (hint: start it, or remove it by its id)", m.ID, peerURL)
			}
			return fmt.Errorf("member %s already has the peer URL %s", m.Label(), peerURL)
		}
	}
	return nil
}

// checkAllHealthy objects to members that are down. A new member counts as failed until
// it has started, in addition to those.
func (h *Health) checkAllHealthy(c *Change) {
	for i := range h.Members {
		m := &h.Members[i]
		switch m.State {
		case Healthy:
		case Unstarted:
			c.addObjection("member %s was added and has not started: with two members missing at once the quorum may be lost (start it and wait until it answers, or remove it)", m.ID)
		default:
			c.addObjection("member %s is %s (%s): with a new member that has not started either, the quorum may be lost (repair or remove it first)", m.Label(), m.State, m.Problem())
		}
	}
	if h.LeaderID == "" {
		c.addObjection("no healthy member knows a leader (wait until one is elected)")
	}
}

// checkPeerScheme checks that the peers use one scheme and can reach each other.
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
				c.addObjection("member %s has the peer URL %s, the new one %s: peers with different schemes cannot reach each other", m.Label(), text, newcomer)
			}
			if loopback(u.Hostname()) != loopback(newcomer.Hostname()) {
				c.addObjection("member %s has the peer URL %s, the new one %s: a loopback address cannot be reached from another machine (after --force-new-cluster the peer URL must be updated first)", m.Label(), text, newcomer)
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
				c.addObjection("port %s of the peer URL is the port that member %s advertises to clients (peers use another one, such as 2380)", newcomer.Port(), m.Label())
			}
		}
	}
}

// PeersWith returns the initial cluster of a new member: every peer URL of every member,
// including the new one.
func (h *Health) PeersWith(name, peerURL string) []Peer {
	all := append(h.Peers(), Peer{Name: name, URL: peerURL})
	slices.SortStableFunc(all, func(a, b Peer) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Peers returns the members by peer URL. etcd also counts members that have not started,
// and it does not compare names, so their ids can stand in.
func (h *Health) Peers() []Peer {
	var all []Peer
	for _, m := range h.Members {
		for _, u := range m.PeerURLs {
			all = append(all, Peer{Name: cmp.Or(m.Name, m.ID), URL: u})
		}
	}
	return all
}
