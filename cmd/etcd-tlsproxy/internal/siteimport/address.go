package siteimport

import (
	"net"
	"path"
	"slices"
	"strings"
)

// absolute returns a path as nginx reads it: relative to nginx's own folder.
func absolute(name string) string {
	if name == "" || path.IsAbs(name) {
		return name
	}
	return path.Join("/etc/nginx", name)
}

// setListen reads a listen directive. Two directives with the same port, for IPv4 and
// IPv6, are one address.
func (r *nginxReader) setListen(d *directive) error {
	if len(d.args()) == 0 {
		return r.fail(d, "listen has no address")
	}
	host, port := "", d.args()[0]
	if strings.Contains(port, ":") {
		var err error
		if host, port, err = net.SplitHostPort(port); err != nil {
			return r.fail(d, "listen %s is not a valid address", d.args()[0])
		}
	}
	if strings.Trim(port, "0123456789") != "" {
		return r.fail(d, "listen %s is not a valid address with a port", d.args()[0])
	}
	all := host == "" || host == "*" || host == "::" || host == "0.0.0.0"
	if all {
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

// setTarget records where requests are passed to. All must go to one server, unchanged: a
// path in proxy_pass replaces the location's own, so it must be the same.
func (r *nginxReader) setTarget(d *directive, kind, path, passed string) error {
	scheme, rest, found := strings.Cut(passed, "://")
	host, uri, _ := strings.Cut(rest, "/")
	same := uri == "" && host == rest || kind != "~" && "/"+uri == path
	switch {
	case !found || scheme != "http" && scheme != "https" || strings.Contains(rest, "$"):
		return r.fail(d, "proxy_pass %q is not supported (hint: it must be a scheme and a server or upstream)", passed)
	case !same:
		return r.fail(d, "proxy_pass %q has another path than its location", passed)
	case r.passed != "" && r.passed != scheme+"://"+host:
		return r.fail(d, "requests are passed to both %s and %s, which is not supported", r.passed, passed)
	}
	r.passed = scheme + "://" + host
	return nil
}
