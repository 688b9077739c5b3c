package daemon

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	"etcd-tlsproxy/certs"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/config"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/files"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/upstream"
	"etcd-tlsproxy/proxy/v2v3"
)

// origin holds what the files of [upstream] contain.
type origin struct {
	ca, certificate, key []byte
	authorization        string      // of the user; "" if there is none
	password             string      // of the user
	notAfter             time.Time   // the end of the certificate; zero without one
	tls                  *tls.Config // nil if no endpoint can have TLS
	warnings             []string
}

// same reports whether the files have the same contents, and the same user's name goes with them.
func (o *origin) same(other *origin) bool {
	return o.authorization == other.authorization && len(o.changed(other)) == 0
}

// changed returns the settings whose files had other contents before.
func (o *origin) changed(before *origin) (keys []string) {
	for _, file := range []struct {
		key  string
		same bool
	}{
		{"upstream.ca", bytes.Equal(o.ca, before.ca)},
		{"upstream.certificate", bytes.Equal(o.certificate, before.certificate)},
		{"upstream.key", bytes.Equal(o.key, before.key)},
		{"upstream.password_file", o.password == before.password},
	} {
		if !file.same {
			keys = append(keys, file.key)
		}
	}
	return keys
}

// load reads the files. It prepares TLS to etcd if an endpoint is https, or can be once
// endpoints are discovered.
func (o *origin) load(disk *files.Reader, errs *config.Errors, c *config.Parsed) {
	u := &c.Upstream
	if u.User != "" {
		o.loadPassword(disk, errs, u)
	}
	if u.SRV == "" && !slices.ContainsFunc(c.Endpoints, upstream.Endpoint.TLS) {
		return
	}
	o.tls = &tls.Config{ServerName: u.ServerName, InsecureSkipVerify: u.InsecureSkipVerify, MinVersion: tls.VersionTLS12}
	if u.CA != "" {
		o.loadCA(disk, errs, u)
	}
	if u.Certificate != "" {
		o.loadCertificate(disk, errs, u)
	}
}

// loadAgain reads the files that the settings in force name. A certificate is renewed even
// while other settings are not valid, and a wrong one does not replace the previous one.
func (o *origin) loadAgain(disk *files.Reader, c *config.Parsed, before *loaded) {
	errs := c.Document.NewErrors()
	if o.load(disk, errs, c); errs.Err() != nil {
		*o = before.origin
	}
}

func (o *origin) loadPassword(disk *files.Reader, errs *config.Errors, u *config.Upstream) {
	text, ok := disk.ReadFor(errs, u.PasswordFile, "upstream", "password_file")
	if !ok {
		return
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	password := strings.TrimSuffix(string(line), "\r")
	if password == "" {
		errs.Add(disk.Path(u.PasswordFile)+": the first line is empty", "write the password of "+u.User+" there", "upstream", "password_file")
		return
	}
	o.password, o.authorization = password, "Basic "+base64.StdEncoding.EncodeToString([]byte(u.User+":"+password))
}

func (o *origin) loadCA(disk *files.Reader, errs *config.Errors, u *config.Upstream) {
	var ok bool
	if o.ca, ok = disk.ReadFor(errs, u.CA, "upstream", "ca"); !ok {
		return
	}
	roots, warnings, err := certs.Roots(certs.PEM{File: disk.Path(u.CA), Data: o.ca})
	if err != nil {
		errs.Add(err.Error(), "", "upstream", "ca")
		return
	}
	o.tls.RootCAs = roots
	o.warnings = append(o.warnings, warnings...)
}

func (o *origin) loadCertificate(disk *files.Reader, errs *config.Errors, u *config.Upstream) {
	var ok, alsoOK bool
	o.certificate, ok = disk.ReadFor(errs, u.Certificate, "upstream", "certificate")
	o.key, alsoOK = disk.ReadFor(errs, u.Key, "upstream", "key")
	if !ok || !alsoOK {
		return
	}
	pair, warnings, err := certs.ClientPair(
		certs.PEM{File: disk.Path(u.Certificate), Data: o.certificate}, certs.PEM{File: disk.Path(u.Key), Data: o.key}, time.Now())
	if err != nil {
		errs.Add(err.Error(), "", "upstream", "certificate")
		return
	}
	o.warnings = append(o.warnings, warnings...)
	o.notAfter = pair.Leaf.NotAfter
	// A list of certificates would be sent only if etcd names their CA. An etcd that does
	// not would then report that there is no certificate, instead of what is wrong with it.
	o.tls.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
}

// etcdUsers returns which of etcd's own users can act through the proxy.
func etcdUsers(u *config.Upstream) gate.EtcdUsers {
	switch {
	case u.Forwards():
		return gate.EtcdClients
	case u.User == "root": // etcd's users cannot be enabled without a root of this name
		return gate.EtcdRoot
	}
	return gate.NoEtcdUser
}

// checkEtcdUsers warns of an opened surface whose most important request is refused.
func (s *loaded) checkEtcdUsers() {
	if _, open := s.config.Surfaces["auth"]; open && s.snapshot.EtcdUsers == gate.NoEtcdUser {
		s.warnings = append(s.warnings, s.doc.Warning(
			`etcd's own users cannot be enabled here, because nobody could disable them again (hint: set upstream.credentials = "forward", or upstream.user = "root")`, "surfaces", "auth"))
	}
}

// describeOrigin says what etcd receives to identify the sender of a request. It is "" for
// the default, which is nothing.
func describeOrigin(u *config.Upstream) string {
	switch {
	case u.Forwards():
		return "upstream.credentials: etcd receives the credentials of clients, so its users need the same passwords as those of auth.htpasswd"
	case u.User != "":
		return fmt.Sprintf("upstream.user: etcd receives all requests as from its user %q", u.User)
	}
	return ""
}

// members returns the addresses of an endpoint for the v3 API.
func (o *origin) members(e upstream.Endpoint) (list []v2v3.Endpoint) {
	var secure *tls.Config
	if e.TLS() {
		secure = &tls.Config{MinVersion: tls.VersionTLS12}
		if o.tls != nil {
			secure = o.tls.Clone()
		}
		if secure.ServerName == "" {
			secure.ServerName = e.Host()
		}
	}
	for _, address := range e.Addresses() {
		list = append(list, v2v3.Endpoint{Addr: address, TLS: secure})
	}
	return list
}
