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

func TestMain(m *testing.M) {
	proxytest.WaitTogether()
	proxytest.VerifyNoLeaks(m)
}

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
	var reply Reply
	again(t, func(ctx context.Context) (err error) {
		reply, err = Serve(ctx, c, &Request{Method: method, Path: path, ContentType: kind, Body: []byte(body)})
		return err
	})
	return reply
}

// again calls a function until it succeeds. Raft drops a change of the members while the one before is
// not applied, and then etcd never answers.
func again(t *testing.T, call func(ctx context.Context) error) {
	t.Helper()
	var err error
	for range 10 {
		ctx, cancel := context.WithTimeout(testContext(t), 3*time.Second)
		err = call(ctx)
		cancel()
		if err == nil {
			return
		}
	}
	t.Fatal(err)
}

// ask sends a request to etcd's own v2 API.
func ask(t *testing.T, at, method, path, kind, body string) (*http.Response, string) {
	t.Helper()
	var resp *http.Response
	var text []byte
	again(t, func(ctx context.Context) error {
		r, err := http.NewRequestWithContext(ctx, method, at+"/v2/members"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if kind != "" {
			r.Header.Set("Content-Type", kind)
		}
		if resp, err = http.DefaultClient.Do(r); err != nil {
			return err
		}
		defer resp.Body.Close()
		text, err = io.ReadAll(resp.Body)
		return err
	})
	return resp, string(text)
}
