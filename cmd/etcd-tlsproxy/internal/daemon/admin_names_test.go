package daemon_test

import (
	"fmt"
	"net/http"
	"testing"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon/daemontest"
)

// TestAWebPageCannotUseTheAdminAddressUnderANameOfItsOwn covers pages whose name first points
// to their own server and then to this machine.
func TestAWebPageCannotUseTheAdminAddressUnderANameOfItsOwn(t *testing.T) {
	etcd := newStandIn(t, "etcd")
	etcd.Start()
	s := startService(t, `admin_names = ["Scraped.example.org"]`+"\nadmin_profiles = true\n"+fmt.Sprintf(daemontest.SeedConfig, etcd.URL))
	status := func(method, path, host string) int {
		t.Helper()
		req, err := http.NewRequest(method, s.AdminURL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		resp, err := http.DefaultTransport.RoundTrip(req) // does not follow redirects
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{"GET", "/metrics", 200}, {"POST", "/-/reload", 200}, {"POST", "/-/drain?off", 200}, {"GET", "/-/explain", 200}, {"GET", "/-/status", 200}, {"GET", "/-/status.json", 200}, {"GET", "/debug/pprof/cmdline", 200}, {"GET", "/", 302},
	} {
		for host, want := range map[string]int{
			"localhost": c.want, "127.0.0.1:4002": c.want, "scraped.example.org:4002": c.want,
			"rebound.example.net": 421, "rebound.example.net:4002": 421, "example.org": 421,
		} {
			if got := status(c.method, c.path, host); got != want {
				t.Errorf("%s %s of host %q: got status %d, want %d", c.method, c.path, host, got, want)
			}
		}
	}
	for _, path := range []string{"/-/healthy", "/-/ready"} {
		if got := status("GET", path, "balancer.example.net"); got != 200 {
			t.Errorf("GET %s by another name: got status %d, want 200", path, got)
		}
	}
}
