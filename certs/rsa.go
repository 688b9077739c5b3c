package certs

import (
	"crypto/rsa"
	"crypto/x509"
	"fmt"
)

const (
	// minRSA is the smallest RSA key with which crypto/tls makes or verifies a signature.
	minRSA = 1024
	// usualRSA is the smallest RSA key that OpenSSL accepts at its usual security level.
	usualRSA = 2048
)

// rsaBits returns the size of the certificate's RSA key, or 0 for another kind of key.
func rsaBits(c *x509.Certificate) int {
	if key, ok := c.PublicKey.(*rsa.PublicKey); ok {
		return key.N.BitLen()
	}
	return 0
}

// checkRSA refuses a certificate with whose key no handshake can succeed.
func checkRSA(file PEM, c *certificate) error {
	if bits := rsaBits(c.Certificate); bits > 0 && bits < minRSA {
		return fileError(file, fmt.Sprintf("%s has an RSA key of %d bits, which no connection can use", c, bits), "make a new key with at least 2,048 bits, or an ECDSA key")
	}
	return nil
}

// weakRSA says why many peers refuse a certificate, or returns "".
func weakRSA(c *x509.Certificate) string {
	if bits := rsaBits(c); bits > 0 && bits < usualRSA {
		return fmt.Sprintf("has an RSA key of %d bits; many programs refuse keys below 2,048 bits", bits)
	}
	return ""
}
