package certs

import (
	"crypto/x509"
	"testing"
	"time"
)

// FuzzRevocationLists fails if a file of lists is accepted that lets a client in whom the
// list of its CA contains.
func FuzzRevocationLists(f *testing.F) {
	ca := newAuthority(f, "CA")
	alice, _ := ca.issue("alice", x509.ExtKeyUsageClientAuth, nil)
	revoking := ca.revoke(nil, alice)
	f.Add([]byte(nil), []byte(nil))
	f.Add(ca.revoke(nil), newAuthority(f, "other").revoke(nil))
	f.Add([]byte("-----BEGIN X509 CRL-----\n-----END X509 CRL-----\n"), certPEM(ca.cert))
	o := ca.serverOptions().withClients(ca)
	f.Fuzz(func(t *testing.T, before, behind []byte) {
		g, err := New(o.withList(before, []byte("\n"), revoking, behind))
		if (g == nil) == (err == nil) {
			t.Fatalf("New: got %v and the error %v, want exactly one of the two", g, err)
		}
		if err != nil {
			return
		}
		if name, err := g.Identify([]*x509.Certificate{alice}, time.Now()); err == nil {
			t.Errorf("Identify a revoked client with lists around its own: got %q, want an error", name.Value)
		}
	})
}
