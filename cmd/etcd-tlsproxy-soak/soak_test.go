package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/env"
	"etcd-tlsproxy/cmd/internal/tool"
	"etcd-tlsproxy/proxy/proxytest"
)

func TestMain(m *testing.M) {
	proxytest.WaitTogether()
	goleak.VerifyTestMain(m)
}

// etcdFlags returns the flags of each etcd to test with, by name.
func etcdFlags() map[string][]string {
	all := map[string][]string{"embedded": {"--embedded"}, "a store": {"--api", "v3"}}
	if proxytest.ChooseEtcd(proxytest.V2) != "" {
		all["installed"] = nil
	}
	return all
}

// relaxed is for machines that stall. Other tests check how soon files take effect.
var relaxed = []string{"--promise", "30s"}

func TestAShortSoakFindsNothing(t *testing.T) {
	program, err := proxytest.BuildProxy("", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, flags := range etcdFlags() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "report.json")
			var out, errOut bytes.Buffer
			args := append(append(flags, relaxed...), "--proxy", program, "--duration", "5s", "--seed", "7", "--json", file)
			if code := tool.Run(t.Context(), newCommand(), args, &out, &errOut); code != 0 {
				t.Fatalf("got exit code %d, want 0: %s\n%s", code, errOut.String(), out.String())
			}
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var r report
			if err := json.Unmarshal(data, &r); err != nil {
				t.Fatalf("decoding the report: %v\n%s", err, data)
			}
			if r.Seed != 7 || r.Refusals == 0 || len(r.Faults) == 0 || r.AuditLines == 0 {
				t.Errorf("got seed %d, %d refusals, %d kinds of faults and %d lines of the audit log, want seed 7 and some of each",
					r.Seed, r.Refusals, len(r.Faults), r.AuditLines)
			}
			if measured := r.StoreHalf.File > 0 && r.StoreEnd.Used > 0; measured != (name == "a store") {
				t.Errorf("got the sizes %+v and %+v, want some of a v3 store only", r.StoreHalf, r.StoreEnd)
			}
			for _, kind := range []string{
				"tagged writer", "tagged reader", "own counter", "shared counter", "poster", "watched writer", "watcher",
				"aborter", "pipeliner", "refused", "guesser", "guest", "narrow", "expiring writer",
			} {
				if len(r.Requests[kind]) == 0 {
					t.Errorf("%s: got no request, want some", kind)
				}
			}
		})
	}
}

// interrupter is a writer that cancels a context when the soak reports that it runs.
type interrupter struct {
	mu     sync.Mutex
	text   strings.Builder
	cancel context.CancelFunc
}

func (i *interrupter) Write(p []byte) (int, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if bytes.Contains(p, []byte("process ")) {
		i.cancel()
	}
	return i.text.Write(p)
}

func TestAnInterruptedSoakReportsAndLeavesNothing(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &interrupter{cancel: cancel}
	if code := tool.Run(ctx, newCommand(), append(relaxed, "--duration", "1h"), out, io.Discard); code != 0 {
		t.Errorf("got exit code %d, want 0", code)
	}
	text := out.text.String()
	pid := regexp.MustCompile(`process (\d+)\n`).FindStringSubmatch(text)
	if pid == nil || !strings.Contains(text, "interrupted") {
		t.Fatalf("want a report with the process and interrupted, got:\n%s", text)
	}
	n, err := strconv.Atoi(pid[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(n, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("looking for the proxy: got %v, want no such process", err)
	}
	if left, err := filepath.Glob(os.TempDir() + "/*"); err != nil || len(left) > 0 {
		t.Errorf("files after the run: got %q, %v; want none", left, err)
	}
}

// TestASoakFindsWhatIsWrong runs a proxy with other rules than the soak expects, which
// shows that a run can fail.
func TestASoakFindsWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	files, err := env.NewFiles(proxytest.V2)
	if err != nil {
		t.Fatal(err)
	}
	program, err := proxytest.BuildProxy("", files.Dir)
	if err != nil {
		t.Fatal(err)
	}
	// With its rules, worker must not write below /soak.
	script := filepath.Join(dir, "proxy")
	text := fmt.Sprintf("#!/bin/sh\nsed -i 's/, \"worker\"\\]/]/' \"$3\"\nexec %s \"$@\"\n", program)
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	var out, errOut bytes.Buffer
	args := append(relaxed, "--embedded", "--duration", "300ms", "--proxy", script)
	if code := tool.Run(t.Context(), newCommand(), args, &out, &errOut); code != 1 {
		t.Errorf("got exit code %d, want 1", code)
	}
	if !strings.Contains(errOut.String(), "mismatches") || !strings.Contains(out.String(), "/soak/tagged/k") {
		t.Errorf("want mismatches of /soak/tagged/k, got %s\n%s", errOut.String(), out.String())
	}
}

func TestAWrongCommandLineHasAStatusOfItsOwn(t *testing.T) {
	for _, args := range [][]string{{"more"}, {"--nothing"}, {"--duration", "x"}, {"--duration", "0s"}, {"--promise", "-1s"}, {"--seed", "-1"}, {"--keep=no"}, {"--embedded=no"}, {"--api", "v1"}, {"--embedded", "--etcd", "etcd"}} {
		if code := tool.Run(t.Context(), newCommand(), args, io.Discard, io.Discard); code != 2 {
			t.Errorf("%q: got status %d, want 2", args, code)
		}
	}
	for _, flag := range []string{"--proxy", "--etcd"} {
		if code := tool.Run(t.Context(), newCommand(), []string{flag, "nothing"}, io.Discard, io.Discard); code != 1 {
			t.Errorf("%s that does not exist: got status %d, want 1", flag, code)
		}
	}
}
