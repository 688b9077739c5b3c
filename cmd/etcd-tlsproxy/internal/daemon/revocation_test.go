package daemon_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon/daemontest"
)

func TestARevokedCertificateLosesItsConnectionsRightsAtTheNextReload(t *testing.T) {
	t.Parallel()
	s := newService(t, daemontest.Echo)
	cert, key, err := s.PKI.Client("conftool")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	list := func(revoked ...[]byte) string {
		t.Helper()
		text, err := s.PKI.CRL(revoked...)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	s.Write("ca.crt", string(s.PKI.CA()))
	s.Write("clients.crl", list())
	s.Write("etcd-tlsproxy.toml", strings.Replace(s.Read("etcd-tlsproxy.toml"), "[tls]\n", "[tls]\nclient_ca = \"ca.crt\"\nclient_crl = \"clients.crl\"\n", 1))
	put := func(transport *http.Transport) (int, error) {
		req, err := http.NewRequest("PUT", s.URL+"/v2/keys/conftool/a", strings.NewReader("value=1"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := (&http.Client{Transport: transport}).Do(req)
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body) // so that the connection is used again
		return resp.StatusCode, err
	}
	// Only connections that begin after the reload are asked for a certificate.
	var open *http.Transport
	s.Eventually("the certificate is accepted", func() bool {
		open = s.Transport()
		open.TLSClientConfig.Certificates = []tls.Certificate{pair}
		status, err := put(open)
		return err == nil && status == http.StatusOK
	})
	s.Write("clients.crl", list(cert))
	s.Eventually("the open connection has lost the certificate's rights", func() bool {
		status, err := put(open)
		return err == nil && status == http.StatusUnauthorized
	})
	fresh := s.Transport()
	fresh.TLSClientConfig.Certificates = []tls.Certificate{pair}
	if status, err := put(fresh); err == nil {
		t.Errorf("a new connection with the revoked certificate: got status %d, want a refused handshake", status)
	}
	s.WaitForMetric(`reason="revoked_certificate"`)
}
