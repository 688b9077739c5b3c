package siteimport

import (
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"etcd-tlsproxy/acl"
)

// settings are the directives that a block passes on to the blocks inside of it.
type settings struct {
	basic   *directive // the auth_basic in force
	file    *directive // the auth_basic_user_file in force
	deny    bool
	maxBody *directive // the client_max_body_size in force
	http2   *directive // the http2 in force
	// The ssl_certificate and ssl_certificate_key in force. One of each belongs together.
	certificates, keys []*directive
}

// block returns the settings of a block: its own, and those that it inherits. The
// directives that are not settings are passed to rest.
func (r *nginxReader) block(outer settings, list []*directive, rest func(*directive) error) (settings, error) {
	own := outer
	given := map[string]bool{}
	for _, d := range list {
		target := map[string]**directive{
			"auth_basic": &own.basic, "auth_basic_user_file": &own.file, "client_max_body_size": &own.maxBody, "http2": &own.http2,
		}[d.name()]
		several := map[string]*[]*directive{"ssl_certificate": &own.certificates, "ssl_certificate_key": &own.keys}[d.name()]
		switch {
		case (target != nil || several != nil) && (len(d.args()) != 1 || d.block != nil || strings.Contains(d.args()[0], "$")):
			return own, r.fail(d, "%s should have one value, without variables (hint: write the value that applies to etcd's clients)", d.name())
		case target != nil && given[d.name()]:
			return own, r.fail(d, "there is a second %s, which is not supported (hint: keep the one that clients need)", d.name())
		case target != nil:
			given[d.name()] = true
			*target = d
		case several != nil && given[d.name()]:
			*several = append(*several, d)
		case several != nil:
			given[d.name()] = true
			*several = []*directive{d} // instead of those outside
		case d.name() == "deny" || d.name() == "allow":
			if !slices.Equal(d.args(), []string{"all"}) {
				return own, r.fail(d, "%s %s is not supported: the proxy has no rules for addresses (hint: use a firewall)", d.name(), strings.Join(d.args(), " "))
			}
			// The first rule that fits decides, and the rules of a block replace those outside.
			if !given["access"] {
				own.deny = d.name() == "deny"
			}
			given["access"] = true
		case slices.Contains(proxyTLS, d.name()):
			if err := r.setProxyTLS(d); err != nil {
				return own, err
			}
		default:
			if err := rest(d); err != nil {
				return own, err
			}
		}
	}
	return own, nil
}

// isGuarded reports whether a password is needed. Only the word off lifts the need: an
// empty realm is a realm.
func (s *settings) isGuarded() bool { return s.basic != nil && s.basic.args()[0] != "off" }

// group returns the users who have access, and their htpasswd file.
func (r *nginxReader) group(s settings) (acl.Group, string, error) {
	switch {
	case s.deny:
		return acl.Only(), "", nil
	case !s.isGuarded():
		return acl.Everyone(), "", nil
	case s.file == nil:
		return acl.Group{}, "", r.fail(s.basic, "auth_basic has no auth_basic_user_file")
	}
	file := r.absolute(s.file)
	users, err := r.usersOf(s.file, file)
	return users, file, err
}

// absolute returns the file that a directive names.
func (r *nginxReader) absolute(d *directive) string { return absolute(r.folder, d.args()[0]) }

// usersOf returns the users of a htpasswd file.
func (r *nginxReader) usersOf(d *directive, file string) (acl.Group, error) {
	if users, known := r.users[file]; known {
		return users, nil
	}
	data, err := r.files.Passwords(file)
	if err != nil {
		return acl.Group{}, r.fail(d, "the users of %s cannot be read: %v (hint: run import on nginx's machine, or give the folder of the files with --htpasswd)", file, err)
	}
	users, err := acl.ParseUsers(r.hasher, acl.Source{Name: file, Data: data})
	if err != nil {
		return acl.Group{}, errors.Join(r.fail(d, "the users of %s cannot be read", file), err)
	}
	if users.Len() == 0 {
		return acl.Group{}, r.fail(d, "%s contains no user, and no rule can express that nobody has access (hint: name a user who has)", file)
	}
	r.users[file] = acl.Only(users.Names()...)
	return r.users[file], nil
}

// defaultMaxBody is nginx's limit of bodies where none is set.
const defaultMaxBody = 1 << 20

// maxBody returns the largest body that nginx accepts, or 0 if there is no limit, or none
// is known: the file of a single site does not say what its surroundings set.
func (r *nginxReader) maxBody(s settings) (int64, error) {
	d := s.maxBody
	switch {
	case d == nil && r.whole:
		return defaultMaxBody, nil
	case d == nil:
		r.site.AnyBody = true
		return 0, nil
	}
	digits, factor := strings.ToLower(d.args()[0]), int64(1)
	for unit, bytes := range map[string]int64{"k": 1 << 10, "m": 1 << 20, "g": 1 << 30} {
		if number, found := strings.CutSuffix(digits, unit); found {
			digits, factor = number, bytes
			break
		}
	}
	size, err := strconv.ParseInt(digits, 10, 32)
	if err != nil || size < 0 {
		return 0, r.fail(d, "client_max_body_size %s is not a valid size", d.args()[0])
	}
	return size * factor, nil
}

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
func (r *nginxReader) setBalancers(in *realIP, listens []*directive) error {
	announced := filter(listens, func(d *directive) bool { return slices.Contains(d.args(), "proxy_protocol") })
	if len(announced) == 0 {
		for _, d := range slices.Concat(in.from, in.recursive) {
			r.check(d)
		}
		if in.header != nil {
			r.check(in.header)
		}
		return nil
	}
	d := announced[0]
	switch {
	case len(announced) < len(listens):
		return r.fail(d, "listen with proxy_protocol is not supported beside one without it (hint: add it to both)")
	case in.header == nil || !slices.Equal(in.header.args(), []string{"proxy_protocol"}) || len(in.from) == 0:
		return r.fail(d, "listen with proxy_protocol is not supported without real_ip_header proxy_protocol and set_real_ip_from: here the client that a header names always counts, and only load balancers that are listed can name one (hint: add both)")
	}
	for _, d := range in.from {
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
