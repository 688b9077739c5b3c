package siteimport

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"etcd-tlsproxy/acl"
)

// Source is a file with its content.
type Source struct {
	Name string
	Data []byte
}

// HieraOptions holds values that are not in hiera but come from Puppet or the host.
type HieraOptions struct {
	// Domain replaces %{::domain}. If it is empty, %{::domain} is kept in cert_name.
	Domain string
	// Facts replace lookups of other names, such as %{::site} and %{facts.site}.
	Facts map[string]string
	// Host is the name of etcd's host, which is needed if the site uses TLS to etcd.
	Host string
	// Passwords is the folder of the htpasswd files. Each prefix that has users has one,
	// whose name is the prefix with _ for /, and .htpasswd behind it.
	Passwords string
	// Pools are the clusters for which Puppet generates rules, written dc/cluster.
	Pools []string
}

const (
	hieraClass = "profile::etcd::tlsproxy::"
	// poolsBelow is the prefix of the generated rules.
	poolsBelow = "/conftool/v1/pools/"
)

// hiera holds the parameters of the class. Its secrets are accepted but ignored: the
// htpasswd files contain the resulting hashes.
type hiera struct {
	acls                     map[string]*yaml.Node
	table                    Source // the file with acls
	certName                 string
	readOnly, tlsUpstream    *bool
	listenPort, upstreamPort int // 0 if not given
}

// ReadHiera reads the parameters of the class from files of hiera. If several files have a
// parameter, the first one counts. Keys of other classes are ignored.
func ReadHiera(o HieraOptions, sources ...Source) (*Site, error) {
	var h hiera
	seen := map[string]bool{}
	for _, source := range sources {
		if err := h.read(source, seen); err != nil {
			return nil, err
		}
	}
	if h.acls == nil {
		return nil, fmt.Errorf("reading hiera: no file has %sacls", hieraClass)
	}
	s := &Site{Elsewhere: true, Uncovered: acl.Everyone(), AnyBody: true}
	if err := h.setAddresses(s, o); err != nil {
		return nil, err
	}
	if err := h.setRules(s, o); err != nil {
		return nil, err
	}
	return s, nil
}

func (h *hiera) read(source Source, seen map[string]bool) error {
	keys, err := parseHiera(source)
	if err != nil {
		return err
	}
	setters := map[string]func(*yaml.Node, string) error{
		"acls": func(node *yaml.Node, key string) (err error) {
			h.table = source
			h.acls, err = source.mapping(node, key)
			return err
		},
		"cert_name": func(node *yaml.Node, key string) (err error) { h.certName, err = source.text(node, key); return err },
		"read_only": func(node *yaml.Node, key string) (err error) { h.readOnly, err = source.boolean(node, key); return err },
		"tls_upstream": func(node *yaml.Node, key string) (err error) {
			h.tlsUpstream, err = source.boolean(node, key)
			return err
		},
		"listen_port": func(node *yaml.Node, key string) (err error) { h.listenPort, err = source.port(node, key); return err },
		"upstream_port": func(node *yaml.Node, key string) (err error) {
			h.upstreamPort, err = source.port(node, key)
			return err
		},
		"salt": nil, "pool_pwd_seed": nil,
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		node := keys[key]
		if key == "lookup_options" && mergesClass(node) {
			return source.refuse(node, "lookup_options for %s* is not supported: the first value of a parameter counts, and values are not merged (hint: write the merged value into one file, and remove the option)", hieraClass)
		}
		name, ours := strings.CutPrefix(key, hieraClass)
		if !ours {
			continue
		}
		set, known := setters[name]
		switch {
		case !known:
			return source.refuse(node, "%s is not supported (hint: its effect would be lost; remove the line if that is acceptable)", key)
		case set == nil || seen[name]:
			continue
		case node.Tag == "!!null":
			return source.refuse(node, "%s has no value", key)
		}
		seen[name] = true
		if err := set(node, key); err != nil {
			return err
		}
	}
	return nil
}

