package certs

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"time"
)

// credential is a certificate chain, the holder's own certificate first, with its private key.
type credential struct {
	chain []*x509.Certificate
	key   crypto.Signer
}

// parseCredential parses and checks a chain and its key.
func parseCredential(certificate, key PEM) (*credential, error) {
	chain, err := parseCertificates(certificate)
	if err != nil {
		return nil, err
	}
	signer, err := parseKey(key)
	if err != nil {
		return nil, err
	}
	if !keyMatches(signer, chain[0]) {
		for _, c := range chain[1:] {
			if keyMatches(signer, c) {
				return nil, fileError(certificate, "the chain is in the wrong order", "put the certificate that the key belongs to first, then the certificate that signed it")
			}
		}
		return nil, fileError(key, "the key does not belong to the certificate in "+certificate.File, "was only one of the two files replaced?")
	}
	for i, c := range chain[1:] {
		if err := chain[i].CheckSignatureFrom(c); err != nil {
			return nil, fileError(certificate, fmt.Sprintf("certificate %d was not signed by certificate %d", i+1, i+2), "put each certificate before the one that signed it, and remove certificates that are not part of the chain")
		}
	}
	return &credential{chain, signer}, nil
}

// tls returns the credential in the form that handshakes use.
func (p *credential) tls() tls.Certificate {
	c := tls.Certificate{PrivateKey: p.key, Leaf: p.chain[0]}
	for _, link := range p.chain {
		c.Certificate = append(c.Certificate, link.Raw)
	}
	return c
}

// warnings returns why others may refuse the certificate. These are warnings, not errors: a
// server with an expired certificate still serves clients that do not verify it, such as
// PyBal. A server that does not start serves no one.
func (p *credential) warnings(file string, usage x509.ExtKeyUsage, now time.Time) []string {
	var list []string
	warn := func(form string, args ...any) { list = append(list, file+": "+fmt.Sprintf(form, args...)) }
	leaf := p.chain[0]
	if now.After(leaf.NotAfter) {
		warn("the certificate expired at %s", leaf.NotAfter.Format(time.RFC3339))
	}
	if now.Before(leaf.NotBefore) {
		warn("the certificate is not valid before %s", leaf.NotBefore.Format(time.RFC3339))
	}
	if usage == x509.ExtKeyUsageServerAuth && len(leaf.DNSNames)+len(leaf.IPAddresses) == 0 {
		warn("the certificate names no host; clients that verify it will refuse it")
	}
	if len(leaf.ExtKeyUsage) > 0 && !slices.Contains(leaf.ExtKeyUsage, usage) && !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny) {
		if usage == x509.ExtKeyUsageServerAuth {
			warn("the certificate is not for servers; clients that verify it will refuse it")
		} else {
			warn("the certificate is not for clients; servers that verify it will refuse it")
		}
	}
	return list
}

// ClientPair returns the certificate and the key with which this program identifies itself
// to another server. The warnings are reasons for which that server may refuse them.
func ClientPair(certificate, key PEM, now time.Time) (pair tls.Certificate, warnings []string, err error) {
	p, err := parseCredential(certificate, key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	return p.tls(), p.warnings(certificate.File, x509.ExtKeyUsageClientAuth, now), nil
}
