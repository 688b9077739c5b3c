package prometheus

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/api"
	"github.com/prometheus/client_golang/api/prometheus/v1"

	"etcd-tlsproxy/proxy/proxytest"
)

// need skips the test if a tool is not installed.
func need(t *testing.T, tool string) {
	t.Helper()
	if _, err := exec.LookPath(tool); err != nil {
		t.Skip(tool + " is not installed")
	}
}

func TestRulesPassTheirUnitTests(t *testing.T) {
	need(t, "promtool")
	for _, args := range [][]string{{"test", "rules", rulesTestFile}, {"check", "config", "prometheus.example.yml"}} {
		if out, err := exec.Command("promtool", args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: got %v, want success; output:\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// TestPrometheusEvaluatesAllOfIt scrapes a real service without an etcd, with the example
// configuration, and evaluates every expression of the dashboard.
func TestPrometheusEvaluatesAllOfIt(t *testing.T) {
	need(t, "prometheus")
	dir := t.TempDir()
	url, admin, client := serveWithoutEtcd(t, dir)
	sendRequests := func() {
		t.Helper()
		for _, request := range []struct{ method, path string }{{"GET", "/v2/keys/x"}, {"PUT", "/v2/keys/x"}, {"POST", "/v2/members"}} {
			req, err := http.NewRequest(request.method, url+request.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
		}
	}
	sendRequests()
	server := startPrometheus(t, dir, admin)
	query := func(expression string) string {
		t.Helper()
		value, _, _, err := server.Query(t.Context(), expression, time.Now())
		if err != nil {
			t.Fatalf("evaluating %s: %v", expression, err)
		}
		return value.String()
	}
	// Traffic between two scrapes gives rates, and rates make the first alert pending.
	waitFor(t, "a recorded rate and a pending alert", func() bool {
		sendRequests()
		rules, err := server.Rules(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, group := range rules.Groups {
			for _, r := range group.Rules {
				if alert, ok := r.(v1.AlertingRule); ok && alert.Name == "EtcdTlsproxyUpstreamUnreachable" && alert.State == "pending" {
					return query("instance:etcd_tlsproxy_requests:rate5m") != ""
				}
			}
		}
		return false
	})
	rules, err := server.Rules(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range rules.Groups {
		for _, r := range group.Rules {
			switch r := r.(type) {
			case v1.AlertingRule:
				if r.LastError != "" {
					t.Errorf("evaluating the rule %s: got the error %s, want none", r.Name, r.LastError)
				}
			case v1.RecordingRule:
				if r.LastError != "" {
					t.Errorf("evaluating the rule %s: got the error %s, want none", r.Name, r.LastError)
				}
			}
		}
	}
	for title, expressions := range dashboardExpressions(t) {
		shown := ""
		for _, expression := range expressions {
			shown += query(expression)
		}
		// A new service has had no watch and has refused no connection, no member answers, and this one
		// uses the v2 API without a shadow.
		switch title {
		case "Ended watches", "Watchers of one hub", "Refused, shed, handed over", "Response time of members":
			continue
		}
		if slices.ContainsFunc([]string{"store", "changeover", "shadow"}, func(part string) bool {
			return strings.Contains(expressions[0], "etcd_tlsproxy_"+part+"_")
		}) {
			continue
		}
		if shown == "" {
			t.Errorf("the panel %q: got no series, want some", title)
		}
	}
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	for !done() {
		select {
		case <-ctx.Done():
			t.Fatalf("after a minute: got another state, want %s", what)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// serveWithoutEtcd runs the program until the test ends. Nothing listens at its endpoint.
func serveWithoutEtcd(t *testing.T, dir string) (url, admin string, client *http.Client) {
	t.Helper()
	program := filepath.Join(dir, "etcd-tlsproxy")
	if out, err := exec.Command("go", "build", "-o", program, "etcd-tlsproxy/cmd/etcd-tlsproxy").CombinedOutput(); err != nil {
		t.Fatalf("building the program: %v\n%s", err, out)
	}
	pki, err := proxytest.NewPKI()
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := pki.Server("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	listen, admin := freeAddress(t), freeAddress(t)
	write(t, filepath.Join(dir, "server.pem"), string(cert)+string(key))
	write(t, filepath.Join(dir, "etcd-tlsproxy.toml"), fmt.Sprintf(`
listen = %q
admin = %q
[upstream]
endpoints = ["http://%s"]
[tls]
certificate = "server.pem"
key = "server.pem"
[acls]
"/" = []
`, listen, admin, freeAddress(t)))
	cmd := exec.Command(program, "serve", "--config", filepath.Join(dir, "etcd-tlsproxy.toml"))
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	log := ""
	for lines := bufio.NewScanner(out); !strings.Contains(log, "msg=serving"); {
		if !lines.Scan() {
			t.Fatalf("starting the program: it exited before it served; log:\n%s", log)
		}
		log += lines.Text() + "\n"
	}
	go func() { _, _ = io.Copy(io.Discard, out) }() // a full pipe would block the program
	client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pki.Pool()}}}
	t.Cleanup(client.CloseIdleConnections)
	return "https://" + listen, admin, client
}

// targets matches the lists of targets in the example configuration.
var targets = regexp.MustCompile(`targets: \[.*\]`)

// startPrometheus runs Prometheus until the test ends. Its configuration is the example with
// a short interval and one target.
func startPrometheus(t *testing.T, dir, target string) v1.API {
	t.Helper()
	for _, name := range []string{"prometheus.example.yml", rulesFile} {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(data), "_interval: 15s", "_interval: 1s")
		first := true
		text = targets.ReplaceAllStringFunc(text, func(string) string {
			if !first {
				return "targets: []"
			}
			first = false
			return fmt.Sprintf("targets: [%q]", target)
		})
		write(t, filepath.Join(dir, name), text)
	}
	at := freeAddress(t)
	var log strings.Builder
	cmd := exec.Command("prometheus", "--config.file", filepath.Join(dir, "prometheus.example.yml"),
		"--storage.tsdb.path", filepath.Join(dir, "tsdb"), "--web.listen-address", at)
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	client, err := api.NewClient(api.Config{Address: "http://" + at})
	if err != nil {
		t.Fatal(err)
	}
	server := v1.NewAPI(client)
	waitFor(t, "the first scrape", func() bool {
		value, _, _, err := server.Query(t.Context(), fmt.Sprintf(`up{job="etcd-tlsproxy", instance=%q} == 1`, target), time.Now())
		return err == nil && value.String() != ""
	})
	return server
}
