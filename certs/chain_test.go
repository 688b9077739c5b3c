package certs

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestAChainOfMoreThanFiveCertificatesIsRefusedBeforeAnySignatureIsChecked(t *testing.T) {
	root := newAuthority(t, "root")
	s := newTestServer(t, root, root.serverOptions().withClients(root))
	for intermediates, want := range map[int]string{4: "error decrypting message", 5: "bad certificate", 100: "bad certificate"} {
		ca := root
		var chain [][]byte
		for i := range intermediates {
			ca = ca.issueCA(fmt.Sprint("intermediate ", i), time.Hour)
			chain = append([][]byte{ca.cert.Raw}, chain...)
		}
		leaf, key := ca.issue("alice", x509.ExtKeyUsageClientAuth, nil)
		chain = append([][]byte{leaf.Raw}, chain...)
		show := func(key any) func(*tls.Config) {
			return func(config *tls.Config) {
				config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
					return &tls.Certificate{Certificate: chain, PrivateKey: key}, nil
				}
			}
		}
		// The signature of the handshake, by another key, is the first that is checked.
		if _, _, err := s.connect(s.config(), show(newKey(t))); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d certificates and a wrong signature: got the error %v, want one with %q", len(chain), err, want)
		}
		if _, _, err := s.connect(s.config(), show(key)); (err == nil) != (len(chain) <= 5) {
			t.Errorf("%d certificates and a right signature: got the error %v, want success: %t", len(chain), err, len(chain) <= 5)
		}
		parsed := make([]*x509.Certificate, len(chain))
		for i, der := range chain {
			parsed[i], _ = x509.ParseCertificate(der)
		}
		if _, err := s.current.Load().Identify(parsed, time.Now()); (err == nil) != (len(chain) <= 5) {
			t.Errorf("identifying by %d certificates: got the error %v, want success: %t", len(chain), err, len(chain) <= 5)
		}
	}
}
