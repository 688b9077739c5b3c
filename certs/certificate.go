package certs

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
)

// certificate is a certificate in a file.
type certificate struct {
	*x509.Certificate
	number, line int // among the certificates of the file, and of its block
	// trust is set if openssl's settings of trust follow the certificate.
	trust bool
}

func (c *certificate) String() string {
	return fmt.Sprintf("certificate %d (line %d)", c.number, c.line)
}

// parseCertificates parses a file that must contain at least one certificate. A
// certificate that is in the file twice is returned once.
func parseCertificates(p PEM) ([]*certificate, error) {
	blocks, err := decodeBlocks(p)
	if err != nil {
		return nil, err
	}
	var list []*certificate
	number := 0
	for _, b := range blocks {
		switch {
		case b.isCertificate():
		case b.isKey(), slices.Contains(beside, b.Type):
			continue
		case b.Type == "X509 CRL":
			return nil, fileError(p, b.String()+" is a revocation list", "name a file with the lists in tls.client_crl, and remove it here")
		default:
			return nil, fileError(p, b.String()+" is not a certificate", "the file should contain certificates only")
		}
		number++
		c := &certificate{number: number, line: b.line}
		if c.Certificate, c.trust, err = parseCertificate(b); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", p.File, c, err)
		}
		if !slices.ContainsFunc(list, func(other *certificate) bool { return other.Equal(c.Certificate) }) {
			list = append(list, c)
		}
	}
	if len(list) == 0 {
		return nil, fileError(p, "it contains no certificate", "it should contain PEM blocks that begin with -----BEGIN CERTIFICATE-----")
	}
	return list, nil
}

// isCertificate reports whether a block holds a certificate. The other types are those of
// openssl, the first for old programs.
func (b *block) isCertificate() bool {
	return b.Type == "CERTIFICATE" || b.Type == "X509 CERTIFICATE" || b.Type == "TRUSTED CERTIFICATE"
}

// parseCertificate parses a block. In one of type TRUSTED CERTIFICATE, openssl's own
// settings can follow the certificate: trust is set if they limit its use.
func parseCertificate(b *block) (c *x509.Certificate, trust bool, err error) {
	der := b.Bytes
	if b.Type == "TRUSTED CERTIFICATE" {
		var whole asn1.RawValue
		settings, err := asn1.Unmarshal(der, &whole)
		if err != nil {
			return nil, false, errNotDER
		}
		der = whole.FullBytes
		if trust, err = limitsTrust(settings); err != nil {
			return nil, false, err
		}
	}
	c, err = x509.ParseCertificate(der)
	return c, trust, err
}

var errNotDER = errors.New("the block is not in DER")

// limitsTrust reports whether openssl's settings list the uses of a certificate. The first
// of its fields are the accepted uses and, with the tag 0, the refused ones.
func limitsTrust(settings []byte) (bool, error) {
	if len(settings) == 0 {
		return false, nil
	}
	var list asn1.RawValue
	if rest, err := asn1.Unmarshal(settings, &list); err != nil || len(rest) > 0 || list.Tag != asn1.TagSequence {
		return false, errNotDER
	}
	for rest := list.Bytes; len(rest) > 0; {
		var field asn1.RawValue
		var err error
		if rest, err = asn1.Unmarshal(rest, &field); err != nil {
			return false, errNotDER
		}
		if field.Class == asn1.ClassUniversal && field.Tag == asn1.TagSequence || field.Class == asn1.ClassContextSpecific && field.Tag == 0 {
			return true, nil
		}
	}
	return false, nil
}
