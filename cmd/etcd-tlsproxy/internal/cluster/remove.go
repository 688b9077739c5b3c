package cluster

import (
	"errors"
	"fmt"
	"net/url"
)

// Remove checks that a member may be removed. An error cannot be forced.
func (h *Health) PlanRemove(which string) (*MemberHealth, *Change, error) {
	m, err := h.Find(which)
	if err != nil {
		return nil, nil, err
	}
	if len(h.Members) == 1 {
		return nil, nil, errors.New("it is the only member: to remove it is to end the cluster (hint: stop its etcd and delete its data)")
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
		c.addObjection("member %s is the leader: without it the cluster takes no writes until another is elected, and what it was just doing may be lost (restart its etcd, which lets another lead, and come again)", m.Label())
	} else if h.LeaderID == "" {
		c.addObjection("no healthy member knows a leader: it could be this one")
	}
	switch {
	case healthy == 0:
		c.addObjection("member %s is the last healthy one: the cluster's data would be reached nowhere, and have to be recovered from a backup", m.Label())
	case healthy < Quorum(after):
		c.addObjection("%d members would be left healthy, and %d of %d would have to agree: the quorum would be lost, and the cluster have to be recovered from a backup", healthy, Quorum(after), after)
	}
	for _, u := range m.ClientURLs {
		if place, err := url.Parse(u); err == nil {
			c.addStep("before: no record for clients leads to %s any more (_etcd-client-ssl._tcp and others)", place.Host)
		}
	}
	c.addStep("remove member %s: %s, and %d may fail then", m.Label(), quorumChange(before, after), max(0, healthy-Quorum(after)))
	if even := EvenWarning(after); even != "" {
		c.addStep("note that %s", even)
	}
	c.addStep("its etcd stops by itself, and never joins again with its data")
	return m, c, nil
}

// Cleanup is what an operator drops when a member is gone.
type Cleanup struct {
	// Records are those of its domain, or how they look if the domain is not known.
	Records []string `json:"records"`
	// Hiera is the configuration of those that stay.
	Hiera *Hiera `json:"hiera"`
}

// Left describes it for a member that was removed.
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
