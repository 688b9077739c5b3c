package daemon

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"slices"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/certs"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/config"
	"etcd-tlsproxy/proxy"
	"etcd-tlsproxy/proxy/upstream"
)

func (l *loader) loadUsers(files *reader, errs *config.Errors, c *config.Config, before *loaded) *acl.Users {
	var sources []acl.Source
	for _, name := range c.Auth.Htpasswd {
		if data, ok := files.readFor(errs, name, "auth", "htpasswd"); ok {
			sources = append(sources, acl.Source{Name: files.path(name), Data: data})
		}
	}
	users, err := acl.ParseUsers(l.hasher, sources...)
	if err != nil {
		errs.AddJoined(err, "auth", "htpasswd")
		return nil
	}
	if before != nil && before.snapshot.Users.Equal(users) {
		return before.snapshot.Users
	}
	return users
}

// checkUsers finds users in rules who cannot log in. A misspelled name opens nothing, so
// without this check it is noticed only when its owner is refused.
func (s *loaded) checkUsers(errs *config.Errors) {
	check := func(users []string, key ...string) {
		for _, user := range users {
			if s.snapshot.Users.Has(user) {
				continue
			}
			if s.snapshot.Certs.HasClientCA() {
				name, line := s.doc.Locate(key...)
				s.warnings = append(s.warnings, fmt.Sprintf("line %d: %s: user %q is in no htpasswd file, and can log in only with a client certificate", line, name, user))
				continue
			}
			errs.Add(fmt.Sprintf("user %q is in no htpasswd file", user), "check the spelling of the name; add the user with htpasswd, or remove the name", key...)
		}
	}
	for _, prefix := range slices.Sorted(maps.Keys(s.config.ACLs)) {
		entry := s.config.ACLs[prefix]
		users := slices.Concat(entry.Read, entry.Write)
		slices.Sort(users)
		check(slices.Compact(users), "acls", prefix)
	}
	for _, surface := range slices.Sorted(maps.Keys(s.config.Surfaces)) {
		check(s.config.Surfaces[surface], "surfaces", surface)
	}
}

func loadCerts(files *reader, errs *config.Errors, c *config.Parsed, before *loaded) *certs.Generation {
	t := &c.TLS
	o := certs.Options{Require: t.ClientAuth == "require", Name: c.NameRule, NextProtos: proxy.NextProtos(c.HTTP2)}
	good := true
	pem := func(name, key string) certs.PEM {
		data, ok := files.readFor(errs, name, "tls", key)
		good = good && ok
		return certs.PEM{File: files.path(name), Data: data}
	}
	o.Certificate, o.Key = pem(t.Certificate, "certificate"), pem(t.Key, "key")
	if t.ClientCA != "" {
		o.ClientCA = pem(t.ClientCA, "client_ca")
	}
	if !good {
		return nil
	}
	generation, err := certs.New(o)
	if err != nil {
		errs.Add(err.Error(), "", "tls")
		return nil
	}
	if before != nil && before.snapshot.Certs.Equal(generation) {
		return before.snapshot.Certs
	}
	return generation
}

// loadUpstreamCA prepares TLS to etcd if an endpoint is https, or can be once
// endpoints are discovered.
func (s *loaded) loadUpstreamCA(files *reader, errs *config.Errors) {
	u := &s.config.Upstream
	if u.SRV == "" && !slices.ContainsFunc(s.endpoints, upstream.Endpoint.TLS) {
		return
	}
	s.tls = &tls.Config{ServerName: u.ServerName, InsecureSkipVerify: u.InsecureSkipVerify, MinVersion: tls.VersionTLS12}
	if u.CA == "" {
		return
	}
	var ok bool
	if s.ca, ok = files.readFor(errs, u.CA, "upstream", "ca"); !ok {
		return
	}
	s.tls.RootCAs = x509.NewCertPool()
	if !s.tls.RootCAs.AppendCertsFromPEM(s.ca) {
		errs.Add(files.path(u.CA)+": the file contains no certificate", "it must contain PEM blocks that begin with -----BEGIN CERTIFICATE-----", "upstream", "ca")
	}
}
