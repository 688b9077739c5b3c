package cluster

import (
	"errors"
	"fmt"
	"net/url"
)

// PlanRemove checks whether a member can be removed and lists the steps. An error cannot
// be forced; objections can.
func (h *Health) PlanRemove(which string) (*MemberHealth, *Change, error) {
	m, err := h.Find(which)
	if err != nil {
		return nil, nil, err
	}
	if len(h.Members) == 1 {
		return nil, nil, errors.New("it is the only member, and removing it would destroy the cluster (hint: stop its etcd and delete its data instead)")
	}
	if err := h.checkOneHealthy(); err != nil {
		return nil, nil, err
	}
	c := &Change{}
	before := len(h.Members)
	after := before - 1
	healthy := h.Healthy
	if m.State == Healthy {
		healthy--
	}
	if m.Leader {
		c.addObjection("member %s is the leader: without it the cluster accepts no writes until another one is elected, and requests in progress may be lost (restart its etcd, so that another member becomes leader, and try again)", m.Label())
	} else if h.LeaderID == "" {
		c.addObjection("no healthy member knows a leader: it may be this one")
	}
	switch {
	case healthy == 0:
		c.addObjection("member %s is the last healthy one: the data of the cluster would be unreachable and would have to be recovered from a backup", m.Label())
	case healthy < Quorum(after):
		c.addObjection("%d healthy members would remain, but %d of %d have to agree: the quorum would be lost, and the cluster would have to be recovered from a backup", healthy, Quorum(after), after)
	}
	for _, u := range m.ClientURLs {
		if place, err := url.Parse(u); err == nil {
			c.addStep("first check that no record for clients points to %s any more (_etcd-client-ssl._tcp and others)", place.Host)
		}
	}
	c.addStep("remove member %s: %s; then %d of the members may fail", m.Label(), quorumChange(before, after), max(0, healthy-Quorum(after)))
	if even := EvenWarning(after); even != "" {
		c.addStep("note that %s", even)
	}
	c.addStep("its etcd stops, and cannot join again with its data")
	return m, c, nil
}

// Cleanup lists what an operator has to change after a member was removed.
type Cleanup struct {
	// Records are the DNS records of the member, or their likely form if the domain is
	// not known.
	Records []string `json:"records"`
	// Hiera is the configuration of the remaining members.
	Hiera *Hiera `json:"hiera"`
}

// CleanupAfter returns the cleanup after a member was removed. The domain may be nil.
func (h *Health) CleanupAfter(gone *MemberHealth, domain *Domain) *Cleanup {
	stay := &Health{}
	for _, m := range h.Members {
		if m.ID != gone.ID {
			stay.Members = append(stay.Members, m)
		}
	}
	l := &Cleanup{Records: []string{}, Hiera: &Hiera{Discovery: InitialCluster(stay.Peers()), UseProxy: true}}
	if domain != nil {
		l.Records = append(l.Records, domain.recordsOf(gone)...)
		return l
	}
	l.Records = append(l.Records, guessRecords(gone.PeerURLs, "_etcd-server-ssl._tcp", "_etcd-server._tcp")...)
	l.Records = append(l.Records, guessRecords(gone.ClientURLs, "_etcd-client-ssl._tcp", "_etcd-client._tcp")...)
	return l
}

func guessRecords(urls []string, https, http string) []string {
	var all []string
	for _, text := range urls {
		u, err := url.Parse(text)
		if err != nil {
			continue
		}
		name := http
		if u.Scheme == "https" {
			name = https
		}
		all = append(all, fmt.Sprintf("%s IN SRV ... %s %s.", name, u.Port(), u.Hostname()))
	}
	return all
}
