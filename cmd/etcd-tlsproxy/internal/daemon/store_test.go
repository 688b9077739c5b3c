package daemon_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon/daemontest"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/v2v3"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// storeConfig is the small configuration with the v3 API.
func storeConfig(etcd, more string) string {
	return strings.Replace(fmt.Sprintf(daemontest.SeedConfig, etcd), "[upstream]\n", "[upstream]\napi = \"v3\"\n"+more, 1)
}

// storeClient sends requests to a service as root.
type storeClient struct {
	*http.Client
	s *daemontest.Service
}

// do returns the status and the body of an answer.
func (c *storeClient) do(method, target string) (int, string) {
	c.s.T.Helper()
	req, err := http.NewRequest(method, c.s.URL+target, nil)
	if err != nil {
		c.s.T.Fatal(err)
	}
	req.SetBasicAuth("root", "root-1")
	resp, err := c.Do(req)
	if err != nil {
		c.s.T.Fatalf("%s %s: %v", method, target, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.s.T.Fatalf("%s %s: %v", method, target, err)
	}
	return resp.StatusCode, string(body)
}

// initialize makes an empty tree in the store of a configuration.
func initialize(t *testing.T, s *daemontest.Service) {
	t.Helper()
	o, err := daemon.StoreOptions(context.Background(), s.Path("etcd-tlsproxy.toml"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := v2v3.Init(context.Background(), *o, 41); err != nil {
		t.Fatal(err)
	}
}

func TestAStoreIsServedOnceItHasATree(t *testing.T) {
	e := startEtcd(t)
	s := daemontest.Start(t, storeConfig(e.URL(), `prefix = "/v2"`+"\n"))
	c := &storeClient{&http.Client{Transport: s.Transport()}, s}
	if status, body := c.do("GET", "/v2/keys/"); status != 503 || !strings.Contains(body, "The store cannot be served") {
		t.Errorf("without a tree: got %d %s, want 503", status, body)
	}
	if log := s.Log.String(); !strings.Contains(log, "etcd-tlsproxy migrate init") {
		t.Errorf("without a tree the log does not name migrate init:\n%s", log)
	}
	initialize(t, s)
	s.Eventually("the tree is served", func() bool {
		status, _ := c.do("GET", "/v2/keys/")
		return status == 200
	})
	if status, body := c.do("PUT", "/v2/keys/conftool/a?value=1"); status != 201 {
		t.Errorf("writing: got %d %s, want 201", status, body)
	}
	if status, body := c.do("GET", "/v2/keys/conftool?recursive=true"); status != 200 || !strings.Contains(body, `"key":"/conftool/a","value":"1"`) {
		t.Errorf("reading: got %d %s, want 200 and the key", status, body)
	}
	if value := readV3(t, e.URL(), "/v2/conftool/a"); value != "1" {
		t.Errorf("the v3 key /v2/conftool/a has the value %q, want 1", value)
	}
}

func TestAReloadReplacesTheStore(t *testing.T) {
	e := startEtcd(t)
	s := daemontest.Start(t, storeConfig(e.URL(), ""))
	initialize(t, s)
	c := &storeClient{&http.Client{Transport: s.Transport()}, s}
	s.Eventually("the tree is served", func() bool {
		status, _ := c.do("PUT", "/v2/keys/conftool/a?value=1")
		return status < 300
	})
	s.Write("etcd-tlsproxy.toml", storeConfig(e.URL(), "plain_reads = \"linearizable\"\n"))
	s.Eventually("the reload is logged", func() bool { return strings.Contains(s.Log.String(), "upstream.plain_reads") })
	if status, body := c.do("GET", "/v2/keys/conftool/a"); status != 200 || !strings.Contains(body, `"value":"1"`) {
		t.Errorf("reading after the reload: got %d %s, want 200 and the value 1", status, body)
	}
	s.Write("etcd-tlsproxy.toml", storeConfig(e.URL(), "plain_reads = \"linearizable\"\nprefix = \"/v2\"\n"))
	s.Eventually("another prefix waits for a restart", func() bool {
		return strings.Contains(s.Log.String(), "a changed setting waits for a restart") && strings.Contains(s.Log.String(), "key=upstream.prefix")
	})
	if status, body := c.do("GET", "/v2/keys/conftool/a"); status != 200 {
		t.Errorf("reading after the second reload: got %d %s, want 200", status, body)
	}
}

func TestAStoreIsReachedWithACertificate(t *testing.T) {
	e := newSecureEtcd(t)
	s := daemontest.Start(t, storeConfig(e.URL(), fmt.Sprintf("ca = %q\ncertificate = %q\nkey = %q\n", e.path("ca.crt"), e.path("proxy.crt"), e.path("proxy.key"))))
	initialize(t, s)
	c := &storeClient{&http.Client{Transport: s.Transport()}, s}
	s.Eventually("the tree is served", func() bool {
		status, _ := c.do("PUT", "/v2/keys/conftool/a?value=1")
		return status < 300
	})
}

func startEtcd(t *testing.T) *proxytest.Embedded {
	t.Helper()
	e, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// readV3 reads a key by the v3 API.
func readV3(t *testing.T, etcd, key string) string {
	t.Helper()
	at, err := url.Parse(etcd)
	if err != nil {
		t.Fatal(err)
	}
	client, err := rpc.New([]rpc.Endpoint{{Addr: at.Host}}, "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	found, err := client.Range(context.Background(), &etcdserverpb.RangeRequest{Key: []byte(key)})
	if err != nil || len(found.Kvs) != 1 {
		t.Fatalf("reading the v3 key %s: got %d keys, %v; want one", key, len(found.GetKvs()), err)
	}
	return string(found.Kvs[0].Value)
}
