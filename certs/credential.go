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

// parseCredential parses and checks a chain and its key. The order of the certificates in the
// file does not matter, as long as all of them are part of the chain.
func parseCredential(file, keyFile PEM) (*credential, error) {
	list, err := parseCertificates(file)
	if err != nil {
		return nil, err
	}
	keys, wrong, err := parseKeys(keyFile)
	if err != nil {
		return nil, err
	}
	leaf, key := match(list, keys)
	switch {
	case leaf != nil:
	case wrong != nil:
		return nil, wrong
	default:
		return nil, fileError(keyFile, "the key does not belong to the certificate in "+file.File, "was only one of the two files replaced?")
	}
	if err := checkRSA(file, leaf); err != nil {
		return nil, err
	}
	chain, err := order(file, leaf, list)
	if err != nil {
		return nil, err
	}
	return &credential{chain, key}, nil
}

// match returns the holder's own certificate, which is the first that one of the keys
// belongs to, and that key.
func match(list []*certificate, keys []crypto.Signer) (*certificate, crypto.Signer) {
	for _, c := range list {
		for _, key := range keys {
			if samePublic(key, c.PublicKey) {
				return c, key
			}
		}
	}
	return nil, nil
}

// order returns the chain of a certificate: each certificate stands behind one that it
// signed. There may be several that signed the same one, because a CA that another CA
// has signed as well has two certificates.
func order(file PEM, leaf *certificate, list []*certificate) ([]*x509.Certificate, error) {
	chain := []*x509.Certificate{leaf.Certificate}
	rest := slices.DeleteFunc(slices.Clone(list), func(c *certificate) bool { return c == leaf })
	for i := 0; i < len(chain); i++ {
		rest = slices.DeleteFunc(rest, func(c *certificate) bool {
			signed := chain[i].CheckSignatureFrom(c.Certificate) == nil
			if signed {
				chain = append(chain, c.Certificate)
			}
			return signed
		})
	}
	if len(rest) > 0 {
		return nil, fileError(file, fmt.Sprintf("%s did not sign %s, nor another certificate of its chain", rest[0], leaf),
			"remove it if it is not part of the chain, or add the certificate between them")
	}
	return chain, nil
}

// kind returns the kind of the key. A server needs at most one certificate of each.
func (p *credential) kind() x509.PublicKeyAlgorithm { return p.chain[0].PublicKeyAlgorithm }

// rank orders the certificates of a server: RSA is last.
func (p *credential) rank() int {
	if p.kind() == x509.RSA {
		return 1
	}
	return 0
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
	for i, c := range p.chain {
		if weak := weakRSA(c); weak != "" {
			warn("certificate %d of the chain %s", i+1, weak)
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
