package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/recovery"
	"etcd-tlsproxy/proxy/proxytest"
)

func TestABackupAndAPlanAreJSONToo(t *testing.T) {
	etcd, _, ok := proxytest.FindEtcd()
	if !ok {
		t.Skip("etcd is not installed")
	}
	dir := t.TempDir()
	member, err := proxytest.StartProcess(etcd, proxytest.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer member.Close()
	verb := func(result any, args ...string) string {
		t.Helper()
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), append(args, "--output", "json"), &stdout, &stderr)
		if strings.Contains(stderr.String(), "may not create namespaces") {
			t.Skip(stderr.String())
		}
		if code == 0 {
			if err := json.Unmarshal(stdout.Bytes(), result); err != nil {
				t.Errorf("decoding the output: got the error %v for\n%s", err, &stdout)
			}
		}
		return stderr.String()
	}
	data, backups := filepath.Join(dir, "data"), filepath.Join(dir, "backups")
	var made recovery.Result
	stderr := verb(&made, "backup", "--data-dir", data, "--dir", backups, "--endpoints", member.URL(), "--verify")
	if made.Path == "" || !made.Manifest.Keys.Verified {
		t.Fatalf("backup returned %+v, want a path and verified keys; it printed\n%s", made, stderr)
	}
	var listed []recovery.Listed
	if stderr := verb(&listed, "backup", "list", "--dir", backups); len(listed) != 1 || listed[0].Path != made.Path || listed[0].Problem != "" || !listed[0].Keys.Verified {
		t.Errorf("backup list returned %+v and printed\n%s\nwant the backup without a problem, with verified keys", listed, stderr)
	}
	var verified struct {
		KeysCompared bool `json:"keys_compared"`
	}
	if stderr := verb(&verified, "backup", "verify", made.Path); !verified.KeysCompared {
		t.Errorf("backup verify compared no keys and printed\n%s", stderr)
	}
	uncounted := filepath.Join(dir, "uncounted")
	if err := os.CopyFS(uncounted, os.DirFS(made.Path)); err != nil {
		t.Fatal(err)
	}
	forgetKeys(t, uncounted)
	var stdout, stderrs bytes.Buffer
	if code := run(t.Context(), []string{"backup", "verify", uncounted}, &stdout, &stderrs); code != 3 || !strings.Contains(stdout.String(), "cannot be judged") || !strings.Contains(stdout.String(), "unknown: whether these are all keys") {
		t.Errorf("backup verify of a backup whose keys were not counted: got exit status %d with %q and %q, want 3 and what is unknown", code, &stdout, &stderrs)
	}
	recoverArgs := []string{"recover", "--backup", made.Path, "--data-dir", data, "--timeout", "1s",
		"--members", "default=" + member.PeerURL() + "+" + member.URL()}
	if stderr := verb(&recovery.Plan{}, recoverArgs...); !strings.Contains(stderr, "the cluster is alive") {
		t.Errorf("recover of a live cluster printed\n%s\nwant that the cluster is alive", stderr)
	}
	member.Kill()
	var plan recovery.Plan
	stderr = verb(&plan, recoverArgs...)
	if len(plan.Steps) != 7 || !strings.HasPrefix(plan.Script, "#!/bin/sh\n") || len(plan.Advice) == 0 {
		t.Errorf("recover returned the plan %+v and printed\n%s", plan, stderr)
	}
	if stderr := verb(&plan, append(recoverArgs, "--run")...); !strings.Contains(stderr, "7. restart default") || !strings.Contains(stderr, "run it again with --yes") {
		t.Errorf("recover --run without --yes printed\n%s\nwant the plan with 7 steps, and the hint to use --yes", stderr)
	}
}
