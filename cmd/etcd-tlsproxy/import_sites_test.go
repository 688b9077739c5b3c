package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/config"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/siteimport"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/proxytest"
)

// nginxSite is an nginx configuration in parts. Its users are root and u; the files
// auth_root, auth_u and auth_both in its folder list them.
type nginxSite struct {
	http, server, locations string
	others                  string            // other servers; ADDR is the address of the site, and PORT its port
	files                   map[string]string // for include
}

// text returns what stands in the http block.
func (s *nginxSite) text(addr, etcd, dir string) string {
	text := s.http + "\nupstream etcd { server " + etcd + "; }\n" + s.others + "\nserver {\nlisten ADDR ssl;\nssl_certificate DIR/server.crt;\nssl_certificate_key DIR/server.key;\n" +
		s.server + "\n" + s.locations + "\n}\n"
	return strings.NewReplacer("ADDR", addr, "PORT", addr[strings.LastIndexByte(addr, ':')+1:], "DIR", dir).Replace(text)
}

// comparer compares real nginx with the gate of the configuration imported from it.
type comparer struct {
	pki       *proxytest.PKI
	cert, key []byte
	htpasswd  map[string][]byte
	etcd      *httptest.Server
	client    *http.Client
}

// maxRecord is more than the body of any probe.
const maxRecord = 100

func newComparer(t *testing.T) *comparer {
	t.Helper()
	if !proxytest.FindNginx() {
		t.Skip("nginx is not installed")
	}
	c := &comparer{htpasswd: map[string][]byte{}}
	var err error
	if c.pki, err = proxytest.NewPKI(); err != nil {
		t.Fatal(err)
	}
	if c.cert, c.key, err = c.pki.Server("localhost", "127.0.0.1"); err != nil {
		t.Fatal(err)
	}
	for name, users := range map[string][]string{"auth_root": {"root"}, "auth_u": {"u"}, "auth_both": {"root", "u"}} {
		passwords := map[string]string{}
		for _, user := range users {
			passwords[user] = "secret"
		}
		if c.htpasswd[name], err = proxytest.Htpasswd(passwords); err != nil {
			t.Fatal(err)
		}
	}
	// The stand-in for etcd repeats the request that it got.
	c.etcd = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(io.LimitReader(r.Body, maxRecord))
		fmt.Fprintf(w, "reached %s %s %s %s", r.Method, r.URL.Path, r.Header.Get("Content-Type"), body)
	}))
	t.Cleanup(c.etcd.Close)
	c.client = &http.Client{
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: c.pki.Pool(), ServerName: "localhost"}, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(c.client.CloseIdleConnections)
	return c
}

// probe is one request.
type probe struct{ method, path, user, host string }

// probes returns requests of all kinds. OPTIONS is not among them: the proxy answers it
// itself, and the list of differences says so.
func probes() []probe {
	var all []probe
	for _, path := range []string{
		"/v2/keys", "/v2/keys/", "/v2/keys/a", "/v2/keys/a/", "/v2/keys/a/k", "/v2/keys/a/b/k", "/v2/keys/aX", "/v2/keys/ab/k", "/v2/keys/a%20b/k", "/v2/keys/a%2562/k", "/v2/keys/a%3fb/k", "/v2/keys/a%23b/k", "/v2/keys/b", "/v2/keys/b/", "/v2/keys/b/k", "/v2/keys/z",
		"/version", "/version/", "/metrics", "/health", "/v2/machines", "/v2/stats/self", "/v2/members", "/v2/members/x", "/v2/members/",
	} {
		for _, method := range []string{"GET", "HEAD", "PUT", "POST", "DELETE"} {
			for _, user := range []string{"", "root", "u"} {
				all = append(all, probe{method, path, user, "localhost"})
			}
			all = append(all, probe{method, path, "root", "other.example"})
		}
	}
	return all
}

