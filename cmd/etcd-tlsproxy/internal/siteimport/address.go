package siteimport

import (
	"net"
	"slices"
	"strings"
)

// setEndpoints sets the servers that requests for keys are passed to, backups last.
func (r *nginxReader) setEndpoints(server *directive) error {
	scheme, name, _ := strings.Cut(r.passed, "://")
	upstream := r.upstreams[name]
	if upstream == nil {
		r.site.Endpoints = []string{r.passed}
		return nil
	}
	var backup []string
	add := func(list *[]string, endpoint string) {
		if !slices.Contains(*list, endpoint) { // some sites repeat a server to give it more requests
			*list = append(*list, endpoint)
		}
	}
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
			add(&backup, endpoint)
		default:
			add(&r.site.Endpoints, endpoint)
		}
	}
	for _, endpoint := range backup {
		add(&r.site.Endpoints, endpoint)
	}
	if len(r.site.Endpoints) == 0 {
		return r.fail(server, "upstream %s has no server", name)
	}
	return nil
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
	case host != rest && strings.ContainsFunc(uri, isSentRaw):
		return "", r.fail(d, "proxy_pass %q has a blank, %%, ? or # in its path, which nginx sends as it is and etcd reads as another key (hint: write proxy_pass %s://%s, without the path)", passed, scheme, host)
	}
	r.site.Verbatim = r.site.Verbatim || host == rest
	return scheme + "://" + host, nil
}

// isSentRaw reports whether a byte in the path of a proxy_pass has a meaning in a request.
// nginx escapes such bytes only in what the client adds to that path.
func isSentRaw(c rune) bool { return c <= ' ' || c == '\x7f' || strings.ContainsRune("%?#", c) }

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
