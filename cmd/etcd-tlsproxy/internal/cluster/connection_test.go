package cluster

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	client "go.etcd.io/etcd/client/v2"

	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

func TestAConnectionReachesEtcd(t *testing.T) {
	etcd, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer etcd.Close()
	c := &Connection{Endpoints: []string{"http://127.0.0.1:1", etcd.URL()}, Timeout: 10 * time.Second}
	etcdClient, err := c.Client()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := c.Context(context.Background())
	defer cancel()
	if _, err := client.NewKeysAPI(etcdClient).Set(ctx, "/a", "1", nil); err != nil {
		t.Errorf("writing a key although the first endpoint is down: %v", err)
	}
}

func TestWhatIsWrongWithAConnectionIsSaidBeforeItIsMade(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, c := range map[string]*Connection{
		"names no endpoint":                 {},
		`endpoint "conf1001:4001"`:          {Endpoints: []string{"conf1001:4001"}},
		`endpoint "...@conf1001:1"`:         {Endpoints: []string{"http://root:secret@conf1001:1"}},
		"user and --password-file":          {Endpoints: []string{"http://conf1001:1"}, User: "root"},
		"--cert-file and --key-file":        {Endpoints: []string{"http://conf1001:1"}, Key: empty},
		"it contains no usable certificate": {Endpoints: []string{"http://conf1001:1"}, CA: empty},
		"reading --password-file":           {Endpoints: []string{"http://conf1001:1"}, User: "root", PasswordFile: empty + "2"},
		"reading --ca-file: open ":          {Endpoints: []string{"http://conf1001:1"}, CA: empty + "2"},
		"reading --cert-file and --k":       {Endpoints: []string{"http://conf1001:1"}, Certificate: empty, Key: empty},
	} {
		if _, err := c.Client(); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("Client of %+v: got error %v, want %q and no password", c, err, want)
		}
	}
}

func TestAnEndpointThatFailsIsQuoted(t *testing.T) {
	etcd, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	etcd.Close()
	f := fronttest.Fast.Front(t, etcd.URL(), nil)
	c := &Connection{Endpoints: []string{f.URL()}, CA: filepath.Join(t.TempDir(), "ca.crt"), Timeout: 10 * time.Second}
	if err := f.PKI.WriteCA(c.CA); err != nil {
		t.Fatal(err)
	}
	_, err = c.Members(t.Context())
	want := "listing the members: " + f.URL() + " answers with status 503: etcd cannot be reached: No endpoint accepted a connection; nothing was sent"
	if err == nil || err.Error() != want {
		t.Errorf("a proxy without its etcd: got error %v, want %s", err, want)
	}
	c.Endpoints = append(c.Endpoints, "https://127.0.0.1:1")
	if _, err = c.Members(t.Context()); err == nil || !strings.Contains(err.Error(), "cannot be reached") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("a proxy without its etcd, and no proxy: got error %v, want both", err)
	}
	c.Endpoints = c.Endpoints[1:]
	if _, err = c.Members(t.Context()); err == nil || !strings.Contains(err.Error(), "no endpoint answers: ") || !strings.HasSuffix(err.Error(), "(hint: --endpoints is https://127.0.0.1:1)") {
		t.Errorf("no proxy: got error %v, want that none answers, and the endpoints", err)
	}
}

// TestAnEtcdWithoutTheV2APIIsNamed asks an etcd that serves its keys only through proxies.
func TestAnEtcdWithoutTheV2APIIsNamed(t *testing.T) {
	for _, release := range proxytest.Releases() {
		t.Run(release.Name, func(t *testing.T) {
			t.Parallel()
			etcd, err := release.Cluster(t.TempDir(), 1)
			t.Cleanup(etcd.Close)
			if err != nil {
				t.Fatal(err)
			}
			c := &Connection{Endpoints: etcd.URLs(), Timeout: 10 * time.Second}
			_, members := c.Members(t.Context())
			etcdClient, err := c.Client()
			if err != nil {
				t.Fatal(err)
			}
			_, keys := client.NewKeysAPI(etcdClient).Get(t.Context(), "/", nil)
			for what, err := range map[string]error{"members": members, "keys": keys} {
				if err == nil || !strings.Contains(OneLine(err).Error(), "this etcd has no v2 API") || !strings.Contains(OneLine(err).Error(), "URL of a proxy") {
					t.Errorf("reading %s: got the error %v, want that it has no v2 API, and who has", what, err)
				}
			}
		})
	}
}

func TestAnEndpointThatAcceptsAndDoesNotAnswerIsNamed(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer server.Close()
	c := &Connection{Endpoints: []string{server.URL}, Timeout: 50 * time.Millisecond}
	if _, err := c.Members(t.Context()); err == nil || !strings.Contains(err.Error(), "(hint: "+server.URL+" accepts connections, but etcd did not answer through it within 50ms") {
		t.Errorf("listing the members of an etcd that hangs: got %v, want the hint that the endpoint was reached", err)
	}
}
