package daemon_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon/daemontest"
)

// service is a running service, with the checks of this package's tests.
type service struct{ *daemontest.Service }

func newService(t testing.TB, handler http.HandlerFunc) *service {
	t.Helper()
	return &service{daemontest.New(t, handler)}
}

func startService(t testing.TB, config string) *service {
	t.Helper()
	return &service{daemontest.Start(t, config)}
}

func TestTheAdminListenerTells(t *testing.T) {
	s := newService(t, daemontest.Echo)
	if status := s.Put("conftool", "conftool-1"); status != 200 {
		t.Errorf("a write with the right password: got status %d, want 200", status)
	}
	for _, path := range []string{"/-/healthy", "/-/ready"} {
		if status, body := s.Admin("GET", path); status != 200 {
			t.Errorf("GET %s: got status %d with %q, want 200", path, status, body)
		}
	}
	for _, want := range []string{
		`etcd_tlsproxy_requests_total{code="200",method="PUT",surface="keys"} 1`, `etcd_tlsproxy_decisions_total{access="write",outcome="allowed",surface="keys"} 1`,
		`etcd_tlsproxy_watches 0`, `etcd_tlsproxy_logins_total{means="password",reason="",result="ok"} 1`, `etcd_tlsproxy_upstream_connections{state="idle"} 1`,
		`etcd_tlsproxy_certificate_not_after_timestamp_seconds{role="server"} `, `etcd_tlsproxy_config_last_reload_successful 1`,
		`etcd_tlsproxy_build_info{goversion="go`, `etcd_tlsproxy_config_reloads_total{result="ok"} 1`,
	} {
		s.WaitForMetric(want)
	}
	if status, body := s.Admin("GET", "/-/config"); status != 200 || !strings.Contains(body, "\nidle_timeout = \"1h0m0s\" # default\n") || strings.Contains(body, "$apr1$") {
		t.Errorf("GET /-/config: got status %d with %q, want 200 with all settings and no hashes", status, body)
	}
	if status, _ := s.Admin("GET", "/-/reload"); status != 405 {
		t.Errorf("GET /-/reload: got status %d, want 405", status)
	}
	if status, _ := s.Admin("GET", "/-/"); status != 404 {
		t.Errorf("GET /-/, which does not exist: got status %d, want 404", status)
	}
}

func TestAChangedPasswordTakesEffectWithoutASignal(t *testing.T) {
	t.Parallel()
	s := newService(t, daemontest.Echo)
	if status := s.Put("conftool", "conftool-1"); status != 200 { // and the password is cached
		t.Fatalf("a write with the old password before the change: got status %d, want 200", status)
	}
	s.WriteUsers(map[string]string{"root": "root-1", "conftool": "conftool-2"})
	start := time.Now()
	s.Eventually("the old password is refused", func() bool { return s.Put("conftool", "conftool-1") == 401 })
	t.Logf("the change took effect after %v", time.Since(start))
	if status := s.Put("conftool", "conftool-2"); status != 200 {
		t.Errorf("a write with the new password: got status %d, want 200", status)
	}
}

func TestANewCertificateIsServedWithoutASignal(t *testing.T) {
	t.Parallel()
	s := newService(t, daemontest.Echo)
	before := s.Serial()
	s.WriteCertificate()
	s.Eventually("another certificate is served", func() bool { return s.Serial() != before })
}

func TestASignalReloadsAtOnceAndOpensLogsAgain(t *testing.T) {
	s := newService(t, daemontest.Echo)
	s.Write("etcd-tlsproxy.toml", strings.Replace(s.Read("etcd-tlsproxy.toml"), "listen", "read_only = true\nlisten", 1))
	s.Hangup <- os.Interrupt // any signal of the channel requests a reload
	s.Eventually("writes are refused", func() bool { return s.Put("root", "root-1") == 403 })
}

func TestABadFileKeepsTheOldState(t *testing.T) {
	s := newService(t, daemontest.Echo)
	good := s.Read("etcd-tlsproxy.toml")
	reload := func(want int, text string) {
		t.Helper()
		if status, body := s.Admin("POST", "/-/reload"); status != want || !strings.Contains(body, text) {
			t.Errorf("reload: got status %d with %q, want %d with %q", status, body, want, text)
		}
		if status := s.Put("conftool", "conftool-1"); status != 200 {
			t.Errorf("a write in the old state: got status %d, want 200", status)
		}
	}
	s.Write("etcd-tlsproxy.toml", strings.Replace(good, "[limits]", "[limits]\ndrian = 1", 1))
	reload(500, "etcd-tlsproxy.toml:11: limits.drian: there is no such key (hint: did you mean limits.drain?)")
	s.Write("etcd-tlsproxy.toml", good)
	s.Write("htpasswd", "root:hunter2\n")
	reload(500, `htpasswd:1: user "root": the hash is not of an accepted scheme`)
	key := s.Read("server.key")
	s.WriteUsers(map[string]string{"root": "root-1", "conftool": "conftool-1"})
	s.WriteCertificate()
	s.Write("server.key", key)
	reload(500, "the key does not belong to the certificate")
	if _, metrics := s.Admin("GET", "/metrics"); !strings.Contains(metrics, "etcd_tlsproxy_config_last_reload_successful 0") {
		t.Error("config_last_reload_successful is not 0 after failed reloads")
	}
	s.WriteCertificate()
	s.Write("etcd-tlsproxy.toml", good)
	reload(200, "reloaded")
	if _, metrics := s.Admin("GET", "/metrics"); !strings.Contains(metrics, "etcd_tlsproxy_config_last_reload_successful 1") {
		t.Error("config_last_reload_successful is not 1 after a successful reload")
	}
	if strings.Contains(s.Log.String(), "hunter2") {
		t.Errorf("the log repeats a password:\n%s", s.Log)
	}
}

