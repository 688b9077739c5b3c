package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon/daemontest"
	"etcd-tlsproxy/proxy/proxytest"
)

// verb runs a command of the program in this process.
func verb(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestADumpGoesThroughTheProxyAndBack(t *testing.T) {
	t.Parallel()
	for _, api := range []string{"v2", "v3"} {
		t.Run(api, func(t *testing.T) { testDump(t, api) })
	}
}

func testDump(t *testing.T, api string) {
	etcd, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	config := fmt.Sprintf(daemontest.SeedConfig, etcd.URL())
	s := daemontest.Start(t, strings.Replace(config, "[upstream]", fmt.Sprintf("[upstream]\napi = %q", api), 1))
	if api == "v3" {
		if code, _, stderr := verb(t, "migrate", "init", "--yes", "--config", s.Path("etcd-tlsproxy.toml")); code != 0 {
			t.Fatalf("migrate init: got status %d with %s", code, stderr)
		}
		s.Eventually("the tree is served", func() bool { status, _ := s.Admin("GET", "/-/ready?etcd"); return status == 200 })
	}
	s.Write("ca.pem", string(s.PKI.CA()))
	s.Write("root", "root-1\n")
	s.Write("conftool", "conftool-1\n")
	proxied := []string{"--endpoints", s.URL, "--ca-file", s.Path("ca.pem")}
	as := func(user string) []string {
		return append(proxied, "--username", user, "--password-file", s.Path(user))
	}
	check := func(want int, contains string, args ...string) {
		t.Helper()
		code, stdout, stderr := verb(t, args...)
		if code != want || !strings.Contains(stdout+stderr, contains) {
			t.Errorf("%v: got status %d with\n%s%s\nwant %d and %q", args, code, stdout, stderr, want, contains)
		}
		if strings.Contains(stdout+stderr, "root-1") || strings.Contains(stdout+stderr, "secret") {
			t.Errorf("%v: the output contains what it must not:\n%s%s", args, stdout, stderr)
		}
	}
	file := filepath.Join(t.TempDir(), "dump.jsonl")
	s.Write("seed", `{"etcdTlsproxyDump":1,"prefix":"/","clusterId":"1","index":1,"entries":4}
{"key":"/conftool","dir":true}
{"key":"/conftool/a","value":"secret one"}
{"key":"/eventlogging/b","value":"secret two"}
{"key":"/other","value":"secret three"}
`)
	check(4, "nothing was done (hint: run it again with --yes", append(as("root"), "load", s.Path("seed"))...)
	check(1, "there is no key /conftool", append(proxied, "dump", "/conftool")...)
	check(1, "writing /conftool: 110: The request requires user authentication", append(proxied, "load", "--yes", s.Path("seed"))...)
	check(1, "(hint: give --user and --password-file of a user", append(proxied, "load", "--yes", s.Path("seed"))...)
	// The entries that conftool may write are written, up to the first that it may not.
	check(1, "writing /other: 110", append(as("conftool"), "load", "--yes", s.Path("seed"))...)
	check(0, "created 1, updated 0, unchanged 3, expired 0, conflicts 0", append(as("root"), "load", "--yes", s.Path("seed"))...)
	check(0, "would create 0, update 0, leave unchanged 4", append(as("root"), "load", "--dry-run", s.Path("seed"))...)

	check(0, file+": 2 entries of /conftool at index", append(proxied, "dump", "/conftool", "--file", file)...)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file of the dump: got %v and the error %v", info, err)
	}
	check(2, "--output json needs --file", append(proxied, "dump", "--output", "json")...)
	check(2, "path refused: it does not begin with a slash", append(proxied, "dump", "conftool")...)
	s.Put("conftool", "conftool-1") // overwrites /conftool/a
	check(1, "conflict  /conftool/a: it has another value, and it was changed after the dump", append(as("conftool"), "load", "--yes", file)...)
	check(0, "update    /conftool/a: it has another value", append(as("conftool"), "load", "--dry-run", "--overwrite", file)...)
	check(0, "created 2, updated 0", append(as("root"), "load", "--yes", "--prefix-from", "/conftool", "--prefix-to", "/moved", file)...)
	code, stdout, _ := verb(t, append(as("conftool"), "load", "--output", "json", "--yes", file)...)
	var result struct {
		Counts  map[string]int
		Entries []struct{ Key, Action, Reason string }
	}
	if err := json.Unmarshal([]byte(stdout), &result); err != nil {
		t.Fatalf("decoding the result of load: %v\n%s", err, stdout)
	}
	if code != 1 || result.Counts["conflict"] != 1 || len(result.Entries) != 1 || result.Entries[0].Key != "/conftool/a" {
		t.Errorf("load as JSON: got status %d and\n%s\nwant 1 and a conflict at /conftool/a", code, stdout)
	}
	code, stdout, _ = verb(t, append(proxied, "dump", "/moved")...)
	if code != 0 || !strings.Contains(stdout, `{"key":"/moved/a","value":"secret one"`) {
		t.Errorf("load: got status %d with %s", code, stdout)
	}

	// No such write reaches etcd, although no proxy is in front of it.
	s.Write("poison", `{"etcdTlsproxyDump":1,"prefix":"/","clusterId":"1","index":1,"entries":2}
{"key":"/conftool/z","value":"1"}
{"key":"/conftool/0/members/1/attributes","value":"secret"}
`)
	check(1, s.Path("poison")+":3: /conftool/0/members/1/attributes cannot be written", "load", "--yes", "--endpoints", etcd.URL(), s.Path("poison"))
	check(1, "there is no key /conftool/z", "dump", "/conftool/z", "--endpoints", etcd.URL())
	s.Write("etcd-tlsproxy.toml", "read_only = true\n"+s.Read("etcd-tlsproxy.toml"))
	s.Admin("POST", "/-/reload")
	check(1, "(hint: this proxy is read-only; use another one)", append(as("root"), "load", "--yes", "--overwrite", file)...)
}
