package siteimport

import (
	"cmp"
	"slices"
	"strings"

	"etcd-tlsproxy/acl"
)

// readServer reads the directives of the server, then its locations.
func (r *nginxReader) readServer(server *directive, outer settings) error {
	var inside, listens []*directive
	var clients realIP
	own, err := r.block(outer, server.block, func(d *directive) error {
		switch d.name() {
		case "listen":
			listens = append(listens, d)
			return r.setListen(d)
		case "location":
			inside = append(inside, d)
		case "error_page":
			r.pages = append(r.pages, d)
		case "ssl":
			if !slices.Equal(d.args(), []string{"on"}) {
				r.check(d)
			}
		default:
			if !clients.add(d) {
				r.check(d)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := r.setBalancers(clients.within(&r.realIP), listens); err != nil {
		return err
	}
	r.site.HTTP2 = r.site.HTTP2 || own.http2 != nil && own.http2.args()[0] == "on"
	if len(own.certificates) != len(own.keys) {
		return r.fail(server, "the numbers of ssl_certificate and ssl_certificate_key differ")
	}
	for i, certificate := range own.certificates {
		r.site.Certificates, r.site.Keys = append(r.site.Certificates, r.absolute(certificate)), append(r.site.Keys, r.absolute(own.keys[i]))
	}
	for _, d := range inside {
		if err := r.readLocation(d, own); err != nil {
			return err
		}
	}
	return nil
}

// finish checks the site as a whole, and sets what depends on several locations.
func (r *nginxReader) finish(server *directive) error {
	s := r.site
	if err := r.setUncovered(server); err != nil {
		return err
	}
	switch {
	case s.Listen == "" || len(s.Certificates) == 0:
		return r.fail(server, "listen, ssl_certificate or ssl_certificate_key is missing")
	case r.passed == "":
		return r.fail(server, "no location passes requests on")
	case len(s.Rules) == 0 && len(r.denied) == 0 && s.Uncovered.IsEveryone():
		return r.fail(server, "no location is for keys below /v2/keys (hint: give the file of the site in front of etcd)")
	case len(s.Rules) == 0 && isNobody(s.Uncovered):
		s.ReadOnly = true
	}
	for _, l := range r.denied {
		if strings.TrimSuffix(l.path, "/") != keysPath && !s.ReadOnly {
			return r.fail(l.at, "nobody can write %s, which no rule can express (hint: name a user who can, or make the whole site read-only)", l.path)
		}
	}
	if err := r.checkRules(server); err != nil {
		return err
	}
	if err := r.checkPages(); err != nil {
		return err
	}
	r.setMaxBody()
	if err := r.setEndpoints(server); err != nil {
		return err
	}
	r.checkChain(server)
	s.setProxyTLS(r.proxyTLS, r.passed)
	s.noted = r.notedDifferences()
	s.nginx = r.locations
	s.target = r.passed
	return nil
}

// setUncovered sets who can write keys that have no location of their own. If they are
// named users, a rule for "/" says so.
func (r *nginxReader) setUncovered(server *directive) error {
	s := r.site
	l, _ := r.locations.find(keysPath + "/" + r.locations.fresh())
	root, _ := r.locations.find("/")
	if s.Elsewhere = root != nil && root.passed != ""; s.Elsewhere {
		if err := r.setTarget(root.at, root.passed); err != nil {
			return err
		}
	}
	switch {
	case l == nil || l.passed == "":
		s.Uncovered = acl.Only()
		return nil
	case strings.HasPrefix(l.path, keysPath):
		if s.Uncovered = root.group(acl.Write); len(r.denied) > 0 {
			s.Uncovered = acl.Only()
			s.OpenElsewhere = append(s.OpenElsewhere, r.openRoot(root)...)
		}
		return nil
	}
	s.Uncovered = l.write
	if err := r.setTarget(l.at, l.passed); err != nil {
		return err
	}
	files := r.sources[l]
	switch {
	case isNobody(l.read), isNobody(l.write):
		return nil // a table without a rule for "/" lets nobody write it; reads are compared later
	case l.write.IsEveryone() && l.read.IsEveryone():
		return nil
	case files.read != "" && files.read != files.write:
		return r.fail(server, "reads and writes of / have different password files, which is not supported (hint: in a copy, use the file with fewer users for both, and add the other users to [acls])")
	}
	s.Rules = append(s.Rules, Rule{Prefix: acl.Root, Read: l.read, Write: l.write, File: files.write})
	return nil
}

// openRoot returns the path of the location for the rest of etcd's port if everyone can
// write there.
func (r *nginxReader) openRoot(root *location) []string {
	if root.group(acl.Write).IsEveryone() {
		return []string{root.path}
	}
	return nil
}

// checkRules refuses tables in which nginx would never reach a rule.
func (r *nginxReader) checkRules(server *directive) error {
	slices.SortFunc(r.site.Rules, func(a, b Rule) int { return cmp.Compare(a.Prefix, b.Prefix) })
	for i, rule := range r.site.Rules {
		if i > 0 && r.site.Rules[i-1].Prefix == rule.Prefix {
			return r.fail(server, "two locations are for %s, and one rule decides about a key with and without a slash at its end (hint: keep the location that should decide, in a copy)", rule.Prefix)
		}
	}
	for i, l := range r.locations {
		for j, other := range r.locations {
			switch {
			case l == other || l.kind != "~" || other.kind == "=":
			case other.kind == "~" && j > i && l.covers(other.path):
				return r.fail(other.at, "the expression for %s is hidden by the one for %s before it", other.path, l.path)
			case other.kind == "" && l.covers(other.path):
				return r.fail(other.at, "the location for %s is hidden by the expression for %s", other.path, l.path)
			case other.kind == "^~" && other.covers(l.path):
				return r.fail(l.at, "the expression for %s is hidden by the location ^~ %s", l.path, other.path)
			}
		}
	}
	return nil
}

// checkPages refuses error pages that are requests to etcd: a request that nginx refuses
// would get there in another way.
func (r *nginxReader) checkPages() error {
	for _, d := range r.pages {
		if len(d.args()) < 2 {
			return r.fail(d, "error_page has no page")
		}
		page := d.args()[len(d.args())-1]
		if strings.HasPrefix(page, "@") {
			return r.fail(d, "an error_page that names a location is not supported, because a refused request could get to etcd through it (hint: remove the line; the errors of the proxy have etcd's form)")
		}
		path, _, _ := strings.Cut(page, "?")
		if l := r.locations.serving(path); strings.HasPrefix(path, keysPath) || l != nil && l.passed != "" && l.path != "/" {
			return r.fail(d, "an error_page that is passed to etcd is not supported (hint: remove the line; the errors of the proxy have etcd's form)")
		}
	}
	return nil
}

// setMaxBody sets the largest body that all locations for keys accept.
func (r *nginxReader) setMaxBody() {
	covering, _ := r.locations.find(keysPath + "/" + r.locations.fresh())
	for _, l := range r.locations {
		limit := r.limits[l]
		if limit > 0 && (l == covering || strings.HasPrefix(l.path, keysPath)) && (r.site.MaxBody == 0 || limit < r.site.MaxBody) {
			r.site.MaxBody = limit
		}
	}
}
