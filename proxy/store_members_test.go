package proxy_test

import (
	"net/http"
	"strings"
	"testing"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

// TestMembersOfAStoreAreAnsweredLikeTheV2API compares with the v2 API of the same cluster.
func TestMembersOfAStoreAreAnsweredLikeTheV2API(t *testing.T) {
	t.Parallel()
	c, err := proxytest.NewCluster(proxytest.ClusterOptions{Dir: t.TempDir(), Advertise: make([]string, 3)})
	t.Cleanup(c.Close)
	if err != nil {
		t.Fatal(err)
	}
	fronttest.ServeStores(t, c.URLs()...)
	follower, err := c.Follower()
	if err != nil {
		t.Fatal(err)
	}
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f := l.Front(t, follower.URL(), func(s *lane.Snapshot, _ *proxytest.PKI) {
			s.Surfaces = map[gate.Surface]acl.Group{gate.Members: acl.Only("root"), gate.Auth: acl.Only("root")}
		})
		client := f.Client("h1")
		for _, request := range []string{
			"GET /v2/members", "GET /v2/members/", "GET /v2/members/leader", "GET /v2/members/none", "GET /v2/machines", "HEAD /v2/machines",
			"DELETE /v2/members/123", "DELETE /v2/members/xyz", "PUT /v2/members/123", "POST /v2/members", "POST /v2/members/leader",
		} {
			method, path, _ := strings.Cut(request, " ")
			status, body, head := fronttest.Do(t, client, method, f.URL()+path, "root", "")
			wantStatus, wantBody, wantHead := fronttest.Do(t, http.DefaultClient, method, c.Members[0].URL()+path, "", "")
			if status != wantStatus || body != wantBody {
				t.Errorf("%s: got %d %s, want %d %s", request, status, body, wantStatus, wantBody)
			}
			for _, name := range []string{"Content-Type", "Content-Length", "X-Etcd-Cluster-Id", "Allow"} {
				if got, want := head.Get(name), wantHead.Get(name); got != want {
					t.Errorf("%s: got %s %q, want %q", request, name, got, want)
				}
			}
		}
		for path, want := range map[string]string{
			"/v2/stats/self": `"name":"` + follower.Name() + `"`, "/v2/stats/leader": `"followers":{"`, "/v2/stats/store": `{"getsSuccess":`,
			"/version": `"etcdserver":"3.5`, "/health": `"health":"true"`,
		} {
			status, body, head := fronttest.Do(t, client, "GET", f.URL()+path, "", "")
			if status != 200 || !strings.Contains(body, want) || head.Get("Content-Type") != "application/json" && path[:4] == "/v2/" {
				t.Errorf("%s: got %d %s, %v; want 200, JSON and %s", path, status, body, head, want)
			}
		}
		if status, body, _ := fronttest.Do(t, client, "GET", f.URL()+"/v2/auth/users", "root", ""); status != 404 {
			t.Errorf("/v2/auth/users: got %d %s, want 404", status, body)
		}
	})
}
