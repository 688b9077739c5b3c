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

// PEM is the content of a file of PEM blocks.
type PEM struct {
	// File is the name of the file, for error messages.
	File string
	Data []byte
}

// fileError returns an error about a file. It must not repeat the content of the file.
func fileError(p PEM, problem, hint string) error {
	return fmt.Errorf("%s: %s (hint: %s)", p.File, problem, hint)
}

// decodeBlocks splits a file into its PEM blocks. Text between them is allowed because
// openssl writes some. A line that begins a block which cannot be decoded is an error.
func decodeBlocks(p PEM) ([]*pem.Block, error) {
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
		return nil, fileError(p, fmt.Sprintf("%d of %d PEM blocks cannot be decoded", n-len(list), n), "the file may be truncated, or two files were joined without a newline between them")
	}
	return list, nil
}

// parseCertificates parses a file that must contain at least one certificate.
func parseCertificates(p PEM) ([]*x509.Certificate, error) {
	list, err := decodeBlocks(p)
	if err != nil {
		return nil, err
	}
	var certificates []*x509.Certificate
	for _, block := range list {
		if block.Type != "CERTIFICATE" {
			if strings.HasSuffix(block.Type, "PRIVATE KEY") || block.Type == "EC PARAMETERS" {
				continue // the file also holds the key
			}
			return nil, fileError(p, fmt.Sprintf("it contains a PEM block of type %q", block.Type), "the file should contain certificates only")
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: certificate %d: %w", p.File, len(certificates)+1, err)
		}
		certificates = append(certificates, c)
	}
	if len(certificates) == 0 {
		return nil, fileError(p, "it contains no certificate", "it should contain PEM blocks that begin with -----BEGIN CERTIFICATE-----")
	}
	return certificates, nil
}

// parseKey parses a file that must contain exactly one private key.
func parseKey(p PEM) (crypto.Signer, error) {
	list, err := decodeBlocks(p)
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
		return nil, fileError(p, "it contains no private key", "it should contain a PEM block that begins with -----BEGIN PRIVATE KEY-----")
	case len(keys) > 1:
		return nil, fileError(p, "it contains more than one private key", "keep the key that belongs to the certificate")
	case keys[0].Type == "ENCRYPTED PRIVATE KEY" || keys[0].Headers["DEK-Info"] != "":
		return nil, fileError(p, "the private key is encrypted", "the service cannot ask for a passphrase; remove it with openssl pkey")
	}
	key, err := parseKeyBlock(keys[0])
	if err != nil {
		// The parser's error could contain bytes of the key.
		return nil, fileError(p, "the private key is not valid", "RSA, ECDSA and Ed25519 keys in PKCS #8, PKCS #1 or SEC 1 form are accepted")
	}
	return key, nil
}

// parseKeyBlock parses a private key in the form that the type of the block names.
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
	return nil, errors.New("the key is of another kind")
}

// keyMatches reports whether the key belongs to the certificate.
func keyMatches(key crypto.Signer, c *x509.Certificate) bool {
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(c.PublicKey)
}
