package upstream

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"net"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// services are the records that etcd's members have for their clients, those
// that win first.
var services = []struct{ name, scheme string }{
	{"_etcd-client-ssl._tcp.", "https://"},
	{"_etcd-client._tcp.", "http://"},
}

// mostLookups bounds the addresses asked for at a time, so that a domain with
// many members is no flood of questions.
const maxLookups = 8

// Discover asks DNS for the endpoints of a domain, the preferred first: those on
// this machine, then by priority, then by weight, with draw as the die. The same
// records and the same draw make the same order.
//
// If there are encrypted endpoints, the others are not even asked for. Mixed in,
// they would take over when the encrypted ones cannot be reached, and a man in the
// middle who drops packets could choose plaintext. For the same reason only a
// clear no leads from one question to the next: a DNS server that fails or is
// silent ends the discovery.
//
// The endpoints hold the addresses that DNS gave, so that connections are made
// while DNS is away.
//
// DNS itself is trusted. Who can forge its answers chooses the hosts, and a
// certificate proves no more than the name that the answer gave.
func Discover(ctx context.Context, r *Resolver, domain string, draw maphash.Seed) ([]Endpoint, error) {
	var nothing []string
	for _, service := range services {
		question := service.name + domain
		// The dot at its end keeps the search domains of resolv.conf out.
		_, found, err := r.dns.LookupSRV(ctx, "", "", question+".")
		switch {
		case isNotFound(err):
			nothing = append(nothing, "asked for "+question+": "+r.answer(err))
			continue
		case err != nil:
			return nil, fmt.Errorf("asked for %s: %s", question, r.answer(err))
		case len(found) == 1 && found[0].Target == ".":
			nothing = append(nothing, "asked for "+question+": the domain says that it has none")
			continue
		}
		members := make([]srvTarget, len(found))
		for i, record := range found {
			if record.Target == "." || record.Port == 0 {
				return nil, fmt.Errorf("asked for %s: a record names no host or no port", question)
			}
			members[i] = targetOf(service.scheme, record)
		}
		if err := r.locate(ctx, members); err != nil {
			return nil, err
		}
		members = slices.DeleteFunc(members, func(m srvTarget) bool { return m.at.address == "" })
		if len(members) == 0 {
			return nil, fmt.Errorf("asked for %s: no target of its records has an address", question)
		}
		return preferenceOrder(members, draw), nil
	}
	return nil, errors.New(strings.Join(nothing, "; "))
}

// discovered is the endpoint of a record, without its addresses. DNS servers may
// change a name's case from answer to answer, which must not look like a change.
func targetOf(scheme string, record *net.SRV) srvTarget {
	host := strings.ToLower(strings.TrimSuffix(record.Target, "."))
	text := fmt.Sprintf("%s%s:%d", scheme, host, record.Port)
	return srvTarget{
		at:   Endpoint{network: "tcp", text: text, tls: scheme == "https://", host: host},
		port: record.Port, priority: record.Priority, weight: record.Weight,
	}
}

// locate finds the members' addresses, and which are on this machine. A member
// whose name has no address keeps none; if that cannot be known, nothing is.
func (r *Resolver) locate(ctx context.Context, members []srvTarget) error {
	own, err := net.InterfaceAddrs()
	if err != nil {
		return fmt.Errorf("listing this machine's addresses: %w", err)
	}
	lookups, ctx := errgroup.WithContext(ctx)
	lookups.SetLimit(maxLookups)
	for i := range members {
		m := &members[i]
		lookups.Go(func() error {
			addresses, err := r.dns.LookupNetIP(ctx, "ip", m.at.host+".")
			if err != nil && !isNotFound(err) {
				return fmt.Errorf("asked for the addresses of %s: %s", m.at.host, r.answer(err))
			}
			for i, a := range addresses {
				addresses[i] = a.Unmap()
				m.local = m.local || isLocal(addresses[i], own)
			}
			m.at.address = joinAddresses(addresses, m.port)
			return nil
		})
	}
	return lookups.Wait()
}

// inTurn joins addresses in the order in which they are dialled: first the kind
// that the resolver has put first, because it knows the routes. DNS servers turn
// the order of one kind round and round, which must not look like a change.
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

// isOwn counts all loopback addresses: Debian gives a host's own name 127.0.1.1.
func isLocal(a netip.Addr, own []net.Addr) bool {
	return a.IsLoopback() || slices.ContainsFunc(own, func(b net.Addr) bool {
		prefix, err := netip.ParsePrefix(b.String())
		return err == nil && prefix.Addr().Unmap() == a
	})
}
