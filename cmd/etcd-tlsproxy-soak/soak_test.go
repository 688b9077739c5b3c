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

	"etcd-tlsproxy/proxy/proxytest"
)

// members are the etcds to try: the one that is linked in, and the installed one.
func members() map[string][]string {
	all := map[string][]string{"embedded": {"--embedded"}}
	if _, _, ok := proxytest.FindEtcd(); ok {
		all["installed"] = nil
	}
	return all
}

// relaxed is for machines that stall; how soon files take effect is tested elsewhere.
var relaxed = []string{"--promise", "30s"}

func TestAShortSoakFindsNothing(t *testing.T) {
	for name, args := range members() {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "report.json")
			var out, errOut bytes.Buffer
			args := append(append(args, relaxed...), "--duration", "5s", "--seed", "7", "--json", file)
			if code := run(t.Context(), args, &out, &errOut); code != 0 {
				t.Fatalf("exit code %d: %s\n%s", code, errOut.String(), out.String())
			}
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var r report
			if err := json.Unmarshal(data, &r); err != nil || r.Seed != 7 || r.Refusals == 0 || len(r.Faults) == 0 || r.AuditLines == 0 {
				t.Errorf("%v\n%s", err, data)
			}
			for _, kind := range []string{"tagged reader", "own counter", "shared counter", "poster", "watcher", "aborter", "pipeliner", "refused", "guesser", "guest", "narrow"} {
				if len(r.Requests[kind]) == 0 {
					t.Errorf("no %s did anything", kind)
				}
			}
		})
	}
}

// interrupter cancels when it is told that all runs.
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
	if code := run(ctx, append(relaxed, "--duration", "1h"), out, io.Discard); code != 0 {
		t.Errorf("exit code %d", code)
	}
	said := out.text.String()
	pid := regexp.MustCompile(`process (\d+)\n`).FindStringSubmatch(said)
	if pid == nil || !strings.Contains(said, "interrupted") {
		t.Fatal(said)
	}
	n, err := strconv.Atoi(pid[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(n, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the proxy still runs: %v", err)
	}
	if left, err := filepath.Glob(os.TempDir() + "/*"); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

// TestASoakFindsWhatIsWrong puts a proxy in place that does not serve what it should:
// it shows that a run can fail.
func TestASoakFindsWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	stage, err := newStage()
	if err != nil {
		t.Fatal(err)
	}
	program, err := stage.build("")
	if err != nil {
		t.Fatal(err)
	}
	// The same proxy, with rules that let nobody write below /soak.
	script := filepath.Join(dir, "proxy")
	text := fmt.Sprintf("#!/bin/sh\nsed -i 's/, \"worker\"\\]/]/' \"$3\"\nexec %s \"$@\"\n", program)
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	var out, errOut bytes.Buffer
	args := append(relaxed, "--embedded", "--duration", "300ms", "--proxy", script)
	if code := run(t.Context(), args, &out, &errOut); code != 1 || !strings.Contains(errOut.String(), "mismatches") || !strings.Contains(out.String(), "/soak/tagged/k") {
		t.Errorf("exit code %d: %s\n%s", code, errOut.String(), out.String())
	}
}
