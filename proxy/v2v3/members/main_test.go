package members

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

func TestMain(m *testing.M) { proxytest.VerifyNoLeaks(m) }

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// connect returns a client of the etcd at a URL.
func connect(t *testing.T, at string) *rpc.Client {
	t.Helper()
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	c, err := rpc.New([]rpc.Endpoint{{Addr: u.Host}}, "", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// startEtcd starts an etcd that is embedded, and has the v2 API.
func startEtcd(t *testing.T) *proxytest.Embedded {
	t.Helper()
	etcd, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	return etcd
}

// serve answers a request: method, path, content type and body.
func serve(t *testing.T, c *rpc.Client, method, path, kind, body string) Reply {
	t.Helper()
	reply, err := Serve(testContext(t), c, &Request{Method: method, Path: path, ContentType: kind, Body: []byte(body)})
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return reply
}

// ask sends a request to etcd's own v2 API.
func ask(t *testing.T, at, method, path, kind, body string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(testContext(t), method, at+"/v2/members"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}
