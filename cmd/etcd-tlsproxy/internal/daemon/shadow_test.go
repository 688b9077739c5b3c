package daemon_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon/daemontest"
	"etcd-tlsproxy/proxy/proxytest/direct"
	"etcd-tlsproxy/proxy/v2v3"
)

// shadowed returns the small configuration with a shadow.
func shadowed(etcd, shadow string) string {
	return strings.Replace(fmt.Sprintf(daemontest.SeedConfig, etcd), "[tls]\n", "[shadow]\n"+shadow+"\n[tls]\n", 1)
}

// makeCopy makes the copy of a rehearsal of an etcd without keys.
func makeCopy(t *testing.T, etcd string) {
	t.Helper()
	resp, err := http.Get(etcd + "/v2/keys/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	index, err := strconv.ParseUint(resp.Header.Get("X-Etcd-Index"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	at, err := url.Parse(etcd)
	if err != nil {
		t.Fatal(err)
	}
	if err := direct.Copy(v2v3.Endpoint{Addr: at.Host}, "rehearsal", index); err != nil {
		t.Fatal(err)
	}
}

func TestAnswersAreComparedWithTheShadowWhileThatIsConfigured(t *testing.T) {
	e := startEtcd(t)
	makeCopy(t, e.URL())
	s := daemontest.Start(t, shadowed(e.URL(), "sample = 100"))
	s.WaitForMetric("etcd_tlsproxy_shadow_following 1")
	c := &storeClient{&http.Client{Transport: s.Transport()}, s}
	c.do("PUT", "/v2/keys/conftool/a?value=1")
	c.do("POST", "/v2/keys/conftool?value=2")
	c.do("PUT", "/v2/keys/conftool/b?value=1&prevExist=true") // is refused
	if status, body := c.do("GET", "/v2/keys/conftool?recursive=true"); status != 200 {
		t.Fatalf("got %d %s, want 200", status, body)
	}
	s.WaitForMetric(`etcd_tlsproxy_shadow_compared_total{access="read"} 1`)
	writeUntilCompared(s, c)
	if _, body := s.Admin("GET", "/-/status.json"); !strings.Contains(body, `"following":true`) || !strings.Contains(body, `"differing":0`) {
		t.Errorf("got the status %s, want a shadow without differences", body)
	}
	s.Write("etcd-tlsproxy.toml", shadowed(e.URL(), "sample = 0"))
	s.Eventually("there is no shadow any more", func() bool {
		_, body := s.Admin("GET", "/metrics")
		return !strings.Contains(body, "etcd_tlsproxy_shadow_")
	})
}

// writeUntilCompared writes until some answers were compared. The event of a write may be faster than its answer.
func writeUntilCompared(s *daemontest.Service, c *storeClient) {
	s.T.Helper()
	compared := regexp.MustCompile(`etcd_tlsproxy_shadow_compared_total\{access="write"\} ([3-9]|\d\d)`)
	s.Eventually("writes are compared", func() bool {
		c.do("PUT", "/v2/keys/conftool/a?value=1")
		_, body := s.Admin("GET", "/metrics")
		return compared.MatchString(body)
	})
}

func TestAServiceWithoutACopyServesAndSaysWhyNothingIsCompared(t *testing.T) {
	e := startEtcd(t)
	s := daemontest.Start(t, shadowed(e.URL(), `sample = 100`))
	c := &storeClient{&http.Client{Transport: s.Transport()}, s}
	if status, body := c.do("PUT", "/v2/keys/conftool/a?value=1"); status != 201 {
		t.Errorf("got %d %s, want 201", status, body)
	}
	s.WaitForMetric(`etcd_tlsproxy_shadow_skipped_total{reason="behind"} 1`)
	if _, body := s.Admin("GET", "/-/status.json"); !strings.Contains(body, "there is no copy at shadow.prefix yet") {
		t.Errorf("got the status %s, want that there is no copy", body)
	}
	makeCopy(t, e.URL())
	s.WaitForMetric("etcd_tlsproxy_shadow_following 1")
}

// TestAReloadKeepsTheShadowUnlessItLeadsElsewhere changes a limit of the connections to etcd, and then the prefix.
func TestAReloadKeepsTheShadowUnlessItLeadsElsewhere(t *testing.T) {
	e := startEtcd(t)
	makeCopy(t, e.URL())
	s := daemontest.Start(t, shadowed(e.URL(), "sample = 100"))
	s.WaitForMetric("etcd_tlsproxy_shadow_following 1")
	follows := func() int { return strings.Count(s.Log.String(), "the shadow follows the copy") }
	s.Write("etcd-tlsproxy.toml", strings.Replace(shadowed(e.URL(), "sample = 100"), "[limits]\n", "[limits]\nupstream_timeout = \"7s\"\n", 1))
	s.Eventually("the limit is in force", func() bool { return strings.Contains(s.Log.String(), "limits.upstream_timeout is") })
	c := &storeClient{&http.Client{Transport: s.Transport()}, s}
	writeUntilCompared(s, c)
	if got := follows(); got != 1 {
		t.Errorf("the shadow has begun %d times, want once:\n%s", got, s.Log)
	}
	s.Write("etcd-tlsproxy.toml", shadowed(e.URL(), "sample = 100\nprefix = \"other\""))
	s.Eventually("there is no copy", func() bool {
		_, body := s.Admin("GET", "/-/status.json")
		return strings.Contains(body, "there is no copy at shadow.prefix yet")
	})
}
