package rpc

import (
	"context"
	"net/url"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/proxytest"
)

func TestMain(m *testing.M) {
	proxytest.WaitTogether()
	proxytest.VerifyNoLeaks(m)
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// startEtcd starts an etcd that is embedded.
func startEtcd(t *testing.T) *proxytest.Embedded {
	t.Helper()
	etcd, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	return etcd
}

// endpoint returns the endpoint of a URL.
func endpoint(t *testing.T, of string) Endpoint {
	t.Helper()
	at, err := url.Parse(of)
	if err != nil {
		t.Fatal(err)
	}
	return Endpoint{Addr: at.Host}
}

// newLink returns a link to an etcd, and its endpoint.
func newLink(t *testing.T, etcd *proxytest.Embedded) (*proxytest.Link, Endpoint) {
	t.Helper()
	link, err := proxytest.NewLink(etcd.Target())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(link.Close)
	return link, endpoint(t, link.URL())
}

func newClient(t *testing.T, user, password string, endpoints ...Endpoint) *Client {
	t.Helper()
	c, err := New(endpoints, user, password)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// put puts a key and returns the revision.
func put(t *testing.T, c *Client, key, value string) int64 {
	t.Helper()
	answer, err := c.Put(testContext(t), &pb.PutRequest{Key: []byte(key), Value: []byte(value)})
	if err != nil {
		t.Fatal(err)
	}
	return answer.Header.Revision
}

// get returns the value of a key, or "".
func get(t *testing.T, c *Client, key string) string {
	t.Helper()
	answer, err := c.Range(testContext(t), &pb.RangeRequest{Key: []byte(key)})
	if err != nil {
		t.Fatal(err)
	}
	if len(answer.Kvs) == 0 {
		return ""
	}
	return string(answer.Kvs[0].Value)
}

// watch starts a watch, and waits until etcd has it.
func watch(t *testing.T, c *Client, key string, revision int64, fragments bool) *Watch {
	t.Helper()
	w, err := c.Watch(testContext(t), []byte(key), nil, revision, 0, fragments)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	if _, events, err := w.Next(); err != nil || len(events) > 0 {
		t.Fatalf("starting a watch: got %d events, %v, want none", len(events), err)
	}
	return w
}
