package upstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"net"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// services are the SRV names under which etcd's members are published for clients, the
// preferred one first.
var services = []struct{ name, scheme string }{
	{"_etcd-client-ssl._tcp.", "https://"},
	{"_etcd-client._tcp.", "http://"},
}

// maxLookups bounds concurrent address lookups, so that a domain with many members does
// not flood the DNS server.
const maxLookups = 8

// Discovery is the result of [Discover].
type Discovery struct {
	// Endpoints are the endpoints that were found, the preferred first; at least one.
	Endpoints []Endpoint
	// Problems says which records are not used, or only with addresses of an earlier lookup,
	// and why.
	Problems []string
}

// Discover looks up the endpoints of a domain, the preferred first: those on this
// machine, then by priority, then by weight, using seed as the source of randomness. The
// same records and the same seed give the same order.
//
// If there are encrypted endpoints, the others are not looked up. They would be used
// whenever the encrypted ones cannot be reached, so an attacker who drops packets could
// force plaintext. For the same reason the second name is looked up only after DNS
// answered that the first does not exist. A DNS server that fails or is silent about the
// records ends the discovery.
//
// A record that is not usable, or whose target has no address, does not keep the others from
// being used. If the lookup of an address fails, that of known, the endpoints of the last
// discovery, is used.
//
// The endpoints hold the addresses from DNS, so that connections can be made while DNS is
// unavailable.
//
// DNS itself is trusted. An attacker who forges its answers chooses the hosts, and a
// certificate only proves the name from the answer.
func Discover(ctx context.Context, r *Resolver, domain string, seed maphash.Seed, known []Endpoint) (*Discovery, error) {
	var nothing []string
	for _, service := range services {
		question := service.name + domain
		records, err := r.Records(ctx, question)
		switch {
		case err != nil:
			return nil, err
		case records.None != "":
			nothing = append(nothing, "asked for "+question+": "+records.None)
			continue
		}
		members := make([]srvTarget, len(records.Usable))
		for i, record := range records.Usable {
			members[i] = targetOf(service.scheme, record)
		}
		problems, err := r.locate(ctx, members, known)
		if err != nil {
			return nil, err
		}
		d := &Discovery{Problems: append(records.Unusable, problems...)}
		members = slices.DeleteFunc(members, func(m srvTarget) bool { return m.at.address == "" })
		if len(members) == 0 {
			return nil, fmt.Errorf("asked for %s: no record is usable: %s", question, strings.Join(d.Problems, "; "))
		}
		d.Endpoints = preferenceOrder(members, seed)
		return d, nil
	}
	return nil, errors.New(strings.Join(nothing, "; "))
}

// targetOf returns the target of a record, without its addresses. DNS servers may change
// the case of a name between answers, which must not look like a change.
func targetOf(scheme string, record *net.SRV) srvTarget {
	host := strings.ToLower(strings.TrimSuffix(record.Target, "."))
	text := fmt.Sprintf("%s%s:%d", scheme, host, record.Port)
	return srvTarget{
		at:   Endpoint{network: "tcp", text: text, tls: scheme == "https://", host: host},
		port: record.Port, priority: record.Priority, weight: record.Weight,
	}
}

// locate sets the targets' addresses and which of them are local. A target whose name has
// no address keeps none. One whose lookup failed gets the address that it has in known; if
// all lookups failed, so does locate.
func (r *Resolver) locate(ctx context.Context, members []srvTarget, known []Endpoint) (problems []string, err error) {
	own, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("listing this machine's addresses: %w", err)
	}
	var lookups errgroup.Group
	lookups.SetLimit(maxLookups)
	failed := make([]error, len(members))
	for i := range members {
		m := &members[i]
		lookups.Go(func() error {
			addresses, err := r.addresses(ctx, m.at.host)
			if failed[i] = err; err != nil {
				addresses = knownAddresses(m.at, known)
			}
			for _, a := range addresses {
				m.local = m.local || isLocal(a, own)
			}
			m.at.address = joinAddresses(addresses, m.port)
			return nil
		})
	}
	_ = lookups.Wait() // none returns an error
	for i, m := range members {
		switch {
		case failed[i] != nil && m.at.address != "":
			problems = append(problems, failed[i].Error()+"; those of the last lookup are used")
		case failed[i] != nil:
			problems = append(problems, failed[i].Error())
		case m.at.address == "":
			problems = append(problems, m.at.host+" has no address")
		}
	}
	slices.Sort(problems)
	problems = slices.Compact(problems)
	if len(members) > 0 && !slices.Contains(failed, nil) {
		return nil, failed[0]
	}
	return problems, nil
}

