package proxy_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

// otherPaths are those of the v2 API beside the keys. An id that is none is no member.
var otherPaths = []string{
	"/v2/members", "/v2/members/", "/v2/members/leader", "/v2/members/leader/", "/v2/members/none", "/v2/members/123", "/v2/members/123/x", "/v2/members?x=1",
	"/v2/machines", "/v2/machines/", "/v2/stats", "/v2/stats/", "/v2/stats/self", "/v2/stats/store", "/v2/stats/leader", "/v2/stats/none", "/v2/stats/self/",
	"/version", "/version/", "/health", "/health/", "/v2", "/v2/", "/v2/none",
}

// TestEachMethodIsAnsweredLikeTheV2APIBesideTheKeys compares a proxy of the v2 API with one of the v3 store of
// the same etcd, which has both.
func TestEachMethodIsAnsweredLikeTheV2APIBesideTheKeys(t *testing.T) {
	t.Parallel()
	releases := slices.DeleteFunc(proxytest.Releases(), func(r proxytest.Release) bool { return !r.HasV2() || r.Program == "" })
	if len(releases) == 0 {
		t.Skip("there is no program of etcd that has the v2 API")
	}
	etcd, err := proxytest.StartProcess(releases[0].Program, proxytest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	fronttest.ServeStores(t, etcd.URL())
	link, err := proxytest.NewLink(strings.TrimPrefix(etcd.URL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(link.Close)
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		opened := func(s *lane.Snapshot, _ *proxytest.PKI) {
			s.Surfaces = map[gate.Surface]acl.Group{gate.Members: acl.Only("root"), gate.Auth: acl.Only("root")}
		}
		v2, v3 := l.Front(t, link.URL(), opened), l.Front(t, etcd.URL(), opened)
		v2Client, v3Client := v2.Client("h1"), v3.Client("h1")
		for _, path := range otherPaths {
			for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"} {
				want := described(fronttest.Do(t, v2Client, method, v2.URL()+path, "root", ""))
				got := described(fronttest.Do(t, v3Client, method, v3.URL()+path, "root", ""))
				if got != want {
					t.Errorf("%s %s:\n got %s\nwant %s", method, path, got, want)
				}
			}
		}
	})
}

// described returns an answer without what differs from moment to moment, or is counted by each proxy for itself.
func described(status int, body string, head http.Header) string {
	head = head.Clone()
	head.Del("Date")
	head.Del("X-Request-Id")
	var statistics map[string]any
	if status == 200 && !strings.Contains(body, "members") && json.Unmarshal([]byte(body), &statistics) == nil && len(statistics) > 1 {
		head.Del("Content-Length")
		body = fmt.Sprint(slices.Sorted(maps.Keys(statistics)))
	}
	var fields []string
	for _, name := range slices.Sorted(maps.Keys(head)) {
		fields = append(fields, name+": "+strings.Join(head[name], ", "))
	}
	return fmt.Sprintf("%d %v %q", status, fields, body)
}
