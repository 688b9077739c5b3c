package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// rehearsals runs the command against an etcd.
type rehearsals struct {
	t           *testing.T
	url, folder string // of the member
	config      string
	client      *rpc.Client
}

// newRehearsals returns the command for a member whose cluster also has the v3 store.
func newRehearsals(t *testing.T, url, folder string) *rehearsals {
	t.Helper()
	dir := t.TempDir()
	pki, err := proxytest.NewPKI()
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := pki.Server("localhost")
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Appendf(nil, "[upstream]\nendpoints = [%q]\n[tls]\ncertificate = \"server.crt\"\nkey = \"server.key\"\n", url)
	for name, data := range map[string][]byte{"server.crt": cert, "server.key": key, "v2.toml": text} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	client, err := rpc.New([]rpc.Endpoint{{Addr: strings.TrimPrefix(url, "http://")}}, "", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &rehearsals{t, url, folder, filepath.Join(dir, "v2.toml"), client}
}

// put writes a key of the v2 store.
func (r *rehearsals) put(key, value string) {
	r.t.Helper()
	request, err := http.NewRequest(http.MethodPut, r.url+"/v2/keys"+key, strings.NewReader(url.Values{"value": {value}}.Encode()))
	if err != nil {
		r.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode > 201 {
		r.t.Fatalf("PUT %s: got the status %d", key, response.StatusCode)
	}
}

// keys returns the number of keys in the v3 store that begin with a prefix.
func (r *rehearsals) keys(prefix string) int64 {
	r.t.Helper()
	start, end := []byte{0}, []byte{0} // all
	if prefix != "" {
		start, end = []byte(prefix), layout.End([]byte(prefix))
	}
	found, err := r.client.Range(context.Background(), &etcdserverpb.RangeRequest{Key: start, RangeEnd: end, CountOnly: true})
	if err != nil {
		r.t.Fatal(err)
	}
	return found.Count
}

// run runs the command, and checks its status and a part of what it prints: on standard output, or behind an
// exclamation mark on standard error.
func (r *rehearsals) run(status int, want string, args ...string) (stdout string) {
	r.t.Helper()
	args = append([]string{"migrate", "rehearse", "--config", r.config, "--data-dir", r.folder}, args...)
	if !slices.Contains(args, "--endpoints") {
		args = append(args, "--endpoints", r.url)
	}
	code, stdout, stderr := runLine(r.t, args...)
	text, on := want, stdout
	if after, found := strings.CutPrefix(want, "!"); found {
		text, on = after, stderr
	}
	if code != status || !strings.Contains(on, text) {
		r.t.Errorf("%q: got the status %d, the output %q and the errors %q, want %d and %q", args[2:], code, stdout, stderr, status, want)
	}
	return stdout
}

func TestARehearsalIsPlannedMadeRepeatedAndRemoved(t *testing.T) {
	dir := t.TempDir()
	e, err := proxytest.StartEmbedded(proxytest.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	r := newRehearsals(t, e.URL(), dir)
	for i := range 200 {
		r.put(fmt.Sprintf("/conftool/v1/%d/%d", i%7, i), "value")
	}
	r.put("/_hidden/_too", "secret")
	r.run(console.ExitPlanned, "!copy 211 nodes (201 files and 10 directories, of which 2 are hidden and 0 expire, ")
	if n := r.keys(""); n != 0 {
		t.Errorf("the v3 store has %d keys after the plan, want none", n)
	}
	r.run(0, "the copy is equal to the keys of the member", "--yes")
	if n := r.keys("rehearsal"); n != 2*201+10+2 {
		t.Errorf("the v3 store has %d keys of the copy, want 2 of each file, one of each directory, and two", n)
	}
	r.put("/later", "1")
	r.run(console.ExitPlanned, "!1. remove the copy of an earlier rehearsal from there")
	var result struct {
		Nodes, Hidden int
		Imports       struct{ Count int } `json:"import_differences"`
	}
	if err := json.Unmarshal([]byte(r.run(0, "", "--yes", "--output", "json")), &result); err != nil || result.Nodes != 212 || result.Hidden != 2 || result.Imports.Count != 0 {
		t.Errorf("as JSON: got %+v (%v), want 212 nodes and no difference", result, err)
	}
	if n := r.keys("rehearsal"); n != 2*202+10+2 {
		t.Errorf("the v3 store has %d keys of the second copy", n)
	}
	r.run(console.ExitPlanned, "!remove the copy at the prefix", "--clean")
	r.run(0, ": 212 nodes", "--clean", "--yes")
	r.run(0, "there is no copy", "--clean", "--yes")
	if n := r.keys(""); n != 0 {
		t.Errorf("the v3 store has %d keys after the copy was removed, want none", n)
	}
}

func TestARehearsalRefusesWhatIsNotAsItMustBe(t *testing.T) {
	dir := t.TempDir()
	e, err := proxytest.StartEmbedded(proxytest.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	r := newRehearsals(t, e.URL(), dir)
	r.put("/a", "1")
	if _, err := r.client.Put(context.Background(), &etcdserverpb.PutRequest{Key: []byte("taken/registry"), Value: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	before := r.keys("")
	r.run(console.ExitFailure, "!is not a data folder of etcd", "--yes", "--data-dir", t.TempDir())
	r.run(console.ExitFailure, "!must be the client URL of a member", "--yes", "--endpoints", "http://127.0.0.1:1")
	r.run(console.ExitFailure, "!must name the one whose data folder is read", "--yes", "--endpoints", r.url+",http://127.0.0.1:1")
	r.run(console.ExitFailure, `!the store has the key "taken/registry" in the range of the tree`, "--yes", "--prefix", "taken")
	r.run(console.ExitFailure, "!overlaps with the keys that proxies serve", "--yes", "--prefix", "/app")
	if code, _, stderr := runLine(t, "migrate", "init", "--yes", "--config", v3Config(t, r, `prefix = "live"`)); code != 0 {
		t.Fatalf("migrate init: got the status %d and %q", code, stderr)
	}
	r.run(console.ExitFailure, `!the prefix "live" has a tree in the state "live"`, "--yes", "--prefix", "live")
	r.run(console.ExitFailure, `!the prefix "live" has a tree in the state "live"`, "--yes", "--clean", "--prefix", "live")
	if after := r.keys(""); after != before+2 {
		t.Errorf("the v3 store has %d keys after refusals, want %d and the two of a tree", after, before)
	}
}

// v3Config writes a configuration for the v3 API.
func v3Config(t *testing.T, r *rehearsals, more string) string {
	t.Helper()
	text, err := os.ReadFile(r.config)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(filepath.Dir(r.config), "v3.toml")
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), "[upstream]\n", "[upstream]\napi = \"v3\"\n"+more+"\n", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestARehearsalReadsTheFilesOfTheMemberThatAnswers(t *testing.T) {
	path, _, ok := proxytest.FindEtcd()
	if !ok {
		t.Skip("no etcd 3.4 or 3.5 is installed")
	}
	var dirs []string
	var members []*proxytest.Process
	for range 2 {
		dir := t.TempDir()
		p, err := proxytest.StartProcess(path, proxytest.Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Close)
		dirs, members = append(dirs, filepath.Join(dir, "data")), append(members, p)
	}
	r := newRehearsals(t, members[0].URL(), dirs[0])
	r.put("/a", "1")
	r.run(console.ExitFailure, "!belongs to ", "--yes", "--data-dir", dirs[1])
	r.run(0, "the copy is equal to the keys of the member", "--yes")
}

func TestARehearsalSaysThatTheMemberHasNoV2API(t *testing.T) {
	path, _, ok := proxytest.FindEtcd()
	if !ok {
		t.Skip("no etcd 3.4 or 3.5 is installed")
	}
	dir := t.TempDir()
	p, err := proxytest.StartProcess(path, proxytest.Options{Dir: dir, NoV2: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	newRehearsals(t, p.URL(), filepath.Join(dir, "data")).run(console.ExitFailure, "!does not serve the v2 API", "--yes")
}
