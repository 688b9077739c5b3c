package certs

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// PEM is the content of a file with PEM blocks.
type PEM struct {
	// File is its name, for error messages.
	File string
	Data []byte
}

// fileError is what is wrong with a file. It never repeats what the file holds.
func fileError(p PEM, problem, hint string) error {
	return fmt.Errorf("%s: %s (hint: %s)", p.File, problem, hint)
}

// blocks splits a file into its PEM blocks. Text between them is allowed, as
// openssl writes it; what looks like the start of a block and is none is not.
func blocks(p PEM) ([]*pem.Block, error) {
	var list []*pem.Block
	rest := p.Data
	for {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			break
		}
		list = append(list, block)
	}
	if n := bytes.Count(p.Data, []byte("-----BEGIN ")); n != len(list) {
		return nil, fileError(p, fmt.Sprintf("%d of %d PEM blocks are broken", n-len(list), n), "the file may be cut off, or two files were joined without a line end between them")
	}
	return list, nil
}

// parseCertificates reads a file of certificates, which must hold at least one.
func parseCertificates(p PEM) ([]*x509.Certificate, error) {
	list, err := blocks(p)
	if err != nil {
		return nil, err
	}
	var certificates []*x509.Certificate
	for _, block := range list {
		if block.Type != "CERTIFICATE" {
			if strings.HasSuffix(block.Type, "PRIVATE KEY") || block.Type == "EC PARAMETERS" {
				continue // a combined file
			}
			return nil, fileError(p, fmt.Sprintf("a block of type %q", block.Type), "the file should hold certificates")
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: certificate %d: %w", p.File, len(certificates)+1, err)
		}
		certificates = append(certificates, c)
	}
	if len(certificates) == 0 {
		return nil, fileError(p, "there is no certificate in it", "it should hold PEM blocks that begin with -----BEGIN CERTIFICATE-----")
	}
	return certificates, nil
}

// parseKey reads the one private key of a file.
func parseKey(p PEM) (crypto.Signer, error) {
	list, err := blocks(p)
	if err != nil {
		return nil, err
	}
	var keys []*pem.Block
	for _, block := range list {
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			keys = append(keys, block)
		}
	}
	switch {
	case len(keys) == 0:
		return nil, fileError(p, "there is no private key in it", "it should hold a PEM block that begins with -----BEGIN PRIVATE KEY-----")
	case len(keys) > 1:
		return nil, fileError(p, "there is more than one private key in it", "keep the one that belongs to the certificate")
	case keys[0].Type == "ENCRYPTED PRIVATE KEY" || keys[0].Headers["DEK-Info"] != "":
		return nil, fileError(p, "the private key is encrypted", "a service has nobody to ask for the passphrase; remove it with openssl pkey")
	}
	key, err := parseKeyBlock(keys[0])
	if err != nil {
		// Parsers' errors may hold bytes of what they could not parse.
		return nil, fileError(p, "the private key cannot be read", "RSA, ECDSA and Ed25519 keys in PKCS #8, PKCS #1 or SEC 1 can be")
	}
	return key, nil
}

func parseKeyBlock(block *pem.Block) (crypto.Signer, error) {
	var key any
	var err error
	switch block.Type {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	}
	if err != nil {
		return nil, err
	}
	switch key := key.(type) {
	case *rsa.PrivateKey:
		return key, nil
	case *ecdsa.PrivateKey:
		return key, nil
	case ed25519.PrivateKey:
		return key, nil
	}
	return nil, errors.New("a key of another kind")
}

// fits reports whether the key belongs to the certificate.
func fits(key crypto.Signer, c *x509.Certificate) bool {
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(c.PublicKey)
}
