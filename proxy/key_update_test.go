package proxy_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

// trafficKey encrypts the records of a client of TLS 1.3, with AES-128-GCM.
type trafficKey struct {
	secret   []byte
	aead     cipher.AEAD
	iv       []byte
	sequence uint64
}

func newTrafficKey(t *testing.T, secret []byte) *trafficKey {
	t.Helper()
	block, err := aes.NewCipher(expandLabel(t, secret, "key", 16))
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	return &trafficKey{secret: secret, aead: aead, iv: expandLabel(t, secret, "iv", 12)}
}

// expandLabel is HKDF-Expand-Label of RFC 8446, section 7.1, without a context.
func expandLabel(t *testing.T, secret []byte, label string, length int) []byte {
	t.Helper()
	label = "tls13 " + label
	out, err := hkdf.Expand(sha256.New, secret, string([]byte{byte(length >> 8), byte(length), byte(len(label))})+label+"\x00", length)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// next returns the key that follows a KeyUpdate.
func (k *trafficKey) next(t *testing.T) *trafficKey {
	t.Helper()
	return newTrafficKey(t, expandLabel(t, k.secret, "traffic upd", sha256.Size))
}

const (
	recordHandshake = 22
	recordData      = 23
)

// record encrypts one record.
func (k *trafficKey) record(kind byte, data string) []byte {
	inner := append([]byte(data), kind)
	head := []byte{recordData, 3, 3, 0, 0}
	binary.BigEndian.PutUint16(head[3:], uint16(len(inner)+k.aead.Overhead()))
	nonce := append([]byte(nil), k.iv...)
	for i := range 8 {
		nonce[len(nonce)-1-i] ^= byte(k.sequence >> (8 * i))
	}
	k.sequence++
	return k.aead.Seal(head, nonce, inner, head)
}

// dialKeyed connects a client of TLS 1.3, and returns the key of what it sends. It skips the test
// if the connection uses another cipher than AES-128-GCM.
func dialKeyed(t *testing.T, f *fronttest.Front, proto string) (*proxytest.Raw, *trafficKey) {
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
	_, secret, _ := strings.Cut(keys.String(), "CLIENT_TRAFFIC_SECRET_0 ")
	secret, _, _ = strings.Cut(secret, "\n")
	_, secret, _ = strings.Cut(secret, " ") // behind the client's random
	raw, err := hex.DecodeString(secret)
	if err != nil {
		t.Fatal(err)
	}
	return c, newTrafficKey(t, raw)
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
			if _, err := c.NetConn().Write(key.record(recordData, request)); err != nil {
				t.Fatal(err)
			}
			if a, err := c.Answer("GET"); err != nil || a.Status != 200 {
				t.Fatalf("a read: got %+v, %v; want status 200", a, err)
			}
			<-time.After(2 * limit) // until the deadline of the answer has passed
			const keyUpdateRequested = "\x18\x00\x00\x01\x01"
			if _, err := c.NetConn().Write(key.record(recordHandshake, keyUpdateRequested)); err != nil {
				t.Fatal(err)
			}
			key = key.next(t)
		}
		if _, err := c.NetConn().Write(key.record(recordData, request)); err != nil {
			t.Fatal(err)
		}
		if a, err := c.Answer("GET"); err != nil || a.Status != 200 {
			t.Errorf("a read behind a KeyUpdate: got %+v, %v; want status 200", a, err)
		}
	})
}