// send returns what nginx did with a request: "passed", "redirected" to the same path with
// a slash, or the reason why it counts as refused.
func (c *comparer) send(addr string, p probe) (string, error) {
	body := ""
	if p.method == "PUT" || p.method == "POST" {
		body = "value=1"
	}
	r, err := http.NewRequest(p.method, "https://"+addr+p.path, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	r.Host = p.host
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if p.user != "" {
		r.SetBasicAuth(p.user, "secret")
	}
	answer, err := c.client.Do(r)
	if err != nil {
		return "closed", nil // such as return 444
	}
	defer answer.Body.Close()
	got, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", err
	}
	want := fmt.Sprintf("reached %s %s application/x-www-form-urlencoded %s", p.method, r.URL.Path, body)
	switch {
	case answer.StatusCode == http.StatusOK && (p.method == "HEAD" && answer.ContentLength == int64(len(want)) || string(got) == want):
		return "passed", nil
	case answer.StatusCode == http.StatusMovedPermanently && strings.HasSuffix(answer.Header.Get("Location"), p.path+"/"):
		return "redirected", nil
	}
	return fmt.Sprintf("%d %.60q", answer.StatusCode, got), nil
}

// outcome is the result of a comparison.
type outcome struct {
	status     int      // of import
	said       string   // by import
	nginx      string   // its configuration
	invalid    bool     // nginx does not accept it
	violations []string // requests that the gate allows, nginx refuses, and import did not list
	passed     int      // requests that both allow
	listed     int      // requests that the gate allows and nginx refuses, as a conflict says
}

// opened reports whether a request that nginx refused is allowed silently.
func (o *outcome) opened() bool { return len(o.violations) > 0 }

// lists reports whether a conflict is about requests like this one: reads or writes, of
// keys or of this path.
func (p probe) lists(conflict string) bool {
	access := "writes of "
	if p.method == "GET" || p.method == "HEAD" {
		access = "reads of "
	}
	paths, _, _ := strings.Cut(conflict, ": nginx")
	paths, found := strings.CutPrefix(paths, access)
	return found && slices.ContainsFunc(strings.Split(paths, ", "), func(path string) bool {
		switch {
		case strings.HasPrefix(p.path, "/v2/keys"):
			return strings.HasPrefix(path, "/v2/keys")
		case strings.HasPrefix(p.path, "/v2/members/"):
			return strings.HasPrefix(path, "/v2/members/")
		}
		return path == p.path || path+"/" == p.path
	})
}

// compare starts nginx with a site, imports it, and sends all probes to both.
func (c *comparer) compare(dir string, s *nginxSite) (*outcome, error) {
	write := func(name string, data []byte) error { return os.WriteFile(filepath.Join(dir, name), data, 0o600) }
	for name, data := range c.htpasswd {
		if err := write(name, data); err != nil {
			return nil, err
		}
	}
	for name, text := range s.files {
		if err := write(name, []byte(strings.ReplaceAll(text, "DIR", dir))); err != nil {
			return nil, err
		}
	}
	for name, data := range map[string][]byte{"server.crt": c.cert, "server.key": c.key, "ca.crt": c.pki.CA()} {
		if err := write(name, data); err != nil {
			return nil, err
		}
	}
	o := &outcome{}
	nginx, err := proxytest.StartNginx(dir, func(addr string) string {
		o.nginx = s.text(addr, c.etcd.Listener.Addr().String(), dir)
		return o.nginx
	})
	if err != nil {
		o.invalid = true
		o.said = err.Error()
		return o, nil
	}
	defer nginx.Close()
	defer c.client.CloseIdleConnections()
	var out, errs bytes.Buffer
	o.status = run(context.Background(), []string{"import", "--output", "json", "--nginx", filepath.Join(dir, "nginx.conf")}, &out, &errs)
	o.said = errs.String()
	if out.Len() == 0 {
		return o, nil // refused
	}
	var report siteimport.Report
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		return nil, err
	}
	o.said += strings.Join(report.Conflicts, "\n")
	parsed, err := config.Parse("imported", []byte(report.Config))
	if err != nil {
		return o, nil // import has reported it as a conflict
	}
	policy := &gate.Policy{Rules: parsed.Rules, ReadOnly: parsed.ReadOnly, MaxTarget: parsed.Limits.TargetBytes}
	for _, p := range probes() {
		if !policy.Explain(p.method, p.path, p.user).Allowed {
			continue
		}
		got, err := c.send(nginx.Addr, p)
		if got == "redirected" { // import lists it; what counts is the target
			p.path += "/"
			got, err = c.send(nginx.Addr, p)
		}
		if err != nil {
			return nil, err
		}
		switch {
		case got == "passed":
			o.passed++
		case o.status == 3 && slices.ContainsFunc(report.Conflicts, p.lists):
			o.listed++
		default:
			o.violations = append(o.violations, fmt.Sprintf("%s %s by %q at %s: nginx answered %s", p.method, p.path, p.user, p.host, got))
		}
	}
	return o, nil
}
