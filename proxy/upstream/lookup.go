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

// Records returns the SRV records of a name such as _etcd-client._tcp.example.org, or nil
// if DNS reports that there are none. If it returns an error, it is unknown whether there
// are any.
func (r *Resolver) Records(ctx context.Context, name string) ([]*net.SRV, error) {
	// The trailing dot disables the search domains of resolv.conf.
	_, found, err := r.dns.LookupSRV(ctx, "", "", name+".")
	switch {
	case isNotFound(err):
		return nil, nil
	case err != nil:
		return nil, r.failure(name, err)
	}
	return found, nil
}

// Addresses returns the addresses of a host in ascending order, or none if DNS reports
// that it has none.
func (r *Resolver) Addresses(ctx context.Context, host string) ([]netip.Addr, error) {
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
	slices.SortFunc(found, netip.Addr.Compare)
	return slices.Compact(found), nil
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
