package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// Server is the configuration of a TLS server that uses, at each handshake, the
// generation that is current then.
func Server(current func() *Generation) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		// The keys of session tickets live here, above the generations.
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return current().config, nil },
	}
}

// newConfig is the part of a handshake that belongs to a generation. There is
// one certificate for every name, or none: PyBal and old Pythons send none.
func (g *Generation) newConfig(chain tls.Certificate) *tls.Config {
	config := &tls.Config{
		Certificates: []tls.Certificate{chain},
		NextProtos:   g.options.NextProtos,
		MinVersion:   tls.VersionTLS12,
		// Small records at first are for browsers that show a page while it loads;
		// here they would cost a system call for each kilobyte of a tree.
		DynamicRecordSizingDisabled: true,
		// Suites without forward secrecy or without AEAD are left out of TLS 1.2;
		// those of TLS 1.3 cannot be chosen and need not be.
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
			tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
	}
	if g.pool == nil {
		return config
	}
	// Go's own verification is left out (the two "any" modes): it does not run on
	// resumed sessions, and ours, which does, would be the second one.
	config.ClientAuth = tls.RequestClientCert
	if g.options.Require {
		config.ClientAuth = tls.RequireAnyClientCert
	}
	config.ClientCAs = g.pool // named to clients, so that they can choose a certificate
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

var (
	errNoCertificate = errors.New("the client showed no certificate")
	errNoClientCA    = errors.New("there are no client CAs")
)

// Name is a name and the time until which it may be relied on.
type Name struct {
	Value string
	Until time.Time
}

// Identify finds out whose certificate chain it is, by this generation's CAs and
// at the given time.
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

// verify checks a client's chain and reports until when it holds.
func (g *Generation) verify(chain []*x509.Certificate, now time.Time) (until time.Time, err error) {
	switch {
	case g.pool == nil:
		return until, errNoClientCA
	case len(chain) == 0:
		return until, errNoCertificate
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
		first := path[0].NotAfter
		for _, c := range path[1:] {
			if c.NotAfter.Before(first) {
				first = c.NotAfter
			}
		}
		if first.After(until) { // one chain that holds is enough
			until = first
		}
	}
	return until, nil
}
