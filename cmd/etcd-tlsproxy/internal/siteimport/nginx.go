package siteimport

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"etcd-tlsproxy/acl"
)

// nginxReader reads one site.
type nginxReader struct {
	source    Source
	read      ReadFile
	site      *Site
	upstreams map[string]*directive
	pages     map[string]bool // the targets of error_page
	passed    string          // the target of requests for keys
	denied    bool            // whether no one can write some prefixes
	regexes   []Rule          // the rules of site.Rules that are expressions
}

func (r *nginxReader) fail(d *directive, form string, args ...any) error {
	return fmt.Errorf("reading nginx's site: %s:%d: %s", r.source.Name, d.line, fmt.Sprintf(form, args...))
}

// ReadNginx reads the file of a site, or a whole configuration that contains one such
// site, and the htpasswd files that it names, which list the users.
func ReadNginx(source Source, read ReadFile) (*Site, error) {
	r := &nginxReader{source: source, read: read, site: &Site{}, upstreams: map[string]*directive{}, pages: map[string]bool{}}
	directives, err := parseNginx(source)
	if err != nil {
		return nil, err
	}
	var servers []*directive
	var walk func([]*directive) error
	walk = func(list []*directive) error {
		for _, d := range list {
			switch d.name() {
			case "http":
				if err := walk(d.block); err != nil {
					return err
				}
			case "upstream":
				if len(d.args()) != 1 {
					return r.fail(d, "upstream has no name")
				}
				r.upstreams[d.args()[0]] = d
			case "server":
				if isTLS(d) {
					servers = append(servers, d)
				}
			default:
				if decides[d.name()] {
					return r.fail(d, "%s outside of a server is not supported", d.name())
				}
			}
		}
		return nil
	}
	if err := walk(directives); err != nil {
		return nil, err
	}
	if len(servers) != 1 {
		return nil, fmt.Errorf("reading nginx's site: %s: there are %d servers that listen with ssl instead of one (hint: give the file of the site in front of etcd)", source.Name, len(servers))
	}
	if err := r.readServer(servers[0]); err != nil {
		return nil, err
	}
	return r.site, r.checkSite(servers[0])
}

func isTLS(server *directive) bool {
	return slices.ContainsFunc(server.block, func(d *directive) bool {
		return d.name() == "listen" && slices.Contains(d.args(), "ssl") || d.name() == "ssl" && slices.Equal(d.args(), []string{"on"})
	})
}

// harmless lists directives, and prefixes of directives, that do not affect decisions.
var harmless = []string{
	"ssl_", "ssl", "keepalive_", "proxy_", "client_", "large_client_header_buffers", "access_log", "error_log", "log_", "add_header", "default_type", "root", "alias", "internal",
	"expires", "charset", "server_name", "server_tokens", "send_timeout", "lingering_", "tcp_", "reset_timedout_connection", "etag", "types", "gzip", "http2", "resolver", "sendfile", "underscores_in_headers",
}

// decides lists directives that affect decisions wherever they are.
var decides = map[string]bool{
	"auth_basic": true, "auth_basic_user_file": true, "allow": true, "deny": true, "satisfy": true, "auth_request": true, "rewrite": true, "return": true, "if": true,
}

// isHarmless reports whether a directive does not affect decisions.
func isHarmless(d *directive) bool {
	if d.name() == "proxy_method" ||
		d.name() == "proxy_set_header" && len(d.args()) > 0 && strings.EqualFold(d.args()[0], "Authorization") {
		return false // these would change the request or the user that etcd gets
	}
	return slices.ContainsFunc(harmless, func(known string) bool {
		return d.name() == known || strings.HasSuffix(known, "_") && strings.HasPrefix(d.name(), known)
	})
}

// findPages records the targets of error_page, whose locations are not rules.
func (r *nginxReader) findPages(list []*directive) {
	for _, d := range list {
		if d.name() == "error_page" && len(d.args()) > 1 {
			r.pages[d.args()[len(d.args())-1]] = true
		}
		r.findPages(d.block)
	}
}

