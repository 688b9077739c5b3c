// Package site is what a siege attacks: an etcd and a server in front of it, as processes whose
// memory is measured, and the files that they read.
package site

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/crypto/bcrypt"

	"etcd-tlsproxy/proxy/proxytest"
)

// The users of a siege, with their passwords. The hash of root is cheap, because root is the
// writer among the victims; that of conftool and of those who log in is bcrypt.
const (
	Root, RootPassword   = "root", "root-siege"
	Known, KnownPassword = "conftool", "conftool-siege"
	LoginPassword        = "login-siege"
)

// Logins is how many users exist who log in only once each: a password that was verified
// before costs no hash.
const Logins = 1000

// Login returns the name of the user who logs in as number i.
func Login(i int) string { return "login" + strconv.Itoa(i%Logins) }

// bcryptCost makes a hash take 15 to 30 ms.
const bcryptCost = 8

// Files is the folder of files that the servers read.
type Files struct {
	Dir   string
	ca    *x509.Certificate
	key   *ecdsa.PrivateKey
	users []byte
}

// NewFiles writes the certificates and the users into a folder.
func NewFiles(dir string) (*Files, error) {
	f := &Files{Dir: dir}
	if err := f.makeCA(); err != nil {
		return nil, fmt.Errorf("making a CA: %w", err)
	}
	cert, key, err := f.issue("localhost", x509.ExtKeyUsageServerAuth, 24*time.Hour)
	if err != nil {
		return nil, err
	}
	if f.users, err = proxytest.Htpasswd(map[string]string{Root: RootPassword}); err != nil {
		return nil, err
	}
	known, err := bcrypt.GenerateFromPassword([]byte(KnownPassword), bcryptCost)
	if err != nil {
		return nil, err
	}
	login, err := bcrypt.GenerateFromPassword([]byte(LoginPassword), bcryptCost)
	if err != nil {
		return nil, err
	}
	f.users = fmt.Appendf(f.users, "%s:%s\n", Known, known)
	for i := range Logins {
		f.users = fmt.Appendf(f.users, "%s:%s\n", Login(i), login)
	}
	return f, errors.Join(
		os.WriteFile(f.Path("ca.crt"), f.CA(), 0o600),
		os.WriteFile(f.Path("server.crt"), cert, 0o600),
		os.WriteFile(f.Path("server.key"), key, 0o600),
		os.WriteFile(f.Path("server.pem"), append(cert, key...), 0o600), // HAProxy reads both from one file
		f.WriteUsers(0),
	)
}

// Path returns the path of a file in the folder.
func (f *Files) Path(name string) string { return filepath.Join(f.Dir, name) }

// WriteUsers writes the htpasswd file with one more user, whose name has the number n. It
// replaces the file by a rename, as Puppet does.
func (f *Files) WriteUsers(n int) error {
	data := fmt.Appendf(nil, "%sspare%d:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n", f.users, n)
	if err := os.WriteFile(f.Path("htpasswd.next"), data, 0o644); err != nil {
		return err
	}
	return os.Rename(f.Path("htpasswd.next"), f.Path("htpasswd"))
}

func (f *Files) makeCA() (err error) {
	if f.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return err
	}
	template := newTemplate("siege CA", 24*time.Hour)
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, f.key.Public(), f.key)
	if err != nil {
		return err
	}
	f.ca, err = x509.ParseCertificate(der)
	return err
}

func newTemplate(name string, valid time.Duration) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, KeyUsage: x509.KeyUsageDigitalSignature,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(valid),
	}
}

// CA returns the certificate of the siege's CA in PEM.
func (f *Files) CA() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.ca.Raw})
}

// Client issues a certificate for a user.
func (f *Files) Client(user string, valid time.Duration) (cert, key []byte, err error) {
	return f.issue(user, x509.ExtKeyUsageClientAuth, valid)
}

func (f *Files) issue(name string, usage x509.ExtKeyUsage, valid time.Duration) (cert, key []byte, err error) {
	template := newTemplate(name, valid)
	template.ExtKeyUsage = []x509.ExtKeyUsage{usage}
	if usage == x509.ExtKeyUsageServerAuth {
		template.DNSNames, template.IPAddresses = []string{name}, []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("making a key: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, f.ca, private.Public(), f.key)
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
