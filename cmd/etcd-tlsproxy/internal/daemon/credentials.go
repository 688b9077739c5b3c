package daemon

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/certs"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/config"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/files"
	"etcd-tlsproxy/proxy"
)

// loadUsers returns the users of the htpasswd files, those of them who may log in, and those
// whose passwords wait until they may; nil if there are none.
//
// While the table of the files is not valid, only users who are valid with the table in force
// may log in: a name in it must not come to mean another person. A user whom a file no longer
// has, or has with another password, loses access all the same, because that gives nobody a
// right.
func (l *loader) loadUsers(disk *files.Reader, errs *config.Errors, c *config.Config, before *loaded, old *units) (inFiles, users, waiting *acl.Users) {
	if old.users {
		return before.snapshot.Users, before.snapshot.Users, before.snapshot.Waiting
	}
	inFiles = l.readUsers(disk, errs, c)
	if inFiles == nil {
		return nil, nil, nil
	}
	users = inFiles
	if old.settings[config.Access] {
		users = before.ofTable.Unchanged(inFiles)
		if waiting = inFiles.Without(users); waiting != nil && before.snapshot.Waiting != nil && waiting.Equal(before.snapshot.Waiting) {
			waiting = before.snapshot.Waiting
		}
	}
	if before != nil && before.snapshot.Users.Equal(users) {
		users = before.snapshot.Users
	}
	return inFiles, users, waiting
}

// readUsers returns nil if a htpasswd file is not valid.
func (l *loader) readUsers(disk *files.Reader, errs *config.Errors, c *config.Config) *acl.Users {
	good := true
	var sources []acl.Source
	for _, name := range c.Auth.Htpasswd {
		data, ok := disk.ReadFor(errs, name, "auth", "htpasswd")
		good = good && ok
		sources = append(sources, acl.Source{Name: disk.Path(name), Data: data})
	}
	users, err := acl.ParseUsers(l.hasher, sources...)
	if err != nil {
		errs.AddJoined(err, "auth", "htpasswd")
		return nil
	}
	if !good {
		return nil
	}
	return users
}

// checkUsers warns of users in rules who cannot log in. A misspelled name opens nothing, so
// without this check it is noticed only when its owner is refused. It is no error: a user
// who was removed from a htpasswd file must lose access at once, whatever the table says.
func (s *loaded) checkUsers(inFiles *acl.Users) {
	where := "in no htpasswd file"
	if s.snapshot.Certs.HasClientCA() {
		where += " and not in auth.certificates"
	}
	check := func(users []string, key ...string) {
		for _, user := range users {
			if inFiles.Has(user) || slices.Contains(s.config.Auth.Certificates, user) {
				continue
			}
			s.warnings = append(s.warnings, s.doc.Warning(fmt.Sprintf("user %q is %s (hint: check the spelling of the name; add the user, or remove the name)", user, where), key...))
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

// checkPrefixes warns of rules that were written for paths instead of keys.
func (s *loaded) checkPrefixes() {
	for _, prefix := range slices.Sorted(maps.Keys(s.config.ACLs)) {
		if key, ok := strings.CutPrefix(prefix+"/", "/v2/keys/"); ok {
			s.warnings = append(s.warnings, s.doc.Warning(fmt.Sprintf("the rule is about a key %s, but in a path keys begin behind /v2/keys (hint: write %q)", prefix, "/"+strings.TrimSuffix(key, "/")), "acls", prefix))
		}
	}
}

func loadCerts(disk *files.Reader, errs *config.Errors, c *config.Parsed, before *loaded) *certs.Generation {
	t := &c.TLS
	o := certs.Options{Require: t.ClientAuth == "require", Name: c.NameRule, NextProtos: proxy.NextProtos(c.HTTP2)}
	good := true
	pem := func(name, key string) certs.PEM {
		data, ok := disk.ReadFor(errs, name, "tls", key)
		good = good && ok
		return certs.PEM{File: disk.Path(name), Data: data}
	}
	for i := range t.Certificate {
		next := certs.KeyPair{Certificate: pem(t.Certificate[i], "certificate"), Key: pem(t.Key[i], "key")}
		if i == 0 {
			o.Certificate, o.Key = next.Certificate, next.Key
		} else {
			o.Others = append(o.Others, next)
		}
	}
	if t.ClientCA != "" {
		o.ClientCA = pem(t.ClientCA, "client_ca")
	}
	if t.ClientCRL != "" {
		o.ClientCRL = pem(t.ClientCRL, "client_crl")
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
