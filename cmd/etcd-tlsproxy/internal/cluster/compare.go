package cluster

import (
	"fmt"
	"net/url"
	"strings"

	client "go.etcd.io/etcd/client/v2"
)

// Compare lists the differences between the records of a domain and the members of a
// live cluster.
func (d *Domain) Compare(members []client.Member) []string {
	var all []string
	for _, m := range members {
		if m.Name == "" && len(m.ClientURLs) == 0 {
			all = append(all, fmt.Sprintf("member %s: it was added and has not started, so it advertises nothing yet", m.ID))
		}
	}
	if d.answered(peers) {
		all = append(all, d.comparePeers(members)...)
	}
	if d.answered(clients) && d.answered(libraries) {
		all = append(all, d.compareClients(members)...)
	}
	return all
}

func (d *Domain) comparePeers(members []client.Member) []string {
	recorded := make(map[string]bool)
	for _, p := range d.Peers() {
		recorded[p.URL] = true
	}
	if len(recorded) == 0 {
		return nil // the members find each other by their flags
	}
	var all []string
	live := make(map[string]bool)
	for _, m := range members {
		for _, u := range m.PeerURLs {
			u = strings.ToLower(u)
			live[u] = true
			if !recorded[u] {
				all = append(all, fmt.Sprintf("member %s: no record for peers gives its peer URL %s", label(m), u))
			}
		}
	}
	for s, r := range d.records(peers) {
		if u := strings.ToLower(s.URL(r)); !live[u] {
			all = append(all, fmt.Sprintf("%s: %s: no member has the peer URL %s", s.Name, r.HostPort(), u))
		}
	}
	return all
}

// compareClients compares byte by byte, like python-etcd: when a connection fails, it
// removes the URL of the record from the list of advertised URLs, and dies if the URL is
// not in the list.
func (d *Domain) compareClients(members []client.Member) []string {
	recorded := make(map[string]bool)
	for s, r := range d.records(clients) {
		recorded[s.URL(r)] = true
	}
	var all []string
	live, hostPorts := make(map[string]bool), make(map[string]bool)
	for _, m := range members {
		for _, text := range m.ClientURLs {
			live[text] = true
			if u, err := url.Parse(text); err == nil {
				hostPorts[u.Host] = true
			}
			if !recorded[text] {
				all = append(all, fmt.Sprintf("member %s: no record for clients gives the URL %s that it advertises", label(m), text))
			}
		}
	}
	for s, r := range d.records(clients) {
		if u := s.URL(r); !live[u] {
			all = append(all, fmt.Sprintf("%s: no member advertises %s: python-etcd raises ValueError when a connection to it fails", s.Name, u))
		}
	}
	for s, r := range d.records(libraries) {
		// The libraries that use these names may have a scheme of their own.
		if !hostPorts[r.HostPort()] {
			all = append(all, fmt.Sprintf("%s: no member advertises %s", s.Name, r.HostPort()))
		}
	}
	return all
}

// label is a member's name in messages, with its id: a member that has not started has
// no name, and names need not be unique.
func label(m client.Member) string {
	if m.Name == "" {
		return m.ID
	}
	return m.Name + " (" + m.ID + ")"
}

// recordsOf returns the records that point to a member's hosts, in the form of a zone
// file.
func (d *Domain) recordsOf(m *MemberHealth) []string {
	hosts := make(map[string]bool)
	for _, text := range append(list(m.PeerURLs), m.ClientURLs...) {
		if u, err := url.Parse(text); err == nil {
			hosts[strings.ToLower(u.Hostname())] = true
		}
	}
	var all []string
	for i := range d.Services {
		s := &d.Services[i]
		if s.Problem != "" {
			all = append(all, s.Name+": unknown: "+s.Problem)
		}
		for _, r := range s.Records {
			if hosts[strings.ToLower(r.Target)] {
				all = append(all, fmt.Sprintf("%s. IN SRV %d %d %d %s.", s.Name, r.Priority, r.Weight, r.Port, r.Target))
			}
		}
	}
	return all
}
