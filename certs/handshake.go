package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// Server returns the configuration of a TLS server. It calls current at each
// handshake and uses that generation.
func Server(current func() *Generation) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		// crypto/tls keeps the keys of session tickets in this outer configuration, so
		// they outlive a generation.
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return current().config, nil },
	}
}

// newConfig returns the configuration of handshakes that use this generation. The same
// certificates are served for every server name, and to clients that send none, such as
// PyBal and old Python versions.
func (g *Generation) newConfig() *tls.Config {
	config := &tls.Config{
		NextProtos: g.options.NextProtos,
		MinVersion: tls.VersionTLS12,
		// Small first records help browsers that show a page while it loads. Here they
		// would cost a system call for each kilobyte of a tree.
		DynamicRecordSizingDisabled: true,
		// Of the suites of TLS 1.2, only those with forward secrecy and AEAD are
		// offered. The suites of TLS 1.3 are not configurable, and all have both.
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
			tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
	}
	for _, p := range g.server {
		config.Certificates = append(config.Certificates, p.tls())
	}
	if len(g.server) > 1 {
		config.GetCertificate = choose(config.Certificates)
	}
	if g.pool == nil {
		return config
	}
	// These modes skip the verification of crypto/tls, which does not run when a
	// session is resumed. VerifyConnection below runs at every handshake.
	config.ClientAuth = tls.RequestClientCert
	if g.options.Require {
		config.ClientAuth = tls.RequireAnyClientCert
	}
	config.ClientCAs = g.pool // sent to clients, so that they can choose a certificate
	// Called before the first signature is checked, that of the handshake included.
	config.VerifyConnection = func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 {
			if g.options.Require {
				return errNoCertificate
			}
			return nil
		}
		_, err := g.verify(state.PeerCertificates, g.options.Now())
		return err
	}
	return config
}

// maxChain bounds the certificates that a client may send: its own and four intermediates.
// Each can cost some milliseconds to verify, and clients that are not known yet send them.
const maxChain = 5

func checkLength(chain int) error {
	if chain > maxChain {
		return fmt.Errorf("the client sent %d certificates, at most %d are accepted", chain, maxChain)
	}
	return nil
}

// choose returns a function that chooses the first certificate with which the client can
// do a handshake. Without it crypto/tls would also compare the server name, and would choose
// the first certificate for clients that know the server by another name.
func choose(list []tls.Certificate) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		unnamed := *hello
		unnamed.ServerName = ""
		for i := range list {
			if unnamed.SupportsCertificate(&list[i]) == nil {
				return &list[i], nil
			}
		}
		return &list[0], nil // the handshake fails, and its error says why
	}
}

var (
	errNoCertificate = errors.New("the client sent no certificate")
	errNoClientCA    = errors.New("there are no client CAs")
)

// Name is the name of a client.
type Name struct {
	Value string
	// Until is when the chain that proves the name expires.
	Until time.Time
}

// Identify verifies a client's certificate chain with the CAs of this generation at
// the given time, and returns the client's name. The error is a [NameError] if the chain is
// valid but does not name its client unambiguously.
func (g *Generation) Identify(chain []*x509.Certificate, now time.Time) (Name, error) {
	until, err := g.verify(chain, now)
	if err != nil {
		return Name{}, err
	}
	value, err := nameOf(g.options.Name, chain[0])
	if err != nil {
		return Name{}, err
	}
	return Name{Value: value, Until: until}, nil
}

// verify verifies a client's chain and returns the time until which it is valid.
func (g *Generation) verify(chain []*x509.Certificate, now time.Time) (until time.Time, err error) {
	switch {
	case g.pool == nil:
		return until, errNoClientCA
	case len(chain) == 0:
		return until, errNoCertificate
	}
	if err := checkLength(len(chain)); err != nil {
		return until, err
	}
	intermediates := x509.NewCertPool()
	for _, c := range chain[1:] {
		intermediates.AddCert(c)
	}
	verified, err := chain[0].Verify(x509.VerifyOptions{
		Roots: g.pool, Intermediates: intermediates, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return until, fmt.Errorf("verifying the client's certificate: %w", err)
	}
	for _, path := range verified {
		first, wrong := g.validUntil(path, now)
		if wrong != nil {
			err = wrong
		} else if first.After(until) { // one valid chain is enough
			until = first
		}
	}
	if until.IsZero() {
		return until, fmt.Errorf("verifying the client's certificate: %w", err)
	}
	return until, nil
}

// validUntil returns the time until which a verified path is valid: until its first
// certificate or the first of its revocation lists expires.
func (g *Generation) validUntil(path []*x509.Certificate, now time.Time) (until time.Time, err error) {
	if g.revoked != nil {
		if until, err = g.revoked.check(path, now); err != nil {
			return time.Time{}, err
		}
	}
	for _, c := range path {
		until = earlier(until, c.NotAfter)
	}
	return until, nil
}
