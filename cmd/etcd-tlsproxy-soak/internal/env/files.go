// Package env is the environment of a run: the files that the proxy reads, the proxy as
// a process, and the etcd behind it.
package env

import (
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/crypto/bcrypt"

	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/transport"
	"etcd-tlsproxy/proxy/proxytest"
)

// Files is the folder of files that the proxy reads.
type Files struct {
	Dir           string
	Listen, Admin string // the proxy's addresses
	EtcdURL       string
	API           string // of etcd, in which the keys are
	Shadow        bool   // answers are compared with a copy in the v3 store

	companionListen, companionAdmin string

	pki        *proxytest.PKI
	workerLine []byte // of the htpasswd file

	mu            sync.Mutex
	configuration Configuration
}

// NewFiles makes a temporary folder with everything but the configuration, for an API of etcd. If there
// is an error, the folder may exist and is returned with it.
func NewFiles(api string) (f *Files, err error) {
	f = &Files{API: api, configuration: Configuration{FastLane: true, ShareReads: true, ShareWatches: true, UpstreamTimeout: UpstreamTimeout}}
	if f.Dir, err = os.MkdirTemp("", "etcd-tlsproxy-soak-"); err != nil {
		return nil, err
	}
	if f.pki, err = proxytest.NewPKI(); err != nil {
		return f, err
	}
	// The hash is slow: after a change of users all clients queue behind the first login.
	hash, err := bcrypt.GenerateFromPassword([]byte(transport.Passwords["worker"]), 8)
	if err != nil {
		return f, err
	}
	f.workerLine = fmt.Appendf(nil, "worker:%s\n", hash)
	for _, address := range []*string{&f.Listen, &f.Admin, &f.companionListen, &f.companionAdmin} {
		if *address, err = proxytest.FreeAddress(); err != nil {
			return f, err
		}
	}
	_, certErr := f.RotateCertificate()
	return f, errors.Join(certErr, f.pki.WriteCA(f.CA()), f.WriteUsers(true))
}

// Path returns the path of a file in the folder.
func (f *Files) Path(name string) string { return filepath.Join(f.Dir, name) }

// CA returns the path of the CA's certificate.
func (f *Files) CA() string { return f.Path("ca.crt") }

// write replaces a file by renaming another one, as editors and Puppet do.
func (f *Files) write(name string, data []byte) error {
	next := f.Path(name + ".next")
	if err := os.WriteFile(next, data, 0o600); err != nil {
		return err
	}
	return os.Rename(next, f.Path(name))
}

// RotateCertificate replaces the certificate and returns the new serial number. For a
// moment the certificate does not match the key, as it happens to real operators.
func (f *Files) RotateCertificate() (*big.Int, error) {
	cert, key, err := f.pki.Server("localhost", "127.0.0.1")
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	return pair.Leaf.SerialNumber, errors.Join(f.write("server.crt", cert), f.write("server.key", key))
}

// WriteUsers writes the htpasswd file, with or without the user guest.
func (f *Files) WriteUsers(guest bool) error {
	users := maps.Clone(transport.Passwords)
	delete(users, "worker")
	if !guest {
		delete(users, "guest")
	}
	data, err := proxytest.Htpasswd(users)
	if err != nil {
		return err
	}
	return f.write("htpasswd", append(data, f.workerLine...))
}

// ClientTLS returns the configuration of a client. If name is not empty, the client has
// a certificate for it.
func (f *Files) ClientTLS(name string) (*tls.Config, error) {
	config := &tls.Config{RootCAs: f.pki.Pool(), ServerName: "localhost", ClientSessionCache: tls.NewLRUClientSessionCache(8)}
	if name == "" {
		return config, nil
	}
	cert, key, err := f.pki.Client(name)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	config.Certificates = []tls.Certificate{pair}
	return config, err
}

// ServedSerial returns the serial number of the certificate that a new connection gets.
func (f *Files) ServedSerial() (*big.Int, error) {
	c, err := tls.Dial("tcp", f.Listen, &tls.Config{RootCAs: f.pki.Pool(), ServerName: "localhost"})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].SerialNumber, nil
}
