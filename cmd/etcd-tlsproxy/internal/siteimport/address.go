package siteimport

import (
	"net"
	"slices"
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
	if !ok {
		return r.fail(d, "listen %s is not a valid address with a port", d.args()[0])
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
	address := net.JoinHostPort(host, port)
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

// splitListen splits the address of a listen directive.
func splitListen(address string) (host, port string, ok bool) {
	if !strings.Contains(address, ":") {
		return "", address, address != "" && strings.Trim(address, "0123456789") == ""
	}
	host, port, err := net.SplitHostPort(address)
	return host, port, err == nil && port != "" && strings.Trim(port, "0123456789") == ""
}

// ports returns the ports of a server. One without listen, or with an address alone, is on
// port 80.
func ports(server *directive) []string {
	var list []string
	for _, d := range server.block {
		if d.name() == "listen" && len(d.args()) > 0 {
			if _, port, ok := splitListen(d.args()[0]); ok {
				list = append(list, port)
			} else {
				list = append(list, "80")
			}
		}
	}
	if list == nil {
		list = []string{"80"}
	}
	return list
}

// setEndpoints sets the servers that requests for keys are passed to, backups last.
func (r *nginxReader) setEndpoints(server *directive) error {
	scheme, name, _ := strings.Cut(r.passed, "://")
	upstream := r.upstreams[name]
	if upstream == nil {
		r.site.Endpoints = []string{r.passed}
		return nil
	}
	var backup []string
	for _, d := range upstream.block {
		if d.name() != "server" {
			continue // keepalive and similar: the proxy has its own pool
		}
		if len(d.args()) == 0 {
			return r.fail(d, "server has no address")
		}
		address := d.args()[0]
		endpoint := scheme + "://" + address
		if strings.HasPrefix(address, "unix:") {
			if scheme != "http" {
				return r.fail(d, "TLS over a Unix socket is not supported")
			}
			endpoint = "unix://" + strings.TrimPrefix(address, "unix:")
		} else if !strings.Contains(address, ":") {
			return r.fail(d, "server %s has no port", address)
		}
		switch {
		case slices.Contains(d.args(), "down"):
		case slices.Contains(d.args(), "backup"):
			backup = append(backup, endpoint)
		default:
			r.site.Endpoints = append(r.site.Endpoints, endpoint)
		}
	}
	r.site.Endpoints = append(r.site.Endpoints, backup...)
	if len(r.site.Endpoints) == 0 {
		return r.fail(server, "upstream %s has no server", name)
	}
	return nil
}

// checkChain records a conflict for each server of this nginx that requests are passed to.
// What it refuses is lost once nginx is stopped and etcd itself is the endpoint.
func (r *nginxReader) checkChain(server *directive) {
	for _, other := range r.servers {
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
		return ok && listeningPort == port && local(listening) == local(host)
	})
}

// parseTarget returns the scheme and the host of a proxy_pass. A path in it replaces the
// location's own, so it must be the same.
func (r *nginxReader) parseTarget(d *directive, l *location) (string, error) {
	passed := d.args()[0]
	scheme, rest, found := strings.Cut(passed, "://")
	host, uri, _ := strings.Cut(rest, "/")
	same := uri == "" && host == rest || l.kind != "~" && "/"+uri == l.path
	switch {
	case !found || scheme != "http" && scheme != "https" || strings.Contains(rest, "$"):
		return "", r.fail(d, "proxy_pass %q is not supported (hint: it must be a scheme and a server or upstream)", passed)
	case !same:
		return "", r.fail(d, "proxy_pass %q has another path than its location (hint: the proxy does not rewrite paths; write a location for the path that etcd gets, which clients must use)", passed)
	}
	return scheme + "://" + host, nil
}

// setTarget records where requests for keys are passed to. All must go to one server.
func (r *nginxReader) setTarget(d *directive, passed string) error {
	switch {
	case passed == "":
		return r.fail(d, "the location does not pass requests on, which is not supported for keys (hint: pass them on for the users who need them)")
	case r.passed != "" && r.passed != passed:
		return r.fail(d, "requests are passed to both %s and %s, which is not supported (hint: the proxy is for one cluster; write one site for each)", r.passed, passed)
	}
	r.passed = passed
	return nil
}

// proxyTLS lists the directives of TLS to etcd that have settings in this proxy.
var proxyTLS = []string{"proxy_ssl_verify", "proxy_ssl_trusted_certificate", "proxy_ssl_name", "proxy_ssl_certificate", "proxy_ssl_certificate_key"}

// setProxyTLS records a setting of TLS to etcd. The proxy has one connection to etcd, so
// all locations must agree.
func (r *nginxReader) setProxyTLS(d *directive) error {
	if len(d.args()) != 1 || strings.Contains(d.args()[0], "$") {
		return r.fail(d, "%s should have one value, without variables", d.name())
	}
	value := d.args()[0]
	switch d.name() {
	case "proxy_ssl_trusted_certificate", "proxy_ssl_certificate", "proxy_ssl_certificate_key":
		if value != "" { // nginx takes "" for none
			value = r.absolute(d)
		}
	}
	if before, twice := r.proxyTLS[d.name()]; twice && before != value {
		return r.fail(d, "%s has two values, %s and %s, which is not supported", d.name(), before, value)
	}
	r.proxyTLS[d.name()] = value
	return nil
}

// setProxyTLS sets how etcd's certificate is verified, as nginx did, and the certificate that
// etcd is shown.
func (s *Site) setProxyTLS(settings map[string]string, passed string) {
	s.ProxyCertificate, s.ProxyKey = settings["proxy_ssl_certificate"], settings["proxy_ssl_certificate_key"]
	if settings["proxy_ssl_verify"] != "on" {
		return
	}
	s.Verifies, s.CA, s.ServerName = true, settings["proxy_ssl_trusted_certificate"], settings["proxy_ssl_name"]
	if s.ServerName == "" {
		_, host, _ := strings.Cut(passed, "://")
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		s.ServerName = host
	}
}
