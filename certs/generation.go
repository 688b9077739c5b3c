package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Options are the contents of a [Generation].
type Options struct {
	// Certificate is the server's chain, its own certificate first. Key is the
	// private key of that certificate.
	Certificate, Key PEM
	// ClientCA is the bundle of CAs that may issue certificates of clients. With the
	// zero value the server requests no certificates.
	ClientCA PEM
	// Require refuses clients without a certificate.
	Require bool
	// Name selects the part of a certificate that is the client's name.
	Name NameRule
	// NextProtos are the protocols offered by ALPN, in order of preference.
	NextProtos []string
	// Now is the clock. The default is time.Now.
	Now func() time.Time
}

// Generation is a validated, immutable set of certificates.
type Generation struct {
	options  Options
	server   []*x509.Certificate
	clients  []*x509.Certificate
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
	key, err := g.loadServer()
	if err != nil {
		return nil, err
	}
	if o.ClientCA.File != "" || len(o.ClientCA.Data) > 0 {
		if err := g.loadClientCA(); err != nil {
			return nil, err
		}
	} else if o.Require {
		return nil, errors.New("client certificates are required, but there are no CAs to verify them with")
	}
	chain := tls.Certificate{PrivateKey: key, Leaf: g.server[0]}
	for _, c := range g.server {
		chain.Certificate = append(chain.Certificate, c.Raw)
	}
	g.config = g.newConfig(chain)
	return g, nil
}

// loadServer parses and checks the server's chain and its key.
func (g *Generation) loadServer() (key any, err error) {
	o := &g.options
	if g.server, err = parseCertificates(o.Certificate); err != nil {
		return nil, err
	}
	signer, err := parseKey(o.Key)
	if err != nil {
		return nil, err
	}
	leaf := g.server[0]
	if !keyMatches(signer, leaf) {
		for _, c := range g.server[1:] {
			if keyMatches(signer, c) {
				return nil, fileError(o.Certificate, "the chain is in the wrong order", "put the server's own certificate first, then the certificate that signed it")
			}
		}
		return nil, fileError(o.Key, "the key does not belong to the certificate in "+o.Certificate.File, "was only one of the two files replaced?")
	}
	for i, c := range g.server[1:] {
		if err := g.server[i].CheckSignatureFrom(c); err != nil {
			return nil, fileError(o.Certificate, fmt.Sprintf("certificate %d was not signed by certificate %d", i+1, i+2), "put each certificate before the one that signed it, and remove certificates that are not part of the chain")
		}
	}
	now := o.Now()
	// These are warnings, not errors. With an expired certificate the server still
	// serves clients that do not verify it, such as PyBal. A server that does not
	// start serves no one.
	if now.After(leaf.NotAfter) {
		g.warn("%s: the certificate expired at %s", o.Certificate.File, leaf.NotAfter.Format(time.RFC3339))
	}
	if now.Before(leaf.NotBefore) {
		g.warn("%s: the certificate is not valid before %s", o.Certificate.File, leaf.NotBefore.Format(time.RFC3339))
	}
	if len(leaf.DNSNames)+len(leaf.IPAddresses) == 0 {
		g.warn("%s: the certificate names no host; clients that verify it will refuse it", o.Certificate.File)
	}
	if len(leaf.ExtKeyUsage) > 0 && !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageServerAuth) && !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny) {
		g.warn("%s: the certificate is not for servers; clients that verify it will refuse it", o.Certificate.File)
	}
	return signer, nil
}

// loadClientCA parses and checks the bundle of client CAs.
func (g *Generation) loadClientCA() error {
	o := &g.options
	var err error
	if g.clients, err = parseCertificates(o.ClientCA); err != nil {
		return err
	}
	g.pool = x509.NewCertPool()
	now, usable := o.Now(), 0
	for i, c := range g.clients {
		if !c.BasicConstraintsValid || !c.IsCA {
			return fileError(o.ClientCA, fmt.Sprintf("certificate %d is not a CA certificate", i+1), "remove it from the bundle; a client certificate in it would be trusted without a CA")
		}
		if now.After(c.NotAfter) {
			g.warn("%s: certificate %d expired at %s", o.ClientCA.File, i+1, c.NotAfter.Format(time.RFC3339))
		} else {
			usable++
		}
		g.pool.AddCert(c)
	}
	if usable == 0 {
		return fileError(o.ClientCA, "all CA certificates have expired", "no client could be identified by a certificate; renew the bundle")
	}
	return nil
}

func (g *Generation) warn(format string, args ...any) {
	g.warnings = append(g.warnings, fmt.Sprintf(format, args...))
}

// Warnings returns problems that an operator should know about but that are not
// errors.
func (g *Generation) Warnings() []string { return g.warnings }

// Required reports whether clients without a certificate are refused.
func (g *Generation) Required() bool { return g.options.Require }

// Serves reports whether the server's certificate is valid for the host name.
func (g *Generation) Serves(host string) bool { return g.server[0].VerifyHostname(host) == nil }

// HasClientCA reports whether clients can be identified by a certificate.
func (g *Generation) HasClientCA() bool { return g.pool != nil }

// Expiry says when a certificate expires.
type Expiry struct {
	// Role is "server" or "client_ca".
	Role     string
	Subject  string
	NotAfter time.Time
}

// Certificates returns the expiry of every certificate of the generation.
func (g *Generation) Certificates() []Expiry {
	var list []Expiry
	for _, c := range g.server {
		list = append(list, Expiry{"server", c.Subject.String(), c.NotAfter})
	}
	for _, c := range g.clients {
		list = append(list, Expiry{"client_ca", c.Subject.String(), c.NotAfter})
	}
	return list
}

// Equal reports whether both generations were made of the same options, the clock
// aside.
func (g *Generation) Equal(other *Generation) bool {
	a, b := &g.options, &other.options
	return bytes.Equal(a.Certificate.Data, b.Certificate.Data) && bytes.Equal(a.Key.Data, b.Key.Data) &&
		bytes.Equal(a.ClientCA.Data, b.ClientCA.Data) && a.Require == b.Require && a.Name == b.Name &&
		slices.Equal(a.NextProtos, b.NextProtos)
}
