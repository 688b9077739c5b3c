package config

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
)

// checkAddress checks the form of an address to listen on.
func checkAddress(errs *Errors, address string, key ...string) {
	host, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		errs.Add(fmt.Sprintf("%q is not a valid address", address),
			`write host:port, or :port for all addresses; an IPv6 host is written in brackets, as in "[::1]:4001"`, key...)
		return
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" && (!hostName.MatchString(host) || onlyDigits.MatchString(host)) {
		errs.Add(fmt.Sprintf("%q is neither an IP address nor the name of a host", host),
			`write host:port with an address of this machine, as in "192.0.2.1:4001", or :port for all addresses`, key...)
	}
}

var (
	hostName = regexp.MustCompile(`^([A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?\.)*[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?\.?$`)
	// onlyDigits matches a mistyped IPv4 address, which the resolver would look up.
	onlyDigits = regexp.MustCompile(`^[0-9.]+$`)
)

// balancers returns the networks of proxy_protocol.from.
func (c *Parsed) balancers(errs *Errors) (networks []netip.Prefix) {
	for _, text := range c.ProxyProtocol.From {
		network, wrong, hint := parseNetwork(text)
		switch {
		case wrong != "":
		case slices.Contains(networks, network):
			wrong, hint = fmt.Sprintf("%s is listed twice", network), "remove one"
		default:
			networks = append(networks, network)
			continue
		}
		errs.Add(wrong, hint, "proxy_protocol", "from")
	}
	return networks
}

// parseNetwork parses an address or a network, or says what is wrong with it.
func parseNetwork(text string) (network netip.Prefix, wrong, hint string) {
	network, err := netip.ParsePrefix(text)
	if err != nil {
		addr, err := netip.ParseAddr(text)
		if err != nil || addr.Zone() != "" {
			return netip.Prefix{}, fmt.Sprintf("%q is neither an IP address nor a network", text), `write an address without a zone, or a network with its length, as in "192.0.2.10" or "2001:db8:5::/64"`
		}
		network = netip.PrefixFrom(addr, addr.BitLen())
	}
	switch {
	case network.Addr().Is4In6():
		return netip.Prefix{}, fmt.Sprintf("%s has IPv4 addresses in the form of IPv6", text), `write them as IPv4, as in "192.0.2.0/24"`
	case network.Bits() == 0:
		return netip.Prefix{}, fmt.Sprintf("%s stands for all addresses, so that every client could name another", text), "list the addresses of the load balancers"
	case network != network.Masked():
		return netip.Prefix{}, fmt.Sprintf("%s has bits behind its length", text), fmt.Sprintf("write %q for the network, or %q for the address", network.Masked(), network.Addr())
	}
	return network, "", ""
}
