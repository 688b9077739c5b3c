package certs

import (
	"crypto/x509"
	"fmt"
)

// Roots returns the CAs of a bundle that verifies other servers. A block that cannot be used
// is a warning as long as another can: bundles of operating systems contain certificates that
// crypto/x509 does not accept, and leaving one out only makes fewer servers acceptable.
func Roots(p PEM) (pool *x509.CertPool, warnings []string, err error) {
	blocks, err := decodeBlocks(p)
	if err != nil {
		warnings = append(warnings, err.Error())
	}
	pool, usable := x509.NewCertPool(), false
	for _, b := range blocks {
		if !b.isCertificate() {
			continue
		}
		c, trust, err := parseCertificate(b)
		switch {
		case err != nil:
			warnings = append(warnings, fmt.Sprintf("%s: %s is not used: %v", p.File, b, err))
		case trust:
			warnings = append(warnings, fmt.Sprintf("%s: %s is not used: it carries openssl's settings of trust, which are not applied", p.File, b))
		default:
			pool.AddCert(c)
			usable = true
		}
	}
	switch {
	case usable:
		return pool, warnings, nil
	case err != nil:
		return nil, nil, err
	}
	return nil, nil, fileError(p, "it contains no usable certificate", "it should contain PEM blocks that begin with -----BEGIN CERTIFICATE-----")
}
