package daemontest

import (
	"os"
	"path/filepath"

	"etcd-tlsproxy/proxy/proxytest"
)

// Path returns the path of one of the service's files.
func (s *Service) Path(name string) string { return filepath.Join(s.Dir, name) }

// Write replaces a file in one step, like editors and Puppet.
func (s *Service) Write(name, text string) {
	s.T.Helper()
	next := s.Path(name + ".next")
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		s.T.Fatal(err)
	}
	if err := os.Rename(next, s.Path(name)); err != nil {
		s.T.Fatal(err)
	}
}

// Read returns the contents of a file.
func (s *Service) Read(name string) string {
	s.T.Helper()
	data, err := os.ReadFile(s.Path(name))
	if err != nil {
		s.T.Fatal(err)
	}
	return string(data)
}

// WriteUsers replaces the htpasswd file.
func (s *Service) WriteUsers(passwords map[string]string) {
	s.T.Helper()
	data, err := proxytest.Htpasswd(passwords)
	if err != nil {
		s.T.Fatal(err)
	}
	s.Write("htpasswd", string(data))
}

// WriteCertificate replaces the certificate by a new one. For a moment the key
// belongs to the other certificate, as on a real host.
func (s *Service) WriteCertificate() {
	s.T.Helper()
	cert, key, err := s.PKI.Server("127.0.0.1")
	if err != nil {
		s.T.Fatal(err)
	}
	s.Write("server.crt", string(cert))
	s.Write("server.key", string(key))
}