// readServer reads the directives of the server, then its locations.
func (r *nginxReader) readServer(server *directive) error {
	var outer access
	var locations []*directive
	for _, d := range server.block {
		one := func() (string, error) {
			if len(d.args()) != 1 || strings.Contains(d.args()[0], "$") {
				return "", r.fail(d, "%s should have one value, without variables", d.name())
			}
			return d.args()[0], nil
		}
		var err error
		switch d.name() {
		case "listen":
			err = r.setListen(d)
		case "ssl_certificate":
			r.site.Certificate, err = one()
			r.site.Certificate = absolute(r.site.Certificate)
		case "ssl_certificate_key":
			r.site.Key, err = one()
			r.site.Key = absolute(r.site.Key)
		case "ssl_verify_client", "ssl_client_certificate":
			err = r.fail(d, "client certificates are not supported (hint: set tls.client_ca and tls.client_auth by hand, and remove the line)")
		case "error_page":
		case "location":
			locations = append(locations, d)
		default:
			var known bool
			if known, err = outer.read(r, d); err == nil && !known && !isHarmless(d) {
				err = r.fail(d, "%s is not supported (hint: its effect would be lost; remove the line if that is acceptable)", d.name())
			}
		}
		if err != nil {
			return err
		}
	}
	r.findPages(server.block)
	for _, d := range locations {
		if err := r.readLocation(d, outer); err != nil {
			return err
		}
	}
	return nil
}

// checkSite checks the site as a whole after all directives were read.
func (r *nginxReader) checkSite(server *directive) error {
	s := r.site
	switch {
	case s.Listen == "" || s.Certificate == "" || s.Key == "":
		return r.fail(server, "listen, ssl_certificate or ssl_certificate_key is missing")
	case r.passed == "":
		return r.fail(server, "no location passes requests on")
	}
	if r.denied && len(s.Rules) > 0 {
		return r.fail(server, "no one can write some prefixes, which no rule can express (hint: name a user who can, or make the whole site read-only)")
	}
	if len(s.Rules) == 0 && !r.denied && s.Uncovered.IsEveryone() {
		return r.fail(server, "no location is for keys below /v2/keys (hint: give the file of the site in front of etcd)")
	}
	s.ReadOnly = r.denied || len(s.Rules) == 0 && !s.Uncovered.IsEveryone()
	slices.SortFunc(s.Rules, func(a, b Rule) int { return cmp.Compare(a.Prefix, b.Prefix) })
	for i, rule := range s.Rules {
		if i > 0 && s.Rules[i-1].Prefix == rule.Prefix {
			return r.fail(server, "two locations are for %s", rule.Prefix)
		}
		// The first expression that matches wins, and wins over prefixes.
		for _, regex := range r.regexes {
			isRegex := slices.ContainsFunc(r.regexes, func(own Rule) bool { return own.Prefix == rule.Prefix })
			matches := strings.HasPrefix(string(rule.Prefix), string(regex.Prefix))
			if regex.Prefix != rule.Prefix && matches && !isRegex {
				return r.fail(server, "the location for %s never matches, because the expression for %s takes precedence", rule.Prefix, regex.Prefix)
			}
		}
	}
	return r.setEndpoints(server)
}

// usersOf returns the users of a htpasswd file.
func (r *nginxReader) usersOf(d *directive, file string) (acl.Group, error) {
	data, err := r.read(file)
	if err != nil {
		return acl.Group{}, r.fail(d, "the users of %s cannot be read: %v (hint: run import on nginx's machine, or give the folder of the files with --htpasswd)", file, err)
	}
	users, err := acl.ParseUsers(acl.NewHasher(acl.HasherOptions{}), acl.Source{Name: file, Data: data})
	if err != nil {
		return acl.Group{}, errors.Join(r.fail(d, "the users of %s cannot be read", file), err)
	}
	if users.Len() == 0 {
		return acl.Group{}, r.fail(d, "%s contains no user, and no rule can express that no one has access (hint: name a user who has)", file)
	}
	return acl.Only(users.Names()...), nil
}
