package siteimport

import (
	"net/netip"
	"slices"
)

// realIP holds the directives about the addresses of clients behind load balancers.
type realIP struct {
	from, recursive []*directive
	header          *directive
}

// add adds a directive of a block, and reports whether it is one of these.
func (r *realIP) add(d *directive) bool {
	switch d.name() {
	case "set_real_ip_from":
		r.from = append(r.from, d)
	case "real_ip_recursive":
		r.recursive = append(r.recursive, d)
	case "real_ip_header":
		r.header = d
	default:
		return false
	}
	return true
}

// within returns the directives in force in a block inside of another: its own replace those
// outside.
func (r *realIP) within(outer *realIP) *realIP {
	own := *r
	if own.from == nil {
		own.from = outer.from
	}
	if own.header == nil {
		own.header = outer.header
	}
	if own.recursive == nil {
		own.recursive = outer.recursive
	}
	return &own
}

// setBalancers sets the load balancers whose headers of the PROXY protocol count. Without the
// protocol, addresses of clients come from fields of requests, which this proxy never believes.
func (r *nginxReader) setBalancers(real *realIP, listens []*directive) error {
	announced := filter(listens, func(d *directive) bool { return slices.Contains(d.args(), "proxy_protocol") })
	if len(announced) == 0 {
		for _, d := range slices.Concat(real.from, real.recursive) {
			r.check(d)
		}
		if real.header != nil {
			r.check(real.header)
		}
		return nil
	}
	d := announced[0]
	switch {
	case len(announced) < len(listens):
		return r.fail(d, "listen with proxy_protocol is not supported beside one without it (hint: add it to both)")
	case real.header == nil || !slices.Equal(real.header.args(), []string{"proxy_protocol"}) || len(real.from) == 0:
		return r.fail(d, "listen with proxy_protocol is not supported without real_ip_header proxy_protocol and set_real_ip_from: here the client that a header names always counts, and only load balancers that are listed can name one (hint: add both)")
	}
	for _, d := range real.from {
		network, ok := balancersOf(d.args())
		if !ok {
			return r.fail(d, "set_real_ip_from is supported with an address or a network that is not that of all addresses (hint: list the load balancers)")
		}
		if !slices.Contains(r.site.Balancers, network) {
			r.site.Balancers = append(r.site.Balancers, network)
		}
	}
	return nil
}

// balancersOf returns the address or the network of a directive in the form of our
// configuration. nginx ignores the bits behind the length of a network.
func balancersOf(args []string) (string, bool) {
	if len(args) != 1 {
		return "", false
	}
	if addr, err := netip.ParseAddr(args[0]); err == nil {
		return addr.String(), addr.Zone() == "" && !addr.Is4In6()
	}
	network, err := netip.ParsePrefix(args[0])
	return network.Masked().String(), err == nil && network.Bits() > 0 && !network.Addr().Is4In6()
}
