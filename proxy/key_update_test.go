package proxy_test

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

// dialKeyed connects a client of TLS 1.3, and returns the key of what it sends. It skips the test
// if the connection uses another cipher than AES-128-GCM.
func dialKeyed(t *testing.T, f *fronttest.Front, proto string) (*proxytest.Raw, *proxytest.RecordKey) {
	t.Helper()
	var keys strings.Builder
	config := f.TLS()
	config.MinVersion, config.KeyLogWriter, config.NextProtos = tls.VersionTLS13, &keys, []string{proto}
	c, err := proxytest.DialRaw(f.Addr, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if suite := c.ConnectionState().CipherSuite; suite != tls.TLS_AES_128_GCM_SHA256 {
		t.Skipf("the connection uses %s, and this test only AES-128-GCM", tls.CipherSuiteName(suite))
	}
	key, err := proxytest.NewRecordKey(keys.String())
	if err != nil {
		t.Fatal(err)
	}
	return c, key
}

// TestAKeyUpdateBehindASilenceIsAnswered sends a KeyUpdate when the deadline of the last
// answer has passed. crypto/tls cannot send one, so the test encrypts the rest of the
// client's records itself.
func TestAKeyUpdateBehindASilenceIsAnswered(t *testing.T) {
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		const limit = 200 * time.Millisecond
		f, _ := l.Embedded(t, func(s *lane.Snapshot, _ *proxytest.PKI) { s.Limits.BodyTimeout = limit })
		c, key := dialKeyed(t, f, "http/1.1")
		const request = "GET /v2/keys HTTP/1.1\r\nHost: h\r\n\r\n"
		for range 2 {
			if _, err := c.NetConn().Write(key.Record(proxytest.RecordData, request)); err != nil {
				t.Fatal(err)
			}
			if a, err := c.Answer("GET"); err != nil || a.Status != 200 {
				t.Fatalf("a read: got %+v, %v; want status 200", a, err)
			}
			<-time.After(2 * limit) // until the deadline of the answer has passed
			const keyUpdateRequested = "\x18\x00\x00\x01\x01"
			if _, err := c.NetConn().Write(key.Record(proxytest.RecordHandshake, keyUpdateRequested)); err != nil {
				t.Fatal(err)
			}
			var err error
			if key, err = key.Next(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := c.NetConn().Write(key.Record(proxytest.RecordData, request)); err != nil {
			t.Fatal(err)
		}
		if a, err := c.Answer("GET"); err != nil || a.Status != 200 {
			t.Errorf("a read behind a KeyUpdate: got %+v, %v; want status 200", a, err)
		}
	})
}
