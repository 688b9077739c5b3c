package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/proxytest"
)

// fullConfig has the v3 API, and addresses for clients and for the admin page.
const fullConfig = `
listen = %q
admin = %q
[upstream]
api = "v3"
endpoints = [%q]
quota_bytes = "16MiB"
[tls]
certificate = "server.crt"
key = "server.key"
[auth]
htpasswd = ["htpasswd"]
[acls]
"/" = ["root"]
[log]
audit = "off"
`

// TestTheManualEmptiesAFullStore fills the store of each etcd at hand through a proxy, and follows the manual
// then.
func TestTheManualEmptiesAFullStore(t *testing.T) {
	if _, err := exec.LookPath("etcdctl"); err != nil {
		t.Skip("etcdctl is not installed")
	}
	blocks := readManual(t)
	i := slices.IndexFunc(blocks, func(b block) bool { return strings.Contains(b.text, "alarm disarm") })
	if i < 0 || blocks[i+1].kind != "text" {
		t.Fatal("MANUAL.md: got no commands that disarm an alarm, want some with their output")
	}
	for _, release := range proxytest.Releases() {
		if release.Program != "" {
			t.Run(release.Name, func(t *testing.T) { emptyFullStore(t, release.Program, &blocks[i], blocks[i+1].text) })
		}
	}
}

func emptyFullStore(t *testing.T, program string, commands *block, output string) {
	t.Parallel()
	etcd, err := proxytest.StartProcess(program, proxytest.Options{Dir: t.TempDir(), Quota: 16 << 20, NoV2: true})
	if etcd != nil {
		t.Cleanup(etcd.Close)
	}
	if err != nil {
		t.Fatal(err)
	}
	var at [2]string
	for i := range at {
		if at[i], err = proxytest.FreeAddress(); err != nil {
			t.Fatal(err)
		}
	}
	f := newFolder(t, fmt.Sprintf(fullConfig, at[0], at[1], etcd.URL()))
	if code := run(t.Context(), []string{"migrate", "init", "--config", filepath.Join(f.dir, "etcd-tlsproxy.toml"), "--yes"}, io.Discard, t.Output()); code != 0 {
		t.Fatalf("making a tree: got the exit status %d, want 0", code)
	}
	f.start("", nil)
	s := &fullStore{t: t, client: f.client(), url: "https://" + at[0] + "/v2/keys/a", admin: "http://" + at[1] + "/-/status.json"}
	s.eventually("a write succeeds", func() bool { status, _ := s.put("1"); return status < 300 })
	fill(t, etcd.URL())
	status, body := 0, ""
	s.eventually("etcd refuses a write", func() bool { status, body = s.put("1"); return status == 500 })
	if !strings.HasPrefix(body, `{"errorCode":300,"message":"Raft Internal Error","cause":"etcdserver: mvcc: database space exceeded","index":`) {
		t.Errorf("a write that does not fit: got %d %.300s, want etcd's error 300 and its cause", status, body)
	}
	if problems, alarm, quota := s.status(); alarm != "no space" || quota != 16<<20 || !strings.Contains(problems, "etcd has no space left: it refuses all writes") {
		t.Errorf("a full store: got the alarm %q, the quota %d and the problems %q, want all of them told", alarm, quota, problems)
	}
	script := strings.ReplaceAll(commands.text, "http://127.0.0.1:2379", etcd.URL())
	told, err := exec.CommandContext(t.Context(), "sh", "-e", "-c", script).CombinedOutput()
	if err != nil {
		t.Fatalf("MANUAL.md:%d: %v\n%s", commands.line, err, told)
	}
	commands.checkOutput(t, string(told), output)
	if status, body := s.put("2"); status != 200 {
		t.Errorf("after the manual: got %d %.300s, want that the key is written", status, body)
	}
	s.eventually("the page shows that there is space", func() bool { _, alarm, _ := s.status(); return alarm == "none" })
}

// fill has a client of the v3 API write until etcd is full. The proxy would refuse its own clients before.
func fill(t *testing.T, etcd string) {
	t.Helper()
	for range 32 {
		put := exec.CommandContext(t.Context(), "etcdctl", "--endpoints", etcd, "put", "filler")
		put.Env = append(os.Environ(), "ETCDCTL_API=3")
		put.Stdin = strings.NewReader(strings.Repeat("x", 1<<20))
		if out, err := put.CombinedOutput(); strings.Contains(string(out), "database space exceeded") {
			return
		} else if err != nil {
			t.Fatalf("filling etcd: %v\n%s", err, out)
		}
	}
	t.Fatal("after 32 MiB etcd is not full")
}

// fullStore is a client of a proxy, and of its page.
type fullStore struct {
	t          *testing.T
	client     *http.Client
	url, admin string
}

func (s *fullStore) eventually(what string, holds func() bool) {
	s.t.Helper()
	for limit := time.Now().Add(40 * time.Second); !holds(); time.Sleep(20 * time.Millisecond) { //nolint:forbidigo // the program's process signals nothing
		if time.Now().After(limit) {
			s.t.Fatalf("after 40 s it is still not so that %s", what)
		}
	}
}

func (s *fullStore) put(value string) (status int, body string) {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), "PUT", s.url, strings.NewReader(url.Values{"value": {value}}.Encode()))
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth("root", "root-1")
	return s.do(request)
}

func (s *fullStore) do(request *http.Request) (status int, body string) {
	s.t.Helper()
	answer, err := s.client.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// status returns what the page says about the store.
func (s *fullStore) status() (problems, alarm string, quota int64) {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), "GET", s.admin, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	_, text := s.do(request)
	var page struct {
		Problems []string
		Stores   []struct {
			Alarm string
			Quota int64 `json:"quota_bytes"`
		}
	}
	if err := json.Unmarshal([]byte(text), &page); err != nil || len(page.Stores) != 1 {
		s.t.Fatalf("got the status %.300s, %v; want one store", text, err)
	}
	return strings.Join(page.Problems, "\n"), page.Stores[0].Alarm, page.Stores[0].Quota
}
