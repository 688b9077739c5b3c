package config

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
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
