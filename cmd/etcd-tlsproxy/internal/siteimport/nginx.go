package siteimport

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"etcd-tlsproxy/acl"
)

// passwordFiles are the htpasswd files for the reads and the writes of a location.
type passwordFiles struct{ read, write string }

// nginxReader reads one site.
type nginxReader struct {
	source Source
	files  NginxFiles
	folder string // in which relative names start
	whole  bool   // whether the source is a whole configuration
	site   *Site
	hasher *acl.Hasher
	users  map[string]acl.Group // by htpasswd file

	upstreams map[string]*directive
	servers   []*directive
	streams   []*directive // the servers of stream blocks
	locations locations
	sources   map[*location]passwordFiles
	limits    map[*location]int64 // the largest bodies; 0 if there is no limit, or none is known
	pages     []*directive        // each error_page
	passed    string              // the target of requests for keys
	denied    []*location         // those for keys that let nobody write
	closed    []string            // the locations for paths that this proxy closes
	proxyTLS  map[string]string   // the settings of TLS to etcd
	realIP    realIP              // outside of servers
	noted     map[string][]string // the directives that change answers, by reason
	problems  []error             // everything that is not supported
}

func (r *nginxReader) fail(d *directive, form string, args ...any) error {
	return fmt.Errorf("reading nginx's site: %s: %s", d.place(), fmt.Sprintf(form, args...))
}

// ReadNginx reads a whole configuration of nginx, or the file of one site, with the files
// that it includes and the htpasswd files that it names, which list the users.
//
// A single site is a conflict, because it inherits from what surrounds it.
func ReadNginx(source Source, files NginxFiles) (*Site, error) {
	r := &nginxReader{
		source: source, files: files, folder: debianFolder, site: &Site{}, hasher: acl.NewHasher(acl.HasherOptions{}), users: map[string]acl.Group{},
		upstreams: map[string]*directive{}, sources: map[*location]passwordFiles{}, limits: map[*location]int64{}, proxyTLS: map[string]string{},
	}
	list, err := parseNginx(source)
	if err != nil {
		return nil, err
	}
	if r.whole = isWhole(list); r.whole {
		r.folder = files.Folder
	}
	if list, err = (&includer{files: files, folder: r.folder}).expand(list, 0); err != nil {
		return nil, err
	}
	outer, err := r.readSurroundings(list)
	if err != nil {
		return nil, err
	}
	server, err := r.chooseServer()
	if err != nil {
		return nil, errors.Join(append(r.problems, err)...)
	}
	if err = r.readServer(server, outer); err == nil && len(r.problems) == 0 {
		err = r.finish(server)
	}
	if err = errors.Join(append(r.problems, err)...); err != nil {
		return nil, err
	}
	return r.site, nil
}

// readSurroundings reads the directives outside of servers, which servers inherit.
func (r *nginxReader) readSurroundings(list []*directive) (settings, error) {
	var outer settings
	if r.whole {
		var http []*directive
		for _, d := range list {
			switch d.name() {
			case "http":
				http = append(http, d.block...)
				continue
			case "stream":
				r.streams = append(r.streams, filter(d.block, func(d *directive) bool { return d.name() == "server" })...)
			}
			r.check(d)
		}
		list = http
	} else {
		r.site.Conflicts = append(r.site.Conflicts, r.source.Name+" is a single site, so what surrounds it was not read, and a directive there, such as auth_basic, can restrict access (hint: import the whole configuration, whose includes are followed, with --nginx /etc/nginx/nginx.conf)")
	}
	return r.block(outer, list, func(d *directive) error {
		switch d.name() {
		case "upstream":
			if len(d.args()) != 1 {
				return r.fail(d, "upstream has no name")
			}
			r.upstreams[d.args()[0]] = d
			for _, inner := range d.block {
				r.check(inner)
			}
		case "server":
			r.servers = append(r.servers, d)
		case "error_page":
			r.pages = append(r.pages, d)
		default:
			if !r.realIP.add(d) {
				r.check(d)
			}
		}
		return nil
	})
}

// chooseServer returns the site: the only server with TLS, or the only one of them that
// has a location for keys. No other server may be on its port, because nginx chooses
// between them by the names that clients use.
func (r *nginxReader) chooseServer() (*directive, error) {
	candidates := filter(r.servers, isTLS)
	if len(candidates) > 1 {
		candidates = filter(candidates, hasKeys)
	}
	if len(candidates) != 1 {
		return nil, fmt.Errorf("reading nginx's site: %s: there are %d servers that listen with ssl and could be the site in front of etcd, want one (hint: give the file of that site)", r.source.Name, len(candidates))
	}
	server := candidates[0]
	for _, other := range r.servers {
		if other == server {
			continue
		}
		for _, port := range ports(server) {
			if slices.ContainsFunc(ports(other), port.overlaps) {
				return nil, r.fail(other, "this server is on port %d too, and gets requests for other names, which is not supported (hint: remove it if that is acceptable)", port.first)
			}
		}
		r.site.Assumed = append(r.site.Assumed, "the server at "+other.place()+" is on another port; it was not imported")
	}
	return server, nil
}

func filter(list []*directive, keep func(*directive) bool) []*directive {
	return slices.DeleteFunc(slices.Clone(list), func(d *directive) bool { return !keep(d) })
}

func isTLS(server *directive) bool {
	return slices.ContainsFunc(server.block, func(d *directive) bool {
		return d.name() == "listen" && slices.Contains(d.args(), "ssl") || d.name() == "ssl" && slices.Equal(d.args(), []string{"on"})
	})
}

func hasKeys(server *directive) bool {
	return slices.ContainsFunc(server.block, func(d *directive) bool {
		return d.name() == "location" && strings.Contains(strings.Join(d.args(), " "), keysPath)
	})
}
