package siteimport

import (
	"net"
	"path"
	"slices"
	"strings"
)

// absolute is a path as nginx reads it: relative ones begin at its own folder.
func absolute(name string) string {
	if name == "" || path.IsAbs(name) {
		return name
	}
	return path.Join("/etc/nginx", name)
}

// listen takes the port. Two lines with one port, for IPv4 and IPv6, are one address.
func (r *nginxReader) setListen(d *directive) error {
	if len(d.args()) == 0 {
		return r.fail(d, "listen has no address")
	}
	host, port := "", d.args()[0]
	if strings.Contains(port, ":") {
		var err error
		if host, port, err = net.SplitHostPort(port); err != nil {
			return r.fail(d, "listen %s is no address", d.args()[0])
		}
	}
	if strings.Trim(port, "0123456789") != "" {
		return r.fail(d, "listen %s is no address with a port", d.args()[0])
	}
	all := host == "" || host == "*" || host == "::" || host == "0.0.0.0"
	if all {
		host = ""
	}
	address := net.JoinHostPort(host, port)
	switch {
	case r.site.Listen == "", r.site.Listen == address:
		r.site.Listen = address
	default:
		return r.fail(d, "it listens at %s as well as at %s (hint: leave one)", address, r.site.Listen)
	}
	return nil
}

// endpoints are the servers that the keys are passed to, those for emergencies last.
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
			continue // keepalive and the like: pooling is the proxy's own
		}
		if len(d.args()) == 0 {
			return r.fail(d, "server has no address")
		}
		address := d.args()[0]
		endpoint := scheme + "://" + address
		if strings.HasPrefix(address, "unix:") {
			if scheme != "http" {
				return r.fail(d, "TLS over a unix socket is not served")
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

// pass notes where requests go: all to one place, as they are. A path behind the place
// replaces the location's own, so it must be the same.
func (r *nginxReader) setTarget(d *directive, kind, path, passed string) error {
	scheme, rest, found := strings.Cut(passed, "://")
	host, uri, _ := strings.Cut(rest, "/")
	same := uri == "" && host == rest || kind != "~" && "/"+uri == path
	switch {
	case !found || scheme != "http" && scheme != "https" || strings.Contains(rest, "$"):
		return r.fail(d, "proxy_pass %q is not understood (hint: it should be a scheme and a server or upstream)", passed)
	case !same:
		return r.fail(d, "proxy_pass %q is of another path than its location", passed)
	case r.passed != "" && r.passed != scheme+"://"+host:
		return r.fail(d, "requests are passed to %s and to %s, which is not taken over", r.passed, passed)
	}
	r.passed = scheme + "://" + host
	return nil
}
