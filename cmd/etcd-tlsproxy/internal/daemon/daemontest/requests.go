package daemontest

import (
	"crypto/tls"
	"io"
	"net/http"
	"strings"
)

// Put writes a key below /conftool on a connection of its own, and returns the
// status.
func (s *Service) Put(user, password string) int {
	s.T.Helper()
	transport := s.Transport()
	transport.DisableKeepAlives = true
	req, err := http.NewRequest("PUT", s.URL+"/v2/keys/conftool/a", strings.NewReader("value=1"))
	if err != nil {
		s.T.Fatal(err)
	}
	req.SetBasicAuth(user, password)
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		s.T.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// Admin sends a request to the admin address, and returns status and body.
func (s *Service) Admin(method, path string) (int, string) {
	s.T.Helper()
	req, err := http.NewRequest(method, s.AdminURL+path, nil)
	if err != nil {
		s.T.Fatal(err)
	}
	resp, err := s.admin.Do(req)
	if err != nil {
		s.T.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.T.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// WaitForMetric waits until the metrics contain a line: the service counts an
// answer after it has sent it.
func (s *Service) WaitForMetric(line string) {
	s.T.Helper()
	s.Eventually("the metrics contain "+line, func() bool {
		_, metrics := s.Admin("GET", "/metrics")
		return strings.Contains(metrics, line)
	})
}

// Serial returns the serial number of the certificate that the service shows.
func (s *Service) Serial() string {
	s.T.Helper()
	c, err := tls.Dial("tcp", strings.TrimPrefix(s.URL, "https://"), &tls.Config{RootCAs: s.PKI.Pool()})
	if err != nil {
		s.T.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].SerialNumber.String()
}
