package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/recovery"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/direct"
	"etcd-tlsproxy/proxy/v2v3"
)

// writeV3 writes a configuration for a v3 store at a URL, and returns its path.
func writeV3(t *testing.T, url string) string {
	t.Helper()
	pki, err := proxytest.NewPKI()
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := pki.Server("localhost")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	text := fmt.Sprintf("[upstream]\napi = \"v3\"\nendpoints = [%q]\n[tls]\ncertificate = \"server.crt\"\nkey = \"server.key\"\n", url)
	for name, data := range map[string][]byte{"server.crt": cert, "server.key": key, "proxy.toml": []byte(text)} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "proxy.toml")
}

// TestTheConfigurationChoosesWhatIsBackedUp takes backups with configurations of the v3 API.
func TestTheConfigurationChoosesWhatIsBackedUp(t *testing.T) {
	e, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	at := strings.TrimPrefix(e.URL(), "http://")
	if err := direct.Init(v2v3.Endpoint{Addr: at}, "", 1000); err != nil {
		t.Fatal(err)
	}
	backup := func(flags ...string) (status int, made recovery.Result, stderr string) {
		var out, errs strings.Builder
		status = run(t.Context(), append([]string{"backup", "--output", "json", "--dir", filepath.Join(t.TempDir(), "b")}, flags...), &out, &errs)
		if status == 0 {
			if err := json.Unmarshal([]byte(out.String()), &made); err != nil {
				t.Fatal(err)
			}
		}
		return status, made, errs.String()
	}
	good, elsewhere := writeV3(t, e.URL()), writeV3(t, "http://127.0.0.1:1")
	broken := filepath.Join(t.TempDir(), "broken.toml")
	if err := os.WriteFile(broken, []byte("[upstream\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, flags := range [][]string{{"--config", good}, {"--config", elsewhere, "--endpoints", e.URL()}} {
		if status, made, stderr := backup(flags...); status != 0 || made.Manifest.Tree == nil || made.Manifest.Index != 1000 {
			t.Errorf("backup %v: got status %d with %+v and %q, want a snapshot of the tree with the index 1000", flags, status, made, stderr)
		}
	}
	for _, c := range []struct {
		flags []string
		want  string
	}{
		{[]string{"--config", elsewhere}, "etcd itself is asked"},
		{[]string{"--config", broken}, "--config /dev/null"},
		{[]string{"--config", broken + ".missing"}, "no such file"},
		{[]string{"--config", good, "--with-v3"}, "leave the flag out"},
		{[]string{"--config", good, "--user", "root"}, "must be given together"},
	} {
		if status, _, stderr := backup(c.flags...); status != console.ExitFailure && status != console.ExitUsage || !strings.Contains(stderr, c.want) {
			t.Errorf("backup %v: got status %d and %q, want a failure that says %q", c.flags, status, stderr, c.want)
		}
	}
}
