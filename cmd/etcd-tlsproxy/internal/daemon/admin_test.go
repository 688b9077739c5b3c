package daemon_test

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon/daemontest"
	"etcd-tlsproxy/proxy/proxytest"
)

// get returns the status of a request to the admin address, 0 without an answer.
func get(t *testing.T, client *http.Client, url, user string) int {
	t.Helper()
	r, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if user != "" {
		r.SetBasicAuth(user, "prometheus-1")
	}
	answer, err := client.Do(r)
	if err != nil {
		return 0
	}
	answer.Body.Close()
	return answer.StatusCode
}

func TestTheAdminAddressHasTLSAndUsersByPrometheusWebConfiguration(t *testing.T) {
	pki, err := proxytest.NewPKI()
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := pki.Server("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte("prometheus-1"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	s := daemontest.StartWith(t, "admin_web_config = \"admin.yml\"\n"+fmt.Sprintf(daemontest.SeedConfig, "http://127.0.0.1:1"), map[string]string{
		"admin.crt": string(cert), "admin.key": string(key),
		"admin.yml": "tls_server_config: {cert_file: admin.crt, key_file: admin.key}\nbasic_auth_users: {prometheus: '" + string(hash) + "'}\n",
	})
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pki.Pool()}}}
	t.Cleanup(client.CloseIdleConnections)
	secured := strings.Replace(s.AdminURL, "http:", "https:", 1)
	for _, c := range []struct {
		url, user string
		want      int
	}{
		{secured + "/metrics", "prometheus", 200}, {secured + "/metrics", "", 401}, {secured + "/-/ready", "other", 401},
		{secured + "/-/ready", "prometheus", 200}, {s.AdminURL + "/metrics", "prometheus", 400},
	} {
		if got := get(t, client, c.url, c.user); got != c.want {
			t.Errorf("GET %s by %q: got status %d, want %d", c.url, c.user, got, c.want)
		}
	}
	if strings.Contains(s.Log.String(), string(hash)) {
		t.Errorf("the log contains the hash:\n%s", s.Log)
	}
}

func TestReadyCanDependOnEtcd(t *testing.T) {
	t.Parallel()
	s := newService(t, daemontest.Echo) // it is not etcd
	for path, want := range map[string]int{"/-/ready": 200, "/-/ready?etcd": 503} {
		if got, body := s.Admin("GET", path); got != want {
			t.Errorf("GET %s without an etcd: got status %d with %q, want %d", path, got, body, want)
		}
	}
	etcd, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	before := daemontest.Start(t, fmt.Sprintf(daemontest.SeedConfig, etcd.URL()))
	if got, body := before.Admin("GET", "/-/ready?etcd"); got != 200 {
		t.Errorf("GET /-/ready?etcd with an etcd: got status %d with %q, want 200", got, body)
	}
}

func TestDrainingByTheAdminAddressCanBeTakenBack(t *testing.T) {
	s := newService(t, daemontest.Echo)
	for _, step := range []struct {
		method, path string
		want         int
		says         string
	}{
		{"GET", "/-/drain?on", 405, ""},
		{"POST", "/-/drain", 400, "?on or"},
		{"POST", "/-/drain?on&off", 400, "?on or"},
		{"GET", "/-/ready", 200, "ready"},
		{"POST", "/-/drain?on", 200, "not ready"},
		{"GET", "/-/ready", 503, "POST /-/drain?on"},
		{"GET", "/-/healthy", 200, "healthy"},
		{"GET", "/-/status.json", 200, `"state":"emptying"`},
		{"GET", "/-/status.json", 200, "The proxy is being emptied"},
		{"POST", "/-/drain?off", 200, "serving"},
		{"GET", "/-/ready", 200, "ready"},
	} {
		if status, body := s.Admin(step.method, step.path); status != step.want || !strings.Contains(body, step.says) {
			t.Errorf("%s %s: got status %d with %.200q, want %d with %q", step.method, step.path, status, body, step.want, step.says)
		}
	}
	if status := s.Put("conftool", "conftool-1"); status != 200 {
		t.Errorf("a write: got status %d, want 200", status)
	}
	for range 2 { // the second one changes nothing
		s.Admin("POST", "/-/drain?on")
	}
	for range 2 {
		s.Admin("POST", "/-/drain?off")
	}
	for _, text := range []string{"emptying: clients are made to leave", "emptying has ended: clients are served as before"} {
		if got := strings.Count(s.Log.String(), text); got != 2 {
			t.Errorf("%q: got %d lines in the log, want 2, one for each change:\n%s", text, got, s.Log)
		}
	}
}

func TestProfilesAreServedOnlyIfTheConfigurationSaysSo(t *testing.T) {
	s := newService(t, daemontest.Echo)
	if status, _ := s.Admin("GET", "/debug/pprof/goroutine?debug=1"); status != 404 {
		t.Errorf("profiles without admin_profiles: got status %d, want 404", status)
	}
	with := daemontest.Start(t, "admin_profiles = true\n"+fmt.Sprintf(daemontest.SeedConfig, "http://127.0.0.1:1"))
	if status, body := with.Admin("GET", "/debug/pprof/goroutine?debug=1"); status != 200 || !strings.Contains(body, "goroutine profile") {
		t.Errorf("profiles with admin_profiles: got status %d with %.100q, want 200 with the profile", status, body)
	}
}
