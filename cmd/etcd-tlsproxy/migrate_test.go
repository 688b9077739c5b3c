package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/rpc"
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
	configs := 0
	config := func(api string) string {
		configs++
		return write(fmt.Sprint(configs, ".toml"), fmt.Appendf(nil, "[upstream]\n%s\nendpoints = [%q]\n[tls]\ncertificate = \"server.crt\"\nkey = \"server.key\"\n", api, e.URL()))
	}
	client, err := rpc.New([]rpc.Endpoint{{Addr: strings.TrimPrefix(e.URL(), "http://")}}, "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	// index returns that of the tree at a prefix, or 0 if there is no tree.
	index := func(prefix layout.Keys) uint64 {
		t.Helper()
		found, err := client.Txn(context.Background(), &etcdserverpb.TxnRequest{Success: []*etcdserverpb.RequestOp{read(prefix.Meta()), read(prefix.Log())}})
		if err != nil {
			t.Fatal(err)
		}
		stored, log := found.Responses[0].GetResponseRange().Kvs, found.Responses[1].GetResponseRange().Kvs
		if len(stored) == 0 {
			return 0
		}
		meta, err := layout.DecodeMeta(stored[0].Value)
		if err != nil {
			t.Fatal(err)
		}
		return meta.Index(log[0].ModRevision)
	}
	if _, err := client.Put(context.Background(), &etcdserverpb.PutRequest{Key: []byte("taken/registry")}); err != nil {
		t.Fatal(err)
	}
	v3 := config(`api = "v3"`)
	below := "api = \"v3\"\nprefix = "
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
		prefix         layout.Keys
		index          uint64
	}{
		{"without --yes", v3, nil, console.ExitPlanned, "", "make an empty tree of keys at ", "", 0},
		{"with --yes", v3, []string{"--yes", "--index", "41"}, 0, "made an empty tree of keys at ", "with the index 41", "", 41},
		{"a second time", v3, []string{"--yes", "--index", "99"}, console.ExitFailure, "", "the store has a tree already", "", 41},
		{"with a prefix", config(below + `"other"`), []string{"--yes", "--index", "7"}, 0, `below the prefix "other"`, "", "other", 7},
		{"among keys of another program", config(below + `"taken"`), []string{"--yes"}, console.ExitFailure, "", `the store has the key "taken/registry"`, "taken", 0},
		{"for the v2 API", config(`api = "v2"`), []string{"--yes"}, console.ExitFailure, "", `2: upstream.api: the configuration does not use a v3 store (hint: set upstream.api = "v3")`, "", 41},
	} {
		status, stdout, stderr := migrate(c.config, c.more...)
		if status != c.status || !strings.Contains(stdout, c.stdout) || c.stdout == "" && stdout != "" || !strings.Contains(stderr, c.stderr) {
			t.Errorf("%s: got status %d, output %q, errors %q; want %d, %q and %q", c.what, status, stdout, stderr, c.status, c.stdout, c.stderr)
		}
		if got := index(c.prefix); got != c.index {
			t.Errorf("%s: got a tree with the index %d, want %d; 0 is no tree", c.what, got, c.index)
		}
	}
}

func read(key []byte) *etcdserverpb.RequestOp {
	return &etcdserverpb.RequestOp{Request: &etcdserverpb.RequestOp_RequestRange{RequestRange: &etcdserverpb.RangeRequest{Key: key}}}
}
