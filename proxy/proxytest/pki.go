package proxytest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"time"
)

// PKI is a certificate authority for one test.
type PKI struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewPKI returns a new authority.
func NewPKI() (*PKI, error) {
	template, err := newTemplate("etcd-tlsproxy test CA")
	if err != nil {
		return nil, err
	}
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a CA: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("making a CA: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("making a CA: %w", err)
	}
	return &PKI{cert, key}, nil
}

func newTemplate(cn string) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return nil, err
	}
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: cn},
		// Clocks in containers may be slow.
		NotBefore: time.Now().Add(-time.Hour),
		NotAfter:  time.Now().Add(30 * 24 * time.Hour),
		KeyUsage:  x509.KeyUsageDigitalSignature,
	}, nil
}

// CA returns the authority's certificate in PEM.
func (p *PKI) CA() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.cert.Raw})
}

// WriteCA writes the authority's certificate to a file.
func (p *PKI) WriteCA(path string) error { return os.WriteFile(path, p.CA(), 0o644) }

// Pool returns the authority as a pool of roots.
func (p *PKI) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(p.cert)
	return pool
}

// Server issues a certificate for a server with these names and addresses.
func (p *PKI) Server(hosts ...string) (cert, key []byte, err error) {
	return p.issue("etcd-tlsproxy", x509.ExtKeyUsageServerAuth, func(c *x509.Certificate) {
		for _, host := range hosts {
			if ip := net.ParseIP(host); ip != nil {
				c.IPAddresses = append(c.IPAddresses, ip)
			} else {
				c.DNSNames = append(c.DNSNames, host)
			}
		}
	})
}

// Client issues a certificate for a client with this common name.
func (p *PKI) Client(cn string) (cert, key []byte, err error) {
	return p.issue(cn, x509.ExtKeyUsageClientAuth, func(*x509.Certificate) {})
}

// ClientUntil is like Client, for a certificate that expires at a time, to the second.
func (p *PKI) ClientUntil(cn string, expiry time.Time) (cert, key []byte, err error) {
	return p.issue(cn, x509.ExtKeyUsageClientAuth, func(c *x509.Certificate) { c.NotAfter = expiry })
}

// CRL returns the authority's revocation list in PEM, with certificates that it has issued.
func (p *PKI) CRL(revoked ...[]byte) ([]byte, error) {
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour)}
	for _, text := range revoked {
		block, _ := pem.Decode(text)
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("revoking a certificate: %w", err)
		}
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: cert.SerialNumber, RevocationTime: time.Now()})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, p.cert, p.key)
	if err != nil {
		return nil, fmt.Errorf("writing a revocation list: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}), nil
}

func (p *PKI) issue(cn string, usage x509.ExtKeyUsage, change func(*x509.Certificate)) (cert, key []byte, err error) {
	template, err := newTemplate(cn)
	if err != nil {
		return nil, nil, err
	}
	template.ExtKeyUsage = []x509.ExtKeyUsage{usage}
	change(template)
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("making a key: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, p.cert, private.Public(), p.key)
	if err != nil {
		return nil, nil, fmt.Errorf("issuing a certificate: %w", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, fmt.Errorf("writing a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), nil
}
