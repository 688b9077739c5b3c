package cluster

import (
	"fmt"
	"net/url"
	"strings"

	client "go.etcd.io/etcd/client/v2"
)

// Compare finds where a domain's records and a live cluster's members differ.
func (d *Domain) Compare(members []client.Member) []string {
	var all []string
	for _, m := range members {
		if m.Name == "" && len(m.ClientURLs) == 0 {
			all = append(all, fmt.Sprintf("member %s: it was added and has not started: it advertises nothing yet", m.ID))
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
		return nil // the members know each other from their flags
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

// compareClients compares letter by letter, as python-etcd does: it takes the
// record that it came by out of the list of advertised URLs when a connection
// fails, and dies if it is not there.
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
		// Who uses these names may have a scheme of their own.
		if !hostPorts[r.HostPort()] {
			all = append(all, fmt.Sprintf("%s: no member advertises %s", s.Name, r.HostPort()))
		}
	}
	return all
}

// label is how a member is called in texts: unstarted ones have no name, and names
// need not be unique.
func label(m client.Member) string {
	if m.Name == "" {
		return m.ID
	}
	return m.Name + " (" + m.ID + ")"
}

// of finds the records that lead to a member's hosts.
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
