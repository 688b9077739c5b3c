package certs

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Options are the contents of a [Generation].
type Options struct {
	// Certificate is the server's chain, in any order. Key is the private key of its
	// own certificate.
	Certificate, Key PEM
	// Others are further certificates of this server with keys of other kinds, for clients
	// that do not support the first.
	Others []KeyPair
	// ClientCA is the bundle of CAs that may issue certificates of clients. With the
	// zero value the server requests no certificates.
	ClientCA PEM
	// ClientCRL is a file of revocation lists of the CAs of clients. With the zero value no
	// certificate counts as revoked. Otherwise each certificate between a client and a CA of
	// ClientCA must be covered by a list in force.
	ClientCRL PEM
	// Require refuses clients without a certificate.
	Require bool
	// Name selects the part of a certificate that is the client's name.
	Name NameRule
	// NextProtos are the protocols offered by ALPN, in order of preference.
	NextProtos []string
	// Now is the clock. The default is time.Now.
	Now func() time.Time
}

// KeyPair is a server's chain and the private key of its first certificate.
type KeyPair struct{ Certificate, Key PEM }

// Generation is a validated, immutable set of certificates.
type Generation struct {
	options  Options
	server   []*credential
	clients  []*x509.Certificate
	revoked  *revocations   // nil without lists
	pool     *x509.CertPool // nil if the server requests no certificates
	config   *tls.Config
	warnings []string
}

// New validates the options and makes a generation of them. An error names the file.
func New(o Options) (*Generation, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	g := &Generation{options: o}
	if err := g.loadServer(); err != nil {
		return nil, err
	}
	if o.ClientCA.given() {
		if err := g.loadClientCA(); err != nil {
			return nil, err
		}
	} else if o.Require {
		return nil, errors.New("client certificates are required, but there are no CAs to verify them with")
	} else if o.ClientCRL.given() {
		return nil, errors.New("there are revocation lists of client CAs, but there are no client CAs")
	}
	g.config = g.newConfig()
	return g, nil
}

// loadServer parses and checks the server's certificates and their keys.
func (g *Generation) loadServer() error {
	o := &g.options
	for i, files := range append([]KeyPair{{o.Certificate, o.Key}}, o.Others...) {
		next, err := parseCredential(files.Certificate, files.Key)
		if err != nil {
			return err
		}
		for _, other := range g.server {
			if other.kind() == next.kind() {
				return fileError(files.Certificate, fmt.Sprintf("certificate %d of the server has a second key of the kind %s", i+1, next.kind()), "list at most one certificate of each kind, as RSA and ECDSA")
			}
		}
		g.server = append(g.server, next)
		g.warnings = append(g.warnings, next.warnings(files.Certificate.File, x509.ExtKeyUsageServerAuth, o.Now())...)
	}
	// All clients support RSA, so no other certificate would be used behind it. The others cost
	// the server and the client less.
	slices.SortStableFunc(g.server, func(a, b *credential) int { return cmp.Compare(a.rank(), b.rank()) })
	return nil
}

// loadClientCA parses and checks the bundle of client CAs.
func (g *Generation) loadClientCA() error {
	o := &g.options
	list, err := parseCertificates(o.ClientCA)
	if err != nil {
		return err
	}
	g.pool = x509.NewCertPool()
	now, usable := o.Now(), 0
	for _, c := range list {
		if weak := weakRSA(c.Certificate); weak != "" {
			g.warn("%s: %s %s", o.ClientCA.File, c, weak)
		}
		switch {
		case !c.BasicConstraintsValid || !c.IsCA:
			return fileError(o.ClientCA, c.String()+" is not a CA certificate", "remove it from the bundle; a client certificate in it would be trusted without a CA")
		case c.trust:
			return fileError(o.ClientCA, c.String()+" carries openssl's settings of trust, which are not applied", "write it without them, as openssl x509 -clrtrust -clrreject does")
		case now.After(c.NotAfter):
			g.warn("%s: %s expired at %s", o.ClientCA.File, c, c.NotAfter.Format(time.RFC3339))
		default:
			usable++
		}
		g.clients = append(g.clients, c.Certificate)
		g.pool.AddCert(c.Certificate)
	}
	if usable == 0 {
		return fileError(o.ClientCA, "all CA certificates have expired", "no client could be identified by a certificate; renew the bundle")
	}
	if !o.ClientCRL.given() {
		return nil
	}
	var warnings []string
	g.revoked, warnings, err = newRevocations(o.ClientCRL, g.clients, now)
	g.warnings = append(g.warnings, warnings...)
	return err
}

func (g *Generation) warn(format string, args ...any) {
	g.warnings = append(g.warnings, fmt.Sprintf(format, args...))
}

// Warnings returns problems that an operator should know about but that are not
// errors.
func (g *Generation) Warnings() []string { return g.warnings }

// Required reports whether clients without a certificate are refused.
func (g *Generation) Required() bool { return g.options.Require }

// Serves reports whether a certificate of the server is valid for the host name.
func (g *Generation) Serves(host string) bool {
	return slices.ContainsFunc(g.server, func(p *credential) bool { return p.chain[0].VerifyHostname(host) == nil })
}

// HasClientCA reports whether clients can be identified by a certificate.
func (g *Generation) HasClientCA() bool { return g.pool != nil }

// Expiry says when a certificate or a revocation list expires.
type Expiry struct {
	// Role is "server", "client_ca" or, for a revocation list, "client_crl". The time of a
	// list is that of the next one.
	Role string
	// Subject is the subject of the certificate, or the CA of the list.
	Subject  string
	NotAfter time.Time
}

// Certificates returns the expiry of every certificate of the generation.
func (g *Generation) Certificates() []Expiry {
	var list []Expiry
	for _, p := range g.server {
		for _, c := range p.chain {
			list = append(list, Expiry{"server", c.Subject.String(), c.NotAfter})
		}
	}
	for _, c := range g.clients {
		list = append(list, Expiry{"client_ca", c.Subject.String(), c.NotAfter})
	}
	return list
}

// RevocationLists returns the expiry of every revocation list that has one.
func (g *Generation) RevocationLists() []Expiry {
	if g.revoked == nil {
		return nil
	}
	var list []Expiry
	for _, l := range g.revoked.lists {
		if !l.NextUpdate.IsZero() {
			list = append(list, Expiry{"client_crl", l.Issuer.String(), l.NextUpdate})
		}
	}
	return list
}

// Equal reports whether both generations were made of the same options, the clock
// aside.
func (g *Generation) Equal(other *Generation) bool {
	a, b := &g.options, &other.options
	same := func(a, b KeyPair) bool {
		return bytes.Equal(a.Certificate.Data, b.Certificate.Data) && bytes.Equal(a.Key.Data, b.Key.Data)
	}
	return same(KeyPair{a.Certificate, a.Key}, KeyPair{b.Certificate, b.Key}) && slices.EqualFunc(a.Others, b.Others, same) &&
		bytes.Equal(a.ClientCA.Data, b.ClientCA.Data) && bytes.Equal(a.ClientCRL.Data, b.ClientCRL.Data) && a.Require == b.Require && a.Name == b.Name &&
		slices.Equal(a.NextProtos, b.NextProtos)
}
