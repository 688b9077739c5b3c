package rpc

import (
	"context"
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"etcd-tlsproxy/proxy/proxytest"
)

// TestResponsesAreBounded reads values of 1 MiB each.
func TestResponsesAreBounded(t *testing.T) {
	t.Parallel()
	e := endpoint(t, startEtcd(t).URL())
	c := newClient(t, "", "", e, e)
	value := strings.Repeat("x", 1<<20)
	for i := range 64 {
		put(t, c, "large/"+string(rune('0'+i)), value)
	}
	read := func(keys int64) error {
		_, err := c.Range(testContext(t), &pb.RangeRequest{Key: []byte("large/"), RangeEnd: []byte("large0"), Limit: keys})
		return err
	}
	if err := read(2); err != nil {
		t.Errorf("two values: %v", err)
	}
	if err := read(64); !TooLarge(err) {
		t.Errorf("more than 64 MiB: got the error %v, want that the response is too large", err)
	}
	c.LimitResponses(2<<20 - 1)
	if err := read(2); err != nil {
		t.Errorf("before the endpoint is used again: %v", err)
	}
	if err := c.Use(1); err != nil {
		t.Fatal(err)
	}
	if err := read(1); err != nil {
		t.Errorf("one value: %v", err)
	}
	if err := read(2); !TooLarge(err) {
		t.Errorf("two values: got the error %v, want that the response is too large", err)
	}
}

// TestTheCallsReachEtcd makes each call once.
func TestTheCallsReachEtcd(t *testing.T) {
	c := newClient(t, "", "", endpoint(t, startEtcd(t).URL()))
	first := put(t, c, "a", "1")
	last := put(t, c, "a", "2")
	if got := get(t, c, "a"); got != "2" {
		t.Errorf("got the value %q, want 2", got)
	}
	answer, err := c.Txn(testContext(t), &pb.TxnRequest{Compare: []*pb.Compare{{Target: pb.Compare_MOD, Key: []byte("a"),
		TargetUnion: &pb.Compare_ModRevision{ModRevision: last}}}})
	if err != nil || !answer.Succeeded {
		t.Errorf("a transaction: got %v, %v, want that the revision of the key is %d", answer, err, last)
	}
	if _, err := c.Compact(testContext(t), &pb.CompactionRequest{Revision: last}); err != nil {
		t.Errorf("compacting: %v", err)
	}
	if _, err := c.Range(testContext(t), &pb.RangeRequest{Key: []byte("a"), Revision: first}); !Compacted(err) {
		t.Errorf("an old revision: got the error %v, want that it is compacted", err)
	}
	granted, err := c.Lease().LeaseGrant(testContext(t), &pb.LeaseGrantRequest{TTL: 60})
	if err != nil || granted.TTL != 60 {
		t.Errorf("a lease: got %v, %v", granted, err)
	}
	if list, err := c.Cluster().MemberList(testContext(t), &pb.MemberListRequest{}); err != nil || len(list.Members) != 1 {
		t.Errorf("the members: got %v, %v, want one", list, err)
	}
	if _, err := c.Maintenance().Status(testContext(t), &pb.StatusRequest{}); err != nil {
		t.Errorf("the status: %v", err)
	}
}

// TestTLSIsUsedIfItIsConfigured has an etcd that accepts only clients with a certificate.
func TestTLSIsUsedIfItIsConfigured(t *testing.T) {
	pki, err := proxytest.NewPKI()
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := pki.Server("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	clientCert, clientKey, err := pki.Client("proxy")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(clientCert, clientKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, content := range map[string][]byte{"ca.pem": pki.CA(), "cert.pem": cert, "key.pem": key} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	config := &tls.Config{RootCAs: pki.Pool(), ServerName: "127.0.0.1", Certificates: []tls.Certificate{pair}}
	etcd, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir(), TLS: &proxytest.EtcdTLS{Certificate: filepath.Join(dir, "cert.pem"),
		Key: filepath.Join(dir, "key.pem"), ClientCA: filepath.Join(dir, "ca.pem"), Client: config}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	e := endpoint(t, etcd.URL())
	if _, err := Probe(testContext(t), e, "", ""); err == nil {
		t.Error("a call without TLS succeeds")
	}
	e.TLS = config
	c := newClient(t, "", "", e)
	put(t, c, "a", "1")
	if got := get(t, c, "a"); got != "1" {
		t.Errorf("got the value %q, want 1", got)
	}
}

func TestACallEndsWithItsContext(t *testing.T) {
	link, e := newLink(t, startEtcd(t))
	c := newClient(t, "", "", e)
	put(t, c, "a", "1")
	link.Pause()
	defer link.Resume()
	ctx, cancel := context.WithTimeout(testContext(t), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Range(ctx, &pb.RangeRequest{Key: []byte("a")}); status.Code(err) != codes.DeadlineExceeded || Refused(err) {
		t.Errorf("got the error %v, want that the time is over and that the outcome is unknown", err)
	}
}
