package proxy_test

import (
	"crypto/tls"
	"io"
	"sync"
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
			t.Run("needed "+what, func(t *testing.T) {
				t.Parallel()
				f, _ := l.Embedded(t, func(s *lane.Snapshot, pki *proxytest.PKI) {
					withClientCA(t, require)(s, pki)
					s.Rules = seed.Rules(t, acl.Rule{Prefix: "/secret", Read: acl.Only("conftool"), Write: acl.Only("root")})
				})
				key := "/eventlogging/a"
				if !require {
					key = "/secret/a"
				}
				var both sync.WaitGroup
				for _, proto := range []string{"h1", "h2"} {
					both.Go(func() { watchUntilExpiry(t, f, proto, key) })
				}
				both.Wait()
				if n := f.Counter("etcd_tlsproxy_watches_ended_total", "revoked"); n != 2 {
					t.Errorf("got %v watches that ended as revoked, want 2", n)
				}
			})
		}
	})
}

// watchUntilExpiry watches a key with a certificate that expires after the time in which a watch begins on a
// busy machine.
func watchUntilExpiry(t *testing.T, f *fronttest.Front, proto, key string) {
	cert, private, err := f.PKI.ClientUntil("conftool", time.Now().Add(5*time.Second))
	if err != nil {
		t.Error(err)
		return
	}
	pair, err := tls.X509KeyPair(cert, private)
	if err != nil {
		t.Error(err)
		return
	}
	resp, err := f.Client(proto, pair).Get(f.URL() + "/v2/keys" + key + "?wait=true")
	if err != nil {
		t.Errorf("%s: %v", proto, err)
		return
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("%s: got %s, want a watch", proto, resp.Status)
		return
	}
	body, err := io.ReadAll(resp.Body)
	if err == nil || len(body) > 0 {
		t.Errorf("%s: got %q and error %v, want a watch that is broken off", proto, body, err)
	}
}
