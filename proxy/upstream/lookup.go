package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// Records are the SRV records of one name.
type Records struct {
	// Usable are the records of targets to which connections can be made.
	Usable []*net.SRV
	// Unusable says for each other record, or once for several, why it is not usable.
	Unusable []string
	// None says why there are no records, if DNS reports that, in the words of the DNS
	// server. It is "" otherwise.
	None string
}

// Records looks up the SRV records of a name such as _etcd-client._tcp.example.org. If it
// returns an error, it is unknown whether there are any.
func (r *Resolver) Records(ctx context.Context, name string) (*Records, error) {
	// The trailing dot disables the search domains of resolv.conf.
	_, found, err := r.dns.LookupSRV(ctx, "", "", name+".")
	records := &Records{}
	switch {
	case isNotFound(err):
		records.None = r.answer(err)
		return records, nil
	case err != nil && found == nil:
		return nil, r.failure(name, err)
	case err != nil:
		records.Unusable = append(records.Unusable, "a target is not a valid name") // which net has removed
	case len(found) == 1 && found[0].Target == ".":
		records.None = "the domain states that it has no such service"
		return records, nil
	}
	for _, srv := range found {
		switch host := strings.TrimSuffix(srv.Target, "."); {
		case host == "":
			records.Unusable = append(records.Unusable, "a record names no host")
		case srv.Port == 0:
			records.Unusable = append(records.Unusable, "the record of "+host+" names no port")
		default:
			records.Usable = append(records.Usable, srv)
		}
	}
	slices.Sort(records.Unusable) // DNS servers and resolvers shuffle records
	return records, nil
}

// Addresses returns the addresses of a host in ascending order, or none if DNS reports
// that it has none.
func (r *Resolver) Addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	found, err := r.addresses(ctx, host)
	slices.SortFunc(found, netip.Addr.Compare)
	return slices.Compact(found), err
}

// addresses is like Addresses, in the order of the resolver.
func (r *Resolver) addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	found, err := r.dns.LookupNetIP(ctx, "ip", host+".")
	switch {
	case isNotFound(err):
		return nil, nil
	case err != nil:
		return nil, r.failure("the addresses of "+host, err)
	}
	for i, a := range found {
		found[i] = a.Unmap()
	}
	return found, nil
}

// Alias returns the target of a host's CNAME record, or "" if it has none.
func (r *Resolver) Alias(ctx context.Context, host string) (string, error) {
	name, err := r.dns.LookupCNAME(ctx, host+".")
	switch {
	case isNotFound(err):
		return "", nil
	case err != nil:
		return "", r.failure("the name of "+host, err)
	}
	if name = strings.TrimSuffix(name, "."); strings.EqualFold(name, host) {
		return "", nil
	}
	return name, nil
}

func (r *Resolver) failure(question string, err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("asked for %s: %s", question, r.answer(err))
}
