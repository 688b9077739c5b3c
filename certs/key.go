package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"slices"
)

// parseKeys returns the private keys of a file, each once. A key that cannot be used is
// skipped; wrong says why, for the case that none of the others is the right one.
func parseKeys(p PEM) (keys []crypto.Signer, wrong error, err error) {
	blocks, err := decodeBlocks(p)
	if err != nil {
		return nil, nil, err
	}
	for _, b := range blocks {
		if !b.isKey() {
			continue
		}
		key, err := parseKey(p, b)
		switch {
		case err != nil && wrong == nil:
			wrong = err
		case err == nil && !slices.ContainsFunc(keys, func(other crypto.Signer) bool { return samePublic(other, key.Public()) }):
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 && wrong == nil {
		wrong = fileError(p, "it contains no private key", "it should contain a PEM block that begins with -----BEGIN PRIVATE KEY-----")
	}
	return keys, wrong, nil
}

// parseKey parses one private key. The parser's errors could contain bytes of the key, so
// they are not repeated.
func parseKey(p PEM, b *block) (crypto.Signer, error) {
	if b.Type == "ENCRYPTED PRIVATE KEY" || b.Headers["DEK-Info"] != "" {
		return nil, fileError(p, "the private key is encrypted: "+b.String(), "the service cannot ask for a passphrase; remove it with openssl pkey")
	}
	if isPSSKey(b) {
		return nil, fileError(p, "the private key is for RSA-PSS only: "+b.String(), "use an ordinary RSA key, with which TLS makes RSA-PSS signatures as well")
	}
	key, err := parseKeyBlock(b)
	if err != nil {
		return nil, fileError(p, "the private key is not valid: "+b.String(), "RSA, ECDSA and Ed25519 keys in PKCS #8, PKCS #1 or SEC 1 form are accepted")
	}
	return key, nil
}

// parseKeyBlock parses a private key in the form that the type of the block names.
func parseKeyBlock(b *block) (crypto.Signer, error) {
	var key any
	var err error
	switch b.Type {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(b.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(b.Bytes)
	default:
		key, err = x509.ParsePKCS8PrivateKey(b.Bytes)
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

// oidPSS marks keys that may sign with RSA-PSS only. crypto/tls does not support them.
var oidPSS = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}

func isPSSKey(b *block) bool {
	var key struct {
		Version   int
		Algorithm pkix.AlgorithmIdentifier
		Key       []byte
	}
	_, err := asn1.Unmarshal(b.Bytes, &key)
	return err == nil && key.Algorithm.Algorithm.Equal(oidPSS)
}

// samePublic reports whether a public key is that of a private key.
func samePublic(key crypto.Signer, public crypto.PublicKey) bool {
	own, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && own.Equal(public)
}
