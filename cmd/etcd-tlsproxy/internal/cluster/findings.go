package cluster

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Findings lists what is missing or inconsistent in the records of a domain. A query that
// failed is a finding itself, and nothing is concluded from it.
func (d *Domain) Findings() []string {
	var all []string
	for i := range d.Services {
		all = append(all, d.Services[i].findings()...)
	}
	all = append(all, d.mixedSchemes(peers, "a member that discovers the cluster by DNS uses both, and would find members twice or with two schemes")...)
	all = append(all, d.mixedSchemes(clients, "some clients use the https records, others use both and connect in plaintext")...)
	all = append(all, d.unmatchedHosts()...)
	return append(all, d.unmatchedLibraries()...)
}

func (s *Service) findings() []string {
	if s.Problem != "" {
		return []string{s.Problem}
	}
	var all []string
	add := func(r *Record, form string, args ...any) {
		all = append(all, fmt.Sprintf("%s: %s: %s", s.Name, r.HostPort(), fmt.Sprintf(form, args...)))
	}
	for _, why := range s.Unusable {
		all = append(all, s.Name+": "+why+"; the proxy and etcd leave it out")
	}
	seen, ports := make(map[string]int), make(map[uint16][]string)
	for i := range s.Records {
		r := &s.Records[i]
		seen[strings.ToLower(r.HostPort())]++
		switch {
		case r.Problem != "":
			add(r, "%s", r.Problem)
		case len(r.Addresses) == 0:
			add(r, "the target has no address")
		}
		if r.Alias != "" {
			add(r, "the target is an alias (CNAME) of %s, which is not allowed in SRV records; certificates and advertised URLs rarely contain the alias", r.Alias)
		}
		if seen[strings.ToLower(r.HostPort())] == 2 {
			add(r, "there is more than one record for it")
		}
		ports[r.Port] = append(ports[r.Port], r.Target)
	}
	if len(ports) > 1 {
		var each []string
		for _, port := range slices.Sorted(maps.Keys(ports)) {
			each = append(each, fmt.Sprintf("%d (%s)", port, strings.Join(ports[port], ", ")))
		}
		all = append(all, s.Name+": the ports differ: "+strings.Join(each, ", "))
	}
	return all
}

// mixedSchemes reports an audience with both https and http records.
func (d *Domain) mixedSchemes(of audience, why string) []string {
	var names []string
	for _, s := range d.Services {
		if s.For == of && len(s.Records) > 0 {
			names = append(names, s.Name)
		}
	}
	if len(names) < 2 {
		return nil
	}
	return []string{strings.Join(names, " and ") + ": schemes are mixed: " + why}
}

// unmatchedHosts reports hosts with records for peers or for clients only. A domain may
// have no records for peers at all: then the members find each other by their flags.
func (d *Domain) unmatchedHosts() []string {
	if !d.answered(peers) || !d.answered(clients) {
		return nil
	}
	ofPeers, ofClients := d.targets(peers), d.targets(clients)
	switch {
	case len(ofPeers) == 0 && len(ofClients) == 0:
		return []string{d.Name + ": there are neither records for peers (_etcd-server-ssl._tcp, _etcd-server._tcp) nor for clients (_etcd-client-ssl._tcp, _etcd-client._tcp)"}
	case len(ofClients) == 0:
		return []string{d.Name + ": there are records for peers, but none for clients (_etcd-client-ssl._tcp, _etcd-client._tcp)"}
	case len(ofPeers) == 0:
		return nil
	}
	var all []string
	for _, host := range slices.Sorted(maps.Keys(ofPeers)) {
		if !ofClients[host] {
			all = append(all, host+": it has a record for peers, but none for clients")
		}
	}
	for _, host := range slices.Sorted(maps.Keys(ofClients)) {
		if !ofPeers[host] {
			all = append(all, host+": it has a record for clients, but none for peers")
		}
	}
	return all
}

func (d *Domain) targets(of audience) map[string]bool {
	all := make(map[string]bool)
	for _, r := range d.records(of) {
		all[strings.ToLower(r.Target)] = true
	}
	return all
}

// unmatchedLibraries reports records for libraries whose target has no record for clients.
func (d *Domain) unmatchedLibraries() []string {
	hostPorts := make(map[string]bool)
	for _, r := range d.records(clients) {
		hostPorts[strings.ToLower(r.HostPort())] = true
	}
	if len(hostPorts) == 0 || !d.answered(clients) {
		return nil
	}
	var all []string
	for s, r := range d.records(libraries) {
		if !hostPorts[strings.ToLower(r.HostPort())] {
			all = append(all, fmt.Sprintf("%s: %s: no record for clients points to it", s.Name, r.HostPort()))
		}
	}
	return all
}
