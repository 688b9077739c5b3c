package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
	"etcd-tlsproxy/proxy/proxytest"
)

// TestOldKeysOfTheV2APIAreDiscarded has a cluster that nobody uses by the v2 API any more.
func TestOldKeysOfTheV2APIAreDiscarded(t *testing.T) {
	dir := t.TempDir()
	etcd, err := proxytest.StartEmbedded(proxytest.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	r := newRehearsals(t, etcd.URL(), dir)
	r.put("/a/b", "1")
	r.put("/_hidden", "2")
	drop := func(status int, want string, more ...string) string {
		t.Helper()
		args := append([]string{"migrate", "drop-v2", "--config", r.config, "--data-dir", dir, "--endpoints", r.url, "--observe", "1ms"}, more...)
		code, stdout, stderr := runLine(t, args...)
		if code != status || !strings.Contains(stdout+stderr, want) {
			t.Errorf("%q: got the status %d, the output %q and the errors %q, want %d and %q", more, code, stdout, stderr, status, want)
		}
		return stdout
	}
	ready := func(status int, want string) {
		t.Helper()
		code, stdout, stderr := runLine(t, "migrate", "ready", "--data-dir", dir)
		if code != status || !strings.Contains(stdout, want) {
			t.Errorf("ready: got the status %d, the output %q and the errors %q, want %d and %q", code, stdout, stderr, status, want)
		}
	}
	drop(console.ExitFailure, "the configuration serves the keys of the v2 API", "--discard", "--yes")
	text, err := os.ReadFile(r.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.config, bytes.Replace(text, []byte("[upstream]\n"), []byte("[upstream]\napi = \"auto\"\n"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	ready(console.ExitNo, "requests of that are in the log behind it (hint: restart etcd")
	drop(console.ExitFailure, "the v3 store does not have the keys, so that they would be lost", "--expect", "3", "--yes")
	drop(console.ExitPlanned, "delete 3 nodes (2 files and 1 directory, of which 1 are hidden and 0 expire, ", "--discard")
	drop(console.ExitPlanned, "from the v2 API of the members default (etcd 3.5.", "--discard")
	drop(console.ExitPlanned, "the v3 store does not have them, so that they are lost", "--discard")
	var plan struct{ Plan []string }
	if err := json.Unmarshal([]byte(drop(console.ExitPlanned, "", "--discard", "--output", "json")), &plan); err != nil || len(plan.Plan) != 1 {
		t.Errorf("the plan as JSON: got %q (%v), want one step", plan.Plan, err)
	}
	var result struct{ Nodes, Hidden int }
	if err := json.Unmarshal([]byte(drop(0, "", "--discard", "--yes", "--output", "json")), &result); err != nil || result.Nodes != 3 || result.Hidden != 1 {
		t.Errorf("as JSON: got %+v (%v), want 3 nodes, one of them hidden", result, err)
	}
	drop(0, "deleted 0 nodes of the v2 API in ", "--discard", "--yes")
	code, _, stderr := runLine(t, "migrate", "ready", "--data-dir", filepath.Join(dir, "member"))
	if code != console.ExitFailure || !strings.Contains(stderr, "is not a data folder of etcd") {
		t.Errorf("ready in another folder: got the status %d and %q, want that it is no data folder", code, stderr)
	}
}
