package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/proxytest"
)

// service is a running serve with its files.
type service struct {
	t          testing.TB
	dir        string
	pki        *proxytest.PKI
	log        *output
	hangup     chan os.Signal
	stop       context.CancelFunc
	ended      chan error
	url, admin string
}

// output is a log that a test reads while it is written.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

const seedConfig = `listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
[upstream]
endpoints = ["%s"]
[tls]
certificate = "server.crt"
key = "server.key"
[auth]
htpasswd = ["htpasswd"]
[limits]
drain = "5s"
[acls]
"/" = ["root"]
"/conftool" = ["root", "conftool"]
"/eventlogging" = []
`

// echo takes etcd's place: reloads do not depend on it.
func echo(w http.ResponseWriter, r *http.Request) {
	_, _ = io.WriteString(w, r.Method+" "+r.RequestURI)
}

func newService(t testing.TB, handler http.HandlerFunc) *service {
	t.Helper()
	etcd := httptest.NewServer(handler)
	t.Cleanup(etcd.Close)
	return startService(t, fmt.Sprintf(seedConfig, etcd.URL))
}

func startService(t testing.TB, config string) *service {
	t.Helper()
	s := &service{t: t, dir: t.TempDir(), log: &output{}, hangup: make(chan os.Signal, 1), ended: make(chan error, 1)}
	var err error
	if s.pki, err = proxytest.NewPKI(); err != nil {
		t.Fatal(err)
	}
	s.writeCertificate()
	s.writeUsers(map[string]string{"root": "root-1", "conftool": "conftool-1"})
	s.write("etcd-tlsproxy.toml", config)
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	go func() { s.ended <- serve(ctx, s.path("etcd-tlsproxy.toml"), s.hangup, io.Discard, s.log) }()
	t.Cleanup(func() { s.end() })
	addresses := regexp.MustCompile(`msg=serving .* listen=(\S+) admin=(\S+)`)
	s.eventually("it serves", func() bool { return addresses.MatchString(s.log.String()) })
	found := addresses.FindStringSubmatch(s.log.String())
	s.url, s.admin = "https://"+found[1], "http://"+found[2]
	return s
}

// end stops the service, once, and reports how it ended.
func (s *service) end() {
	s.t.Helper()
	s.stop()
	if err, running := <-s.ended; running && err != nil {
		s.t.Errorf("serve ended with %v", err)
	}
	select {
	case <-s.ended:
	default:
		close(s.ended)
	}
}

func (s *service) path(name string) string { return filepath.Join(s.dir, name) }

// write replaces a file as editors and Puppet do.
func (s *service) write(name, text string) {
	s.t.Helper()
	next := s.path(name + ".next")
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(next, s.path(name)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *service) read(name string) string {
	s.t.Helper()
	data, err := os.ReadFile(s.path(name))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(data)
}

func (s *service) writeUsers(passwords map[string]string) {
	s.t.Helper()
	data, err := proxytest.Htpasswd(passwords)
	if err != nil {
		s.t.Fatal(err)
	}
	s.write("htpasswd", string(data))
}

func (s *service) writeCertificate() {
	s.t.Helper()
	cert, key, err := s.pki.Server("127.0.0.1")
	if err != nil {
		s.t.Fatal(err)
	}
	// In this order both are one file apart for a moment, as in real life.
	s.write("server.crt", string(cert))
	s.write("server.key", string(key))
}

func (s *service) eventually(what string, reached func() bool) {
	s.t.Helper()
	for limit := time.Now().Add(10 * time.Second); !reached(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(limit) {
			s.t.Fatalf("it never came to this: %s\n%s", what, s.log)
		}
	}
}

// transport trusts the service.
func (s *service) transport() *http.Transport {
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.pki.Pool()}}
	s.t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// put writes below /conftool and returns the status.
