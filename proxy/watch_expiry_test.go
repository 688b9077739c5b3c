package proxy_test

import (
	"crypto/tls"
	"io"
	"testing"
	"time"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
	"etcd-tlsproxy/proxy/proxytest/seed"
)

// TestAWatchEndsWhenItsCertificateExpires starts watches that need a certificate, because
// of a rule or for every client.
func TestAWatchEndsWhenItsCertificateExpires(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		for what, require := range map[string]bool{"by a rule": false, "by all clients": true} {
			f, _ := l.Embedded(t, func(s *lane.Snapshot, pki *proxytest.PKI) {
				withClientCA(t, require)(s, pki)
				s.Rules = seed.Rules(t, acl.Rule{Prefix: "/secret", Read: acl.Only("conftool"), Write: acl.Only("root")})
			})
			key := "/eventlogging/a"
			if !require {
				key = "/secret/a"
			}
			for _, proto := range []string{"h1", "h2"} {
				cert, private, err := f.PKI.ClientUntil("conftool", time.Now().Add(2*time.Second))
				if err != nil {
					t.Fatal(err)
				}
				pair, err := tls.X509KeyPair(cert, private)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := f.Client(proto, pair).Get(f.URL() + "/v2/keys" + key + "?wait=true")
				if err != nil {
					t.Fatal(err)
				}
				if resp.StatusCode != 200 {
					t.Fatalf("%s, a certificate needed %s: got %s, want a watch", proto, what, resp.Status)
				}
				body, err := io.ReadAll(resp.Body)
				if err == nil || len(body) > 0 {
					t.Errorf("%s, a certificate needed %s: got %q and error %v, want a watch that is broken off", proto, what, body, err)
				}
				resp.Body.Close()
			}
			if n := f.Counter("etcd_tlsproxy_watches_ended_total", "revoked"); n != 2 {
				t.Errorf("a certificate needed %s: got %v watches that ended as revoked, want 2", what, n)
			}
		}
	})
}