// knownAddresses returns the addresses of an endpoint in an earlier discovery.
func knownAddresses(at Endpoint, known []Endpoint) (addresses []netip.Addr) {
	i := slices.IndexFunc(known, func(e Endpoint) bool { return e.text == at.text })
	if i < 0 {
		return nil
	}
	for text := range strings.FieldsSeq(known[i].address) {
		if address, err := netip.ParseAddrPort(text); err == nil {
			addresses = append(addresses, address.Addr())
		}
	}
	return addresses
}

// joinAddresses joins addresses in the order in which they are dialed. The family that
// the resolver put first comes first, because the resolver knows the routes. DNS servers
// rotate the addresses within a family, which must not look like a change.
func joinAddresses(addresses []netip.Addr, port uint16) string {
	texts := make([]string, len(addresses))
	if len(addresses) > 0 {
		first := addresses[0].Is4()
		slices.SortFunc(addresses, func(a, b netip.Addr) int {
			switch {
			case a.Is4() == b.Is4():
				return a.Compare(b)
			case a.Is4() == first:
				return -1
			}
			return 1
		})
	}
	for i, a := range addresses {
		texts[i] = netip.AddrPortFrom(a, port).String()
	}
	return strings.Join(texts, " ")
}

// isLocal reports whether an address is one of this machine's. All loopback addresses are:
// Debian maps a host's own name to 127.0.1.1.
func isLocal(a netip.Addr, own []net.Addr) bool {
	return a.IsLoopback() || slices.ContainsFunc(own, func(b net.Addr) bool {
		prefix, err := netip.ParsePrefix(b.String())
		return err == nil && prefix.Addr().Unmap() == a
	})
}

// srvTarget is one endpoint found in DNS.
type srvTarget struct {
	at                     Endpoint
	port, priority, weight uint16
	local                  bool
}

// preferenceOrder returns the endpoints in the order of preference. An endpoint that is
// named twice keeps its better position.
func preferenceOrder(members []srvTarget, seed maphash.Seed) []Endpoint {
	slices.SortFunc(members, func(a, b srvTarget) int {
		if a.local != b.local {
			// The local member comes first: it is the nearest, and it fails together with
			// this machine.
			if a.local {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(a.rank(seed), b.rank(seed)), cmp.Compare(a.at.text, b.at.text))
	})
	var endpoints []Endpoint
	for _, m := range members {
		if !slices.Contains(endpoints, m.at) {
			endpoints = append(endpoints, m.at)
		}
	}
	return endpoints
}

// rank returns the target's rank in the choice by weight of RFC 2782; the lowest comes
// first. Exponentially distributed ranks whose rate is the weight give each order the
// same probability as the RFC's repeated draw. A rank depends only on its target and the
// seed, so the order is stable and a target that is added or removed does not reorder
// the others.
func (m *srvTarget) rank(seed maphash.Seed) float64 {
	// Above 0 and below 1, from the 53 bits that a float64 can hold.
	uniform := (float64(maphash.String(seed, m.at.text)>>11) + 0.5) / (1 << 53)
	// A weight of 0 has "a very small chance"; among equals it has an equal one.
	return -math.Log(uniform) / max(float64(m.weight), 0.01)
}