func (s *service) put(user, password string) int {
	s.t.Helper()
	transport := s.transport()
	transport.DisableKeepAlives = true
	req, err := http.NewRequest("PUT", s.url+"/v2/keys/conftool/a", strings.NewReader("value=1"))
	if err != nil {
		s.t.Fatal(err)
	}
	req.SetBasicAuth(user, password)
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// ask makes a request to the admin address.
func (s *service) ask(method, path string) (int, string) {
	s.t.Helper()
	req, err := http.NewRequest(method, s.admin+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// awaitMetric waits for a line: an answer is counted after it was sent.
func (s *service) awaitMetric(line string) {
	s.t.Helper()
	s.eventually("the metrics hold "+line, func() bool {
		_, metrics := s.ask("GET", "/metrics")
		return strings.Contains(metrics, line)
	})
}

func (s *service) serial() string {
	s.t.Helper()
	c, err := tls.Dial("tcp", strings.TrimPrefix(s.url, "https://"), &tls.Config{RootCAs: s.pki.Pool()})
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

func TestTheAdminListenerTells(t *testing.T) {
	s := newService(t, echo)
	if status := s.put("conftool", "conftool-1"); status != 200 {
		t.Errorf("a write: %d", status)
	}
	for _, path := range []string{"/-/healthy", "/-/ready"} {
		if status, body := s.ask("GET", path); status != 200 {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	for _, want := range []string{
		`etcd_tlsproxy_requests_total{code="200",method="PUT",surface="keys"} 1`, `etcd_tlsproxy_decisions_total{outcome="allowed",surface="keys"} 1`,
		`etcd_tlsproxy_watches 0`, `etcd_tlsproxy_logins_total{means="password",result="ok"} 1`, `etcd_tlsproxy_upstream_connections{state="idle"} 1`,
		`etcd_tlsproxy_certificate_not_after_timestamp_seconds{role="server"} `, `etcd_tlsproxy_config_last_reload_successful 1`,
		`etcd_tlsproxy_build_info{goversion="go`, `etcd_tlsproxy_config_reloads_total{result="ok"} 1`,
	} {
		s.awaitMetric(want)
	}
	if status, _ := s.ask("GET", "/-/reload"); status != 405 {
		t.Errorf("a reload by GET: %d", status)
	}
	if status, _ := s.ask("GET", "/-/"); status != 404 {
		t.Errorf("a path nobody named: %d", status)
	}
}

func TestAChangedPasswordTakesEffectWithoutASignal(t *testing.T) {
	s := newService(t, echo)
	if status := s.put("conftool", "conftool-1"); status != 200 { // and is remembered
		t.Fatalf("before: %d", status)
	}
	s.writeUsers(map[string]string{"root": "root-1", "conftool": "conftool-2"})
	began := time.Now()
	s.eventually("the old password is refused", func() bool { return s.put("conftool", "conftool-1") == 401 })
	t.Logf("after %v", time.Since(began))
	if status := s.put("conftool", "conftool-2"); status != 200 {
		t.Errorf("the new password: %d", status)
	}
}

func TestANewCertificateIsServedWithoutASignal(t *testing.T) {
	s := newService(t, echo)
	before := s.serial()
	s.writeCertificate()
	s.eventually("another certificate is served", func() bool { return s.serial() != before })
}

func TestASignalReloadsAtOnceAndOpensLogsAgain(t *testing.T) {
	s := newService(t, echo)
	s.write("etcd-tlsproxy.toml", strings.Replace(s.read("etcd-tlsproxy.toml"), "listen", "read_only = true\nlisten", 1))
	s.hangup <- os.Interrupt // which signal it was, serve does not ask
	s.eventually("it is read-only", func() bool { return s.put("root", "root-1") == 403 })
}

func TestABadFileKeepsTheOldState(t *testing.T) {
	s := newService(t, echo)
	good := s.read("etcd-tlsproxy.toml")
	reload := func(want int, says string) {
		t.Helper()
		if status, body := s.ask("POST", "/-/reload"); status != want || !strings.Contains(body, says) {
			t.Errorf("reloading: %d %s; want %d with %q", status, body, want, says)
		}
		if status := s.put("conftool", "conftool-1"); status != 200 {
			t.Errorf("the old state does not serve: %d", status)
		}
	}
	s.write("etcd-tlsproxy.toml", strings.Replace(good, "[limits]", "[limits]\ndrian = 1", 1))
	reload(500, "etcd-tlsproxy.toml:11: limits.drian: there is no such key (hint: did you mean limits.drain?)")
	s.write("etcd-tlsproxy.toml", strings.Replace(good, `"conftool"]`, `"conftol"]`, 1))
	reload(500, `etcd-tlsproxy.toml:14: acls."/conftool": user "conftol" is in no htpasswd file`)
	s.write("etcd-tlsproxy.toml", strings.Replace(good, "127.0.0.1:0", "127.0.0.1:1", 1))
	reload(500, "listen: it has changed, which takes a restart")
	// A good change beside a bad one: neither.
	s.write("etcd-tlsproxy.toml", "read_only = true\n"+good)
	s.write("htpasswd", "root:hunter2\n")
	reload(500, `htpasswd:1: user "root": the hash is not of an accepted scheme`)
	key := s.read("server.key")
	s.writeUsers(map[string]string{"root": "root-1", "conftool": "conftool-1"})
	s.writeCertificate()
	s.write("server.key", key)
	reload(500, "the key does not belong to the certificate")
	if _, metrics := s.ask("GET", "/metrics"); !strings.Contains(metrics, "etcd_tlsproxy_config_last_reload_successful 0") {
		t.Error("the metric does not tell")
	}
	s.writeCertificate()
	s.write("etcd-tlsproxy.toml", good)
	reload(200, "reloaded")
	if _, metrics := s.ask("GET", "/metrics"); !strings.Contains(metrics, "etcd_tlsproxy_config_last_reload_successful 1") {
		t.Error("the metric does not tell that all is well again")
	}
	if strings.Contains(s.log.String(), "hunter2") {
		t.Errorf("the log repeats a password:\n%s", s.log)
	}
}

func TestAnUnchangedReloadForgetsNothing(t *testing.T) {
	s := newService(t, echo)
	s.put("conftool", "conftool-1")
	s.awaitMetric(`etcd_tlsproxy_upstream_connections{state="idle"} 1`)
	s.write("htpasswd", s.read("htpasswd"))
	if status, body := s.ask("POST", "/-/reload"); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	s.put("conftool", "conftool-1")
	s.awaitMetric(`etcd_tlsproxy_logins_total{means="password",result="remembered"} 1`)
	s.awaitMetric(`etcd_tlsproxy_upstream_events_total{event="dial"} 1`)
	if !strings.Contains(s.log.String(), "reloaded: nothing has changed") {
		t.Errorf("the log does not say so:\n%s", s.log)
	}
}

func TestOtherEndpointsTakeOver(t *testing.T) {
	s := newService(t, echo)
	s.put("conftool", "conftool-1")
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	defer other.Close()
	s.write("etcd-tlsproxy.toml", fmt.Sprintf(seedConfig, other.URL))
	if status, body := s.ask("POST", "/-/reload"); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	if status := s.put("conftool", "conftool-1"); status != http.StatusTeapot {
		t.Errorf("%d", status)
	}
}

func TestStoppingDrains(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	s := newService(t, func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-answer
		echo(w, r)
	})
	status := make(chan int)
	go func() { status <- s.put("conftool", "conftool-1") }()
	<-asked
	s.stop()
	s.eventually("it is not ready", func() bool { status, _ := s.ask("GET", "/-/ready"); return status == 503 })
	s.hangup <- os.Interrupt // does nothing any more
	close(answer)
	if got := <-status; got != 200 {
		t.Errorf("the running request: %d", got)
	}
	s.end()
	if strings.Contains(s.log.String(), "reloaded") || !strings.Contains(s.log.String(), "msg=stopped") {
		t.Errorf("the log:\n%s", s.log)
	}
}

func TestLogFilesAreOpenedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	logs, err := openLogs(&Log{Access: "off", Audit: path, Level: "info", Format: "json"}, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	logs.records.Audit.Info("one")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	logs.records.Audit.Info("two")
	if err := logs.reopen(); err != nil {
		t.Fatal(err)
	}
	logs.records.Audit.Info("three")
	if err := logs.close(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{path: 1, path + ".1": 2} {
		data, err := os.ReadFile(name)
		if err != nil || strings.Count(string(data), "\n") != want {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
}
