package cluster

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// advertised returns a server that answers as the only member of a cluster, which advertises
// it. Like a proxy, it repeats the id of a request if proxy is set.
func advertised(t *testing.T, proxy bool) *Connection {
	t.Helper()
	var server *httptest.Server
	server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if id := r.Header.Get("X-Request-Id"); proxy {
			w.Header().Set("X-Request-Id", id)
		}
		body := map[string]string{
			"/v2/members": `{"members":[{"id":"a1","name":"conf1001","peerURLs":["http://192.0.2.1:2380"],"clientURLs":["` + server.URL + `"]}]}`,
			"/health":     `{"health":"true"}`, "/v2/members/leader": `{"id":"a1"}`, "/v2/stats/self": `{"id":"a1"}`, "/version": `{"etcdserver":"3.4.23"}`,
		}[r.URL.Path]
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return &Connection{Endpoints: []string{server.URL}, CA: ca, Timeout: time.Minute}
}

func TestAURLBypassesTheProxyOnlyIfNoProxyAnswersThere(t *testing.T) {
	for _, c := range []struct {
		proxy  bool
		ports  []int
		bypass bool
	}{
		{false, []int{4001}, true},
		{true, []int{4001}, false},
		{false, nil, false},
	} {
		health, err := advertised(t, c.proxy).Probe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := health.Members[0].URLs[0].Proxy; got != c.proxy {
			t.Errorf("a URL where a proxy answers: %t: got %t", c.proxy, got)
		}
		bypass := false
		for _, f := range health.Findings(Limits{ProxyPorts: c.ports}, time.Now()) {
			bypass = bypass || strings.Contains(f.Text, "bypass")
		}
		if bypass != c.bypass {
			t.Errorf("a URL of another port with a proxy (%t), and the ports %v of other proxies: got the warning %t, want %t", c.proxy, c.ports, bypass, c.bypass)
		}
	}
}
