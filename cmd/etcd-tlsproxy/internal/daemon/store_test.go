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
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon/daemontest"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/v2v3"
	"etcd-tlsproxy/proxy/v2v3/layout"
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

// serves waits until a write succeeds.
func (c *storeClient) serves() {
	c.s.T.Helper()
	c.s.Eventually("the tree is served", func() bool {
		status, _ := c.do("PUT", "/v2/keys/conftool/a?value=1")
		return status < 300
	})
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
	t.Parallel()
	e := startEtcd(t)
	s := daemontest.Start(t, storeConfig(e.URL(), `prefix = "/v2"`+"\n"))
	c := &storeClient{&http.Client{Transport: s.Transport()}, s}
	if status, body := c.do("GET", "/v2/keys/"); status != 503 || !strings.Contains(body, "The store cannot be served") {
		t.Errorf("without a tree: got %d %s, want 503", status, body)
	}
	if log := s.Log.String(); !strings.Contains(log, "etcd-tlsproxy migrate init") {
		t.Errorf("without a tree the log does not name migrate init:\n%s", log)
	}
	if status, body := s.Admin("GET", "/-/ready?etcd"); status != 503 || !strings.Contains(body, "the store is not served") {
		t.Errorf("without a tree /-/ready?etcd: got %d %s, want 503 and the reason", status, body)
	}
	initialize(t, s)
	s.Eventually("the tree is served", func() bool {
		status, _ := c.do("GET", "/v2/keys/")
		return status == 200
	})
	if status, body := s.Admin("GET", "/-/ready?etcd"); status != 200 {
		t.Errorf("with a tree /-/ready?etcd: got %d %s, want 200", status, body)
	}
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

// TestAReloadReplacesTheStore changes how plain reads are answered, which etcd that is away shows.
func TestAReloadReplacesTheStore(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	config := func(more string) string {
		return strings.Replace(storeConfig(e.URL(), more), "[limits]\n", "[limits]\nupstream_timeout = \"1s\"\n", 1)
	}
	s := daemontest.Start(t, config(""))
	initialize(t, s)
	c := &storeClient{&http.Client{Transport: s.Transport()}, s}
	c.serves()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, "GET", s.URL+"/v2/keys/conftool/none?wait=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	watch, err := c.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Body.Close()
	e.Cut()
	if status, body := c.do("GET", "/v2/keys/conftool/a"); status != 200 {
		t.Errorf("reading the copy while etcd is away: got %d %s, want 200", status, body)
	}
	e.Mend()
	c.serves()
	s.Write("etcd-tlsproxy.toml", config("plain_reads = \"linearizable\"\n"))
	s.Eventually("the reload is logged", func() bool { return strings.Contains(s.Log.String(), "upstream.plain_reads") })
	if status, body := c.do("GET", "/v2/keys/conftool/a"); status != 200 || !strings.Contains(body, `"value":"1"`) {
		t.Errorf("reading after the reload: got %d %s, want 200 and the value 1", status, body)
	}
	if event, err := io.ReadAll(watch.Body); err == nil || len(event) > 0 || ctx.Err() != nil {
		t.Errorf("a watch of the store before: got %q, %v; want that it is broken off within 30 s", event, err)
	}
	s.Eventually("the store before has left etcd", func() bool { return countV3(t, e.URL(), ".v2/s/") == 1 })
	e.Cut()
	if status, body := c.do("GET", "/v2/keys/conftool/a"); status != 503 {
		t.Errorf("reading linearizably while etcd is away: got %d %s, want 503", status, body)
	}
	e.Mend()
	c.serves()
	s.Write("etcd-tlsproxy.toml", config("plain_reads = \"linearizable\"\nprefix = \"/v2\"\n"))
	s.Eventually("another prefix waits for a restart", func() bool {
		return strings.Contains(s.Log.String(), "a changed setting waits for a restart") && strings.Contains(s.Log.String(), "key=upstream.prefix")
	})
	if status, body := c.do("GET", "/v2/keys/conftool/a"); status != 200 {
		t.Errorf("reading after the second reload: got %d %s, want 200", status, body)
	}
}

// TestAReloadKeepsTheStoreUntilTheNextOneIsLoaded has an etcd that hangs, so that no store can be loaded.
func TestAReloadKeepsTheStoreUntilTheNextOneIsLoaded(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	s := daemontest.Start(t, storeConfig(e.URL(), "serve_stale = true\n"))
	initialize(t, s)
	c := &storeClient{&http.Client{Transport: s.Transport()}, s}
	c.serves()
	e.Pause()
	s.Write("etcd-tlsproxy.toml", storeConfig(e.URL(), "serve_stale = true\ncompact = false\n"))
	s.Eventually("the reload is logged", func() bool { return strings.Contains(s.Log.String(), "upstream.compact") })
	if status, body := c.do("GET", "/v2/keys/conftool/a"); status != 200 {
		t.Errorf("reading the copy in use while the next one is loaded: got %d %s, want 200", status, body)
	}
	s.WriteUsers(map[string]string{"root": "root-1", "conftool": "conftool-2"})
	s.Eventually("users are reloaded meanwhile", func() bool { return strings.Count(s.Log.String(), "msg=reloaded ") == 2 })
	if log := s.Log.String(); strings.Contains(log, "next copy of the store is in use") {
		t.Errorf("the next copy is in use although etcd hangs:\n%s", log)
	}
	e.Resume()
	s.Eventually("the next copy is in use", func() bool { return strings.Contains(s.Log.String(), "next copy of the store is in use") })
	c.serves()
}

// TestAReloadOfUsersKeepsTheStore has a watch that a store which is replaced would break off.
func TestAReloadOfUsersKeepsTheStore(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	s := daemontest.Start(t, strings.Replace(storeConfig(e.URL(), ""), "[limits]\n", "[limits]\nupstream_timeout = \"100ms\"\n", 1))
	initialize(t, s)
	c := &storeClient{&http.Client{Transport: s.Transport()}, s}
	c.serves()
	watch, err := c.Get(s.URL + "/v2/keys/conftool/a?wait=true")
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Body.Close()
	s.WriteUsers(map[string]string{"root": "root-1", "conftool": "conftool-2"})
	s.Eventually("the new password is in force", func() bool { return s.Put("conftool", "conftool-2") < 300 })
	if n := countV3(t, e.URL(), ".v2/s/"); n != 1 {
		t.Errorf("after the reload there are %d sessions at etcd, want the one that was there", n)
	}
	if event, err := io.ReadAll(watch.Body); err != nil || !strings.Contains(string(event), `"action":"set"`) {
		t.Errorf("the watch got %q, %v; want the event of the write", event, err)
	}
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
	client := v3Client(t, etcd)
	defer client.Close()
	found, err := client.Range(context.Background(), &etcdserverpb.RangeRequest{Key: []byte(key)})
	if err != nil || len(found.Kvs) != 1 {
		t.Fatalf("reading the v3 key %s: got %d keys, %v; want one", key, len(found.GetKvs()), err)
	}
	return string(found.Kvs[0].Value)
}

// countV3 returns the number of v3 keys that begin with a prefix.
func countV3(t *testing.T, etcd, prefix string) int64 {
	t.Helper()
	client := v3Client(t, etcd)
	defer client.Close()
	found, err := client.Range(context.Background(), &etcdserverpb.RangeRequest{Key: []byte(prefix), RangeEnd: layout.End([]byte(prefix)), CountOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	return found.Count
}

func v3Client(t *testing.T, etcd string) *rpc.Client {
	t.Helper()
	at, err := url.Parse(etcd)
	if err != nil {
		t.Fatal(err)
	}
	client, err := rpc.New([]rpc.Endpoint{{Addr: at.Host}}, "", "")
	if err != nil {
		t.Fatal(err)
	}
	return client
}
