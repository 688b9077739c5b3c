package siteimport

import (
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
)

// harmlessListen are parameters of listen that are about nginx's sockets only, or that are looked
// at elsewhere.
var harmlessListen = []string{"ssl", "http2", "default_server", "default", "reuseport", "deferred", "bind", "proxy_protocol"}

// setListen reads a listen directive. Two directives with the same port, for IPv4 and
// IPv6, are one address.
func (r *nginxReader) setListen(d *directive) error {
	if len(d.args()) == 0 {
		return r.fail(d, "listen has no address")
	}
	host, port, ok := splitListen(d.args()[0])
	switch {
	case !ok:
		return r.fail(d, "listen %s is not a valid address with a port", d.args()[0])
	case port.first != port.last:
		return r.fail(d, "listen %s is for several ports, and the proxy has one (hint: write the port that clients use)", d.args()[0])
	}
	for _, parameter := range d.args()[1:] {
		name, _, _ := strings.Cut(parameter, "=")
		sockets := []string{"backlog", "rcvbuf", "sndbuf", "ipv6only", "so_keepalive", "fastopen", "setfib", "accept_filter"}
		if !slices.Contains(harmlessListen, parameter) && !slices.Contains(sockets, name) {
			return r.fail(d, "listen with %s is not supported", parameter)
		}
		r.site.HTTP2 = r.site.HTTP2 || parameter == "http2"
	}
	if isEverywhere(host) {
		r.site.IPv6 = r.site.IPv6 || host == "::"
		r.site.IPv4 = r.site.IPv4 || host != "::" || slices.Contains(d.args(), "ipv6only=off")
		host = ""
	}
	address := net.JoinHostPort(host, strconv.Itoa(port.first))
	switch r.site.Listen {
	case "", address:
		r.site.Listen = address
	default:
		return r.fail(d, "the site listens at %s as well as at %s (hint: remove one of them)", address, r.site.Listen)
	}
	return nil
}

// isEverywhere reports whether the host of a listen directive stands for all addresses of the
// machine.
func isEverywhere(host string) bool {
	return host == "" || host == "*" || host == "::" || host == "0.0.0.0"
}

// portRange are the ports of a listen directive, from the first to the last.
type portRange struct{ first, last int }

func (p portRange) overlaps(other portRange) bool {
	return p.first <= other.last && other.first <= p.last
}

// parsePorts reads a port, or a range such as 4001-4003. As for nginx, zeros may precede a
// number.
func parsePorts(text string) (p portRange, ok bool) {
	first, last, isRange := strings.Cut(text, "-")
	if !isRange {
		last = first
	}
	for _, number := range []string{first, last} {
		if number == "" || strings.Trim(number, "0123456789") != "" {
			return p, false
		}
	}
	var errs [2]error
	p.first, errs[0] = strconv.Atoi(first)
	p.last, errs[1] = strconv.Atoi(last)
	return p, errors.Join(errs[:]...) == nil && 0 < p.first && p.first <= p.last && p.last < 1<<16
}

// splitListen splits the address of a listen directive.
func splitListen(address string) (host string, port portRange, ok bool) {
	if !strings.Contains(address, ":") {
		port, ok = parsePorts(address)
		return "", port, ok
	}
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", port, false
	}
	port, ok = parsePorts(text)
	return host, port, ok
}

// ports returns the ports of a server. One without listen, or with an address alone, is on
// port 80.
func ports(server *directive) []portRange {
	standard := portRange{80, 80}
	var list []portRange
	for _, d := range server.block {
		if d.name() == "listen" && len(d.args()) > 0 {
			if _, port, ok := splitListen(d.args()[0]); ok {
				list = append(list, port)
			} else {
				list = append(list, standard)
			}
		}
	}
	if list == nil {
		list = []portRange{standard}
	}
	return list
}

// checkChain records a conflict for each server of this nginx that requests are passed to.
// What it refuses is lost once nginx is stopped and etcd itself is the endpoint.
func (r *nginxReader) checkChain(server *directive) {
	for _, other := range append(slices.Clip(r.servers), r.streams...) {
		if other == server {
			continue
		}
		for _, endpoint := range r.site.Endpoints {
			if listensAt(other, endpoint) {
				r.site.Conflicts = append(r.site.Conflicts, "requests are passed to "+endpoint+". On this machine that is the server at "+other.place()+
					", whose rules were not imported (hint: add its rules to [acls], and set upstream.endpoints to the addresses of etcd)")
			}
		}
	}
}

// listensAt reports whether a server listens at an endpoint on this machine.
func listensAt(server *directive, endpoint string) bool {
	scheme, address, _ := strings.Cut(endpoint, "://")
	host, port, _ := splitListen(address)
	return slices.ContainsFunc(server.block, func(d *directive) bool {
		if d.name() != "listen" || len(d.args()) == 0 {
			return false
		}
		at := d.args()[0]
		if scheme == "unix" {
			return at == "unix:"+address
		}
		// A port alone, or one at all addresses, is at each of the machine. The machine's
		// own names are not known here.
		listening, listeningPort, ok := splitListen(at)
		if isEverywhere(listening) {
			listening = host
		}
		local := func(name string) string {
			if name == "localhost" {
				return "127.0.0.1"
			}
			return name
		}
		return ok && listeningPort.overlaps(port) && local(listening) == local(host)
	})
}
