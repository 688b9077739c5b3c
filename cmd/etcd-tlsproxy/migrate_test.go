package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
	"etcd-tlsproxy/proxy/proxytest"
)

func TestMigrateInitMakesOneEmptyTree(t *testing.T) {
	e, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	dir := t.TempDir()
	pki, err := proxytest.NewPKI()
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := pki.Server("localhost")
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("server.crt", cert)
	write("server.key", key)
	config := func(api string) string {
		return write(api+".toml", fmt.Appendf(nil, "[upstream]\n%s\nendpoints = [%q]\n[tls]\ncertificate = \"server.crt\"\nkey = \"server.key\"\n", api, e.URL()))
	}
	v3 := config(`api = "v3"`)
	migrate := func(config string, more ...string) (status int, stdout, stderr string) {
		var out, errs strings.Builder
		status = run(context.Background(), append([]string{"migrate", "init", "--config", config}, more...), &out, &errs)
		return status, out.String(), errs.String()
	}
	for _, c := range []struct {
		what, config   string
		more           []string
		status         int
		stdout, stderr string
	}{
		{"without --yes", v3, nil, console.ExitPlanned, "", "make an empty tree of keys at "},
		{"with --yes", v3, []string{"--yes", "--index", "41"}, 0, "made an empty tree of keys at ", "with the index 41"},
		{"a second time", v3, []string{"--yes"}, console.ExitFailure, "", "the store has a tree already"},
		{"for the v2 API", config(`api = "v2"`), []string{"--yes"}, console.ExitFailure, "", `2: upstream.api: the configuration does not use a v3 store (hint: set upstream.api = "v3")`},
	} {
		status, stdout, stderr := migrate(c.config, c.more...)
		if status != c.status || !strings.Contains(stdout, c.stdout) || c.stdout == "" && stdout != "" || !strings.Contains(stderr, c.stderr) {
			t.Errorf("%s: got status %d, output %q, errors %q; want %d, %q and %q", c.what, status, stdout, stderr, c.status, c.stdout, c.stderr)
		}
	}
}