// setAddresses sets the address of the site and of etcd, and the certificate.
func (h *hiera) setAddresses(s *Site, o HieraOptions) error {
	assume := func(what string) { s.Assumed = append(s.Assumed, what) }
	listen, upstream := h.listenPort, h.upstreamPort
	if listen == 0 {
		listen = 4001
		assume("listen_port is not given; using 4001")
	}
	if upstream == 0 {
		upstream = 2379
		assume("upstream_port is not given; using 2379")
	}
	s.Listen = fmt.Sprintf(":%d", listen)
	s.Endpoints = []string{fmt.Sprintf("http://127.0.0.1:%d", upstream)}
	if h.tlsUpstream != nil && *h.tlsUpstream {
		if o.Host == "" {
			return errors.New("reading hiera: tls_upstream requires the name of etcd's host (hint: give it with --host, as in --host conf1001.example.org)")
		}
		s.Endpoints = []string{fmt.Sprintf("https://%s:%d", o.Host, upstream)}
	}
	if h.readOnly != nil {
		s.ReadOnly = *h.readOnly
	} else {
		assume("read_only is not given; writes are allowed")
	}
	if s.ReadOnly {
		s.OpenElsewhere = []string{"/metrics"} // the only exception of the site
	}
	name, err := o.interpolate("cert_name", h.certName, true)
	switch {
	case err != nil:
		return err
	case name == "":
		return fmt.Errorf("reading hiera: no file has %scert_name", hieraClass)
	case strings.ContainsAny(name, "/\x00"):
		return fmt.Errorf("reading hiera: cert_name %q is not supported, because it contains a slash", name)
	}
	s.Certificates, s.Keys = []string{"/etc/ssl/localcerts/" + name + ".chained.crt"}, []string{"/etc/ssl/private/" + name + ".key"}
	return nil
}

// isNginxSyntax reports whether a byte has a meaning in a location or in the path of a
// proxy_pass. The template writes prefixes there as they are.
func isNginxSyntax(c rune) bool { return isSentRaw(c) || strings.ContainsRune(";{}$", c) }

func (h *hiera) setRules(s *Site, o HieraOptions) error {
	lists := map[string][]string{}
	for written, node := range h.acls {
		prefix, err := o.interpolate("the prefix "+written, written, false)
		if err != nil {
			return err
		}
		if _, twice := lists[prefix]; twice {
			return fmt.Errorf("reading hiera: acls: two prefixes become %s", prefix)
		}
		users, err := h.table.users(node, prefix)
		if err != nil {
			return err
		}
		for i, user := range users {
			if users[i], err = o.interpolate("a user of "+prefix, user, false); err != nil {
				return err
			}
			if err := acl.CheckName(users[i]); err != nil {
				return fmt.Errorf("reading hiera: acls: %q: %w", prefix, err)
			}
		}
		lists[prefix] = users
	}
	for i, pool := range o.Pools {
		dc, cluster, ok := strings.Cut(pool, "/")
		prefix := poolsBelow + pool
		if !ok || dc == "" || cluster == "" || strings.Contains(cluster, "/") {
			return fmt.Errorf("reading pools: number %d of them is not a valid dc/cluster", i+1)
		}
		if _, twice := lists[prefix]; twice {
			return fmt.Errorf("reading pools: there is another rule for number %d of them (hint: remove one of the two)", i+1)
		}
		lists[prefix] = []string{"root", "conftool", "pool-" + dc + "-" + cluster}
	}
	owner := map[string]string{}
	for _, prefix := range slices.Sorted(maps.Keys(lists)) {
		key, err := acl.NewKey(prefix)
		switch {
		case err != nil:
			return fmt.Errorf("reading hiera: acls: prefix %q: %w", prefix, err)
		case strings.ContainsFunc(prefix, isNginxSyntax):
			return fmt.Errorf("reading hiera: acls: prefix %q contains a blank or one of ;{}$%%?#, to which nginx gives a meaning, so that the rule was not for this key (hint: remove the rule, or write the prefix that nginx reads)", prefix)
		}
		rule := Rule{Prefix: key, Below: key == acl.Root, Read: acl.Everyone(), Write: acl.Everyone()}
		if users := lists[prefix]; len(users) > 0 {
			rule.Write = acl.Only(users...)
			rule.File = path.Join(o.Passwords, strings.ReplaceAll(prefix, "/", "_")+".htpasswd")
			if other, shared := owner[rule.File]; shared {
				s.Conflicts = append(s.Conflicts, fmt.Sprintf("the rules %s and %s share the htpasswd file %s: nginx accepts the users of either rule for both", other, prefix, rule.File))
			}
			owner[rule.File] = prefix
		}
		s.Redirects = s.Redirects || key == acl.Root && !s.ReadOnly
		s.Rules = append(s.Rules, rule)
	}
	return nil
}
