package proxy_test

import (
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

// TestNoWeakHandshakeIsDone offers versions, suites and records that servers used to
// accept. Sources: CVE-2014-3566, CVE-2011-3389, CVE-2013-0169, CVE-2015-4000, CVE-2016-2183, CVE-2009-3555; RFC 8996, RFC 9325.
func TestNoWeakHandshakeIsDone(t *testing.T) {
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f := l.Front(t, newRecorder(t).url, underAttack)
		try := func(what string, change func(*tls.Config)) {
			t.Helper()
			config := f.TLS()
			change(config)
			if c, err := tls.Dial("tcp", f.Addr, config); err == nil {
				t.Errorf("a handshake with %s succeeded: %+v", what, c.ConnectionState())
				c.Close()
			}
		}
		for name, version := range map[string]uint16{"TLS 1.0": tls.VersionTLS10, "TLS 1.1": tls.VersionTLS11} {
			try(name, func(c *tls.Config) { c.MinVersion, c.MaxVersion = version, version })
		}
		weak := tls.InsecureCipherSuites()
		for _, suite := range tls.CipherSuites() {
			if strings.Contains(suite.Name, "_CBC_") || strings.HasPrefix(suite.Name, "TLS_RSA_") {
				weak = append(weak, suite)
			}
		}
		for _, suite := range weak {
			try(suite.Name, func(c *tls.Config) { c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{suite.ID} })
		}
		try("unknown protocols", func(c *tls.Config) { c.NextProtos = []string{"grpc-exp", "spdy/3.1"} })
		for what, bytes := range map[string]string{
			"SSL 2": "\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10\x01\x00\x80\x02\x00\x80\x03\x00\x80\x04\x00\x80\x05\x00\x80\x06\x00\x40\x07\x00\xc0" + strings.Repeat("x", 16),
			"SSL 3": "\x16\x03\x00\x00\x2d\x01\x00\x00\x29\x03\x00" + strings.Repeat("x", 32) + "\x00\x00\x02\x00\x2f\x01\x00", "a record that is too large": "\x16\x03\x01\xff\xff" + strings.Repeat("x", 1000),
			"an alert": "\x15\x03\x01\x00\x02\x02\x28", "data before a handshake": "\x17\x03\x03\x00\x05hello", "heartbeat": "\x18\x03\x02\x00\x03\x01\x40\x00", "nothing but zeros": strings.Repeat("\x00", 1000), "HTTP": "GET /v2/keys HTTP/1.1\r\nHost: h\r\n\r\n", "SSH": "SSH-2.0-x\r\n",
		} {
			c, err := net.Dial("tcp", f.Addr)
			if err != nil {
				t.Fatal(err)
			}
			_ = c.SetDeadline(time.Now().Add(fronttest.Patience))
			_, _ = io.WriteString(c, bytes)
			answer, _ := io.ReadAll(c)
			if strings.Contains(string(answer), "X-Etcd") || len(answer) > 400 {
				t.Errorf("sending %s: got %d bytes, %.100q; want an alert or an error page", what, len(answer), answer)
			}
			c.Close()
		}
	})
}
