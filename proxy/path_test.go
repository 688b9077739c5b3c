package proxy_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"

	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

// TestAPathThatEtcdDoesNotHaveIsNotFound compares with etcd itself: a client must not take a
// wrong path for a lack of rights, nor a closed one for a wrong path.
func TestAPathThatEtcdDoesNotHaveIsNotFound(t *testing.T) {
	t.Parallel()
	fronttest.EachEtcd(t, func(t *testing.T, f *fronttest.Front, e fronttest.Etcd) {
		client := f.Client("h1")
		missing := 0
		for _, path := range []string{
			"/", "/v1/keys/a", "/v2", "/v2/", "/v2/leader", "/v2/keysX", "/V2/keys", "/v2/stats", "/v2/stats/x", "/v2/admin/config", "/v2/machinesX", "/favicon.ico", "/metricsX", "/healthz",
			"/raft", "/members", "/leases", "/version/x", "/v2/machines", "/v2/members", "/v2/stats/self", "/v2/stats/store", "/version", "/health", "/metrics", "/v2/auth/enable", "/debug/vars", "/v2/keys",
		} {
			resp, err := http.Get(e.URL() + path)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			status, body, _ := fronttest.Do(t, client, "GET", f.URL()+path, "", "")
			if (status == 404) != (resp.StatusCode == 404) {
				t.Errorf("GET %s: got %d %.100s, but %d from etcd itself; want 404 from both or neither", path, status, body, resp.StatusCode)
			}
			if status == 404 {
				missing++
				expectError(t, "GET "+path, body, 100, "Not found")
			}
			if status == 403 {
				expectError(t, "GET "+path, body, 110, "Closed by the proxy")
			}
		}
		if missing < 15 {
			t.Errorf("got %d paths that etcd does not have, want at least 15", missing)
		}
		for _, path := range []string{"/livez", "/readyz", "/readyz/data_corruption"} { // etcd 3.4 does not have them
			status, body, _ := fronttest.Do(t, client, "GET", f.URL()+path, "", "")
			if status != 403 {
				t.Errorf("GET %s: got %d %s, want 403", path, status, body)
			}
			expectError(t, "GET "+path, body, 110, "Closed by the proxy")
		}
		status, body, _ := fronttest.Do(t, client, "PUT", f.URL()+"/v2/keysX", "root", "value=1")
		if status != 404 {
			t.Errorf("PUT /v2/keysX: got %d %s, want 404", status, body)
		}
		status, body, _ = fronttest.Do(t, client, "POST", f.URL()+"/v2/members", "root", "value=1")
		if status != 403 {
			t.Errorf("POST /v2/members: got %d %s, want 403", status, body)
		}
		expectError(t, "POST /v2/members", body, 110, "Closed by the proxy")
	})
}

// expectError checks that a body has the shape of etcd's errors.
func expectError(t *testing.T, what, body string, code int, message string) {
	t.Helper()
	var got struct {
		ErrorCode      int
		Message, Cause string
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil || got.ErrorCode != code || got.Message != message || got.Cause == "" {
		t.Errorf("%s: got %s, %v; want %s", what, body, err, fmt.Sprintf(`{"errorCode":%d,"message":%q,"cause":...}`, code, message))
	}
}
