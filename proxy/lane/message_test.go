package lane

import (
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"etcd-tlsproxy/proxy/proxytest"
)

// countedReads counts the bytes that are received from a connection.
type countedReads struct {
	net.Conn
	received atomic.Int64
}

func (c *countedReads) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.received.Add(int64(n))
	return n, err
}

// keyedPair returns the connection of a client and the key of what it sends, and the server's end. It
// skips the test if TLS uses another cipher than AES-128-GCM.
func keyedPair(t *testing.T) (client net.Conn, key *proxytest.RecordKey, server *tls.Conn, received *atomic.Int64) {
	t.Helper()
	raw, accepted, _ := accepted(t)
	counted := &countedReads{Conn: accepted}
	wire := NewClientConn(counted, false, func() {})
	var log strings.Builder
	_, server = handshakeWith(t, raw, wire, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, KeyLogWriter: &log}) //nolint:gosec // the test is not about certificates
	if suite := server.ConnectionState().CipherSuite; suite != tls.TLS_AES_128_GCM_SHA256 {
		t.Skipf("the connection uses %s, and this test only AES-128-GCM", tls.CipherSuiteName(suite))
	}
	key, err := proxytest.NewRecordKey(log.String())
	if err != nil {
		t.Fatal(err)
	}
	counted.received.Store(0)
	return raw, key, server, &counted.received
}

func TestAMessageOfTLSThatIsNoDataIsReceivedOnlyUpTo20KiB(t *testing.T) {
	client, key, server, received := keyedPair(t)
	go func() {
		piece := "\x0b\x03\xff\xff" + strings.Repeat("x", 1000) // a Certificate of 256 KiB
		for {
			if _, err := client.Write(key.Record(proxytest.RecordHandshake, piece)); err != nil {
				return // the server has closed it
			}
			piece = piece[4:] + "xxxx"
		}
	}()
	n, err := Receive(server, make([]byte, FullRecord))
	if got := received.Load(); n != 0 || !errors.Is(err, ErrTooLarge) || got > 20<<10 {
		t.Errorf("got %d bytes of data, the error %v and %d bytes received; want none, %v and at most 20 KiB", n, err, got, ErrTooLarge)
	}
	server.NetConn().Close()
}

func TestAFullRecordBehindChangesOfKeysIsReceived(t *testing.T) {
	client, key, server, _ := keyedPair(t)
	data := strings.Repeat("x", FullRecord)
	for range 3 { // each has the whole room
		for range 10 {
			if _, err := client.Write(key.Record(proxytest.RecordHandshake, proxytest.KeyUpdate)); err != nil {
				t.Fatal(err)
			}
			var err error
			if key, err = key.Next(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := client.Write(key.Record(proxytest.RecordData, data)); err != nil {
			t.Fatal(err)
		}
		p := make([]byte, FullRecord)
		if n, err := Receive(server, p); err != nil || string(p[:n]) != data {
			t.Fatalf("got %d bytes and the error %v, want a full record", n, err)
		}
	}
}
