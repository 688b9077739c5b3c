package cluster

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"etcd-tlsproxy/proxy/upstream"
)

// Domain holds the SRV records of a cluster.
type Domain struct {
	Name     string    `json:"domain"`
	Services []Service `json:"services"`
}

// Service holds the records of one name.
type Service struct {
	// Name is the name of the query.
	Name string `json:"name"`
	// For says who queries the name.
	For audience `json:"for"`
	// Scheme is the scheme with which they connect to the targets.
	Scheme  string   `json:"scheme"`
	Records []Record `json:"records"`
	// Problem says why DNS gave no answer. Nothing is concluded from a missing answer.
	Problem string `json:"problem,omitempty"`
	// Unusable says why there are records that clients and members leave out.
	Unusable []string `json:"unusable,omitempty"`
}

// Record is one SRV record.
type Record struct {
	Priority uint16 `json:"priority"`
	Weight   uint16 `json:"weight"`
	Port     uint16 `json:"port"`
	// Target has the spelling of the DNS record: clients compare it byte by byte with
	// the URLs that members advertise.
	Target    string   `json:"target"`
	Addresses []string `json:"addresses"`
	// Alias is the name that a CNAME of the target points to.
	Alias string `json:"alias,omitempty"`
	// Problem says why the addresses are not known.
	Problem string `json:"problem,omitempty"`
}

type audience string

const (
	peers     audience = "peers"
	clients   audience = "clients"
	libraries audience = "libraries"
)

// services lists all names that etcd, its clients and their libraries query. python-etcd
// queries the last two after those of the clients. MediaWiki queries the last one only,
// with a scheme of its own.
func services(domain string) []Service {
	all := []Service{
		{Name: "_etcd-server-ssl", For: peers, Scheme: "https"},
		{Name: "_etcd-server", For: peers, Scheme: "http"},
		{Name: "_etcd-client-ssl", For: clients, Scheme: "https"},
		{Name: "_etcd-client", For: clients, Scheme: "http"},
		{Name: "_etcd-ssl", For: libraries, Scheme: "https"},
		{Name: "_etcd", For: libraries, Scheme: "http"},
	}
	for i := range all {
		all[i].Name += "._tcp." + domain
		all[i].Records = []Record{}
	}
	return all
}

// maxQueries bounds the concurrent DNS queries.
const maxQueries = 8

// LookUp queries all records of a domain. A query that fails is recorded as the Problem
// of its service or record.
func LookUp(ctx context.Context, r *upstream.Resolver, domain string) *Domain {
	d := &Domain{Name: domain, Services: services(domain)}
	var queries errgroup.Group
	queries.SetLimit(maxQueries)
	for i := range d.Services {
		queries.Go(func() error {
			d.Services[i].lookUp(ctx, r)
			return nil
		})
	}
	_ = queries.Wait() // none returns an error
	hosts := &hosts{known: make(map[string]*host)}
	for _, s := range d.Services {
		for i := range s.Records {
			record := &s.Records[i]
			queries.Go(func() error {
				h := hosts.lookUp(ctx, r, strings.ToLower(record.Target))
				record.Addresses, record.Alias, record.Problem = h.addresses, h.alias, h.problem
				return nil
			})
		}
	}
	_ = queries.Wait()
	return d
}

func (s *Service) lookUp(ctx context.Context, r *upstream.Resolver) {
	found, err := r.Records(ctx, s.Name)
	if err != nil {
		s.Problem = err.Error()
		return
	}
	s.Unusable = found.Unusable
	for _, srv := range found.Usable {
		s.Records = append(s.Records, Record{Priority: srv.Priority, Weight: srv.Weight, Port: srv.Port, Target: strings.TrimSuffix(srv.Target, ".")})
	}
	// The resolver shuffles records of one priority; a report has a fixed order.
	slices.SortFunc(s.Records, func(a, b Record) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(b.Weight, a.Weight), strings.Compare(a.Target, b.Target), cmp.Compare(a.Port, b.Port))
	})
}

// hosts caches the lookups of hosts, which several services share.
type hosts struct {
	mu    sync.Mutex
	known map[string]*host
}

type host struct {
	once           sync.Once
	addresses      []string
	alias, problem string
}

func (hs *hosts) lookUp(ctx context.Context, r *upstream.Resolver, name string) *host {
	hs.mu.Lock()
	h := hs.known[name]
	if h == nil {
		h = &host{addresses: []string{}}
		hs.known[name] = h
	}
	hs.mu.Unlock()
	h.once.Do(func() { h.lookUp(ctx, r, name) })
	return h
}

func (h *host) lookUp(ctx context.Context, r *upstream.Resolver, name string) {
	addresses, err := r.Addresses(ctx, name)
	if err == nil {
		h.alias, err = r.Alias(ctx, name)
	}
	if err != nil {
		h.problem = err.Error()
	}
	for _, a := range addresses {
		h.addresses = append(h.addresses, a.String())
	}
}

// HostPort is the target and port, in the spelling of the record.
func (r *Record) HostPort() string { return net.JoinHostPort(r.Target, fmt.Sprint(r.Port)) }

// URL is the URL that users of the service make of a record.
func (s *Service) URL(r *Record) string { return s.Scheme + "://" + r.HostPort() }

// records iterates over the records of an audience, with their services.
func (d *Domain) records(of audience) func(yield func(*Service, *Record) bool) {
	return func(yield func(*Service, *Record) bool) {
		for i := range d.Services {
			s := &d.Services[i]
			for j := range s.Records {
				if s.For == of && !yield(s, &s.Records[j]) {
					return
				}
			}
		}
	}
}

// answered reports whether DNS answered all queries of an audience.
func (d *Domain) answered(of audience) bool {
	return !slices.ContainsFunc(d.Services, func(s Service) bool { return s.For == of && s.Problem != "" })
}

// Peers returns the members of the initial cluster that the records describe.
func (d *Domain) Peers() []Peer {
	var all []Peer
	var targets []string
	for s, r := range d.records(peers) {
		all = append(all, Peer{URL: s.Scheme + "://" + strings.ToLower(r.HostPort())})
		targets = append(targets, strings.ToLower(r.Target))
	}
	for i, name := range shortNames(targets) {
		all[i].Name = name
	}
	return all
}

// PeerWarnings says which members Peers lacks, and which of them cannot be found in DNS now.
func (d *Domain) PeerWarnings() []string {
	var all []string
	for i := range d.Services {
		if s := &d.Services[i]; s.For == peers {
			for _, why := range s.Unusable {
				all = append(all, s.Name+": "+why+"; it is left out, here and by etcd")
			}
		}
	}
	for s, r := range d.records(peers) {
		if len(r.Addresses) == 0 {
			all = append(all, fmt.Sprintf("%s: %s: the target has no address; etcd leaves it out while that is so", s.Name, r.HostPort()))
		}
	}
	return all
}

// shortNames returns the first labels of the hosts. Hosts that share a label keep their
// full name.
func shortNames(hosts []string) []string {
	count := make(map[string]int)
	for _, h := range hosts {
		count[firstLabel(h)]++
	}
	names := make([]string, len(hosts))
	for i, h := range hosts {
		names[i] = firstLabel(h)
		if count[names[i]] > 1 {
			names[i] = h
		}
	}
	return names
}

// firstLabel returns the first label of a name, or an IP address unchanged.
func firstLabel(host string) string {
	if net.ParseIP(host) != nil {
		return host
	}
	label, _, _ := strings.Cut(host, ".")
	return label
}