func TestARemovedUserLosesAccessThoughARuleStillNamesIt(t *testing.T) {
	t.Parallel()
	s := newService(t, daemontest.Echo)
	s.Put("conftool", "conftool-1")
	s.WriteUsers(map[string]string{"root": "root-1"})
	s.Eventually("the password is refused", func() bool { return s.Put("conftool", "conftool-1") == 401 })
	s.WaitForMetric("etcd_tlsproxy_config_warnings 1")
	const warning = `acls."/conftool": user "conftool" is in no htpasswd file`
	if problems := strings.Join(s.status().Problems, " "); !strings.Contains(problems, warning) {
		t.Errorf("the problems: got %q, want one with %s", problems, warning)
	}
	if !strings.Contains(s.Log.String(), `user \"conftool\" is in no htpasswd file`) {
		t.Errorf("the log lacks the warning:\n%s", s.Log)
	}
}

func TestAnUnchangedReloadForgetsNothing(t *testing.T) {
	s := newService(t, daemontest.Echo)
	s.Put("conftool", "conftool-1")
	s.WaitForMetric(`etcd_tlsproxy_upstream_connections{state="idle"} 1`)
	s.Write("htpasswd", s.Read("htpasswd"))
	if status, body := s.Admin("POST", "/-/reload"); status != 200 {
		t.Fatalf("reload: got status %d with %q, want 200", status, body)
	}
	s.Put("conftool", "conftool-1")
	s.WaitForMetric(`etcd_tlsproxy_logins_total{means="password",reason="",result="remembered"} 1`)
	s.WaitForMetric(`etcd_tlsproxy_upstream_events_total{event="dial"} 1`)
	if !strings.Contains(s.Log.String(), "reloaded: nothing has changed") {
		t.Errorf("the log does not contain \"reloaded: nothing has changed\":\n%s", s.Log)
	}
}

func TestOtherEndpointsTakeOver(t *testing.T) {
	s := newService(t, daemontest.Echo)
	s.Put("conftool", "conftool-1")
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	defer other.Close()
	s.Write("etcd-tlsproxy.toml", fmt.Sprintf(daemontest.SeedConfig, other.URL))
	if status, body := s.Admin("POST", "/-/reload"); status != 200 {
		t.Fatalf("reload: got status %d with %q, want 200", status, body)
	}
	if status := s.Put("conftool", "conftool-1"); status != http.StatusTeapot {
		t.Errorf("a write at the other endpoint: got status %d, want its 418", status)
	}
}

func TestStoppingDrains(t *testing.T) {
	received, release := make(chan struct{}), make(chan struct{})
	s := newService(t, func(w http.ResponseWriter, r *http.Request) {
		received <- struct{}{}
		<-release
		daemontest.Echo(w, r)
	})
	status := make(chan int)
	go func() { status <- s.Put("conftool", "conftool-1") }()
	<-received
	s.Stop()
	s.Eventually("the service is not ready", func() bool { status, _ := s.Admin("GET", "/-/ready"); return status == 503 })
	s.Hangup <- os.Interrupt // has no effect during a drain
	close(release)
	if got := <-status; got != 200 {
		t.Errorf("the request that ran at the start of the drain: got status %d, want 200", got)
	}
	s.Close()
	if strings.Contains(s.Log.String(), "reloaded") || !strings.Contains(s.Log.String(), "msg=stopped") {
		t.Errorf("the log must contain msg=stopped and no reload:\n%s", s.Log)
	}
}

func TestARequiredAuditLogThatIsRemovedIsNoticed(t *testing.T) {
	etcd := httptest.NewServer(http.HandlerFunc(daemontest.Echo))
	t.Cleanup(etcd.Close)
	s := startService(t, fmt.Sprintf(daemontest.SeedConfig, etcd.URL)+"\n[log]\naudit = \"audit.log\"\naudit_required = true\n")
	path := s.Path("audit.log")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	s.Eventually("the log is at its path again", func() bool {
		text, err := os.ReadFile(path)
		return err == nil && strings.Contains(string(text), "opened again")
	})
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	s.WaitForMetric(`etcd_tlsproxy_log_failing{log="audit"} 1`)
	if status := s.Put("conftool", "conftool-1"); status != 503 {
		t.Errorf("a write without an audit log at its path: got status %d, want 503", status)
	}
	if status, text := s.Admin("POST", "/-/reload"); status != 500 || !strings.HasPrefix(text, "reloaded\nbut a log is not at its path: ") {
		t.Errorf("a reload meanwhile: got status %d with %q, want 500 with the log that is not at its path", status, text)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	s.WaitForMetric(`etcd_tlsproxy_log_failing{log="audit"} 0`)
	if status := s.Put("conftool", "conftool-1"); status != 200 {
		t.Errorf("a write afterwards: got status %d, want 200", status)
	}
}
