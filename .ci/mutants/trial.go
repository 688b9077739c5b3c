package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// outcome is what the tests say about a mutant.
type outcome int

const (
	dead    outcome = iota // a test failed
	late                   // the tests did not end in time
	alive                  // all tests passed
	invalid                // the mutant does not compile
)

// trial runs the tests of a package on its mutants.
type trial struct {
	source *source
	folder string
	limit  time.Duration
}

// A mutant can wait for what never comes. It has several times the time of the unchanged
// package, and not less than minLimit, because the machine may have other work.
const (
	limitFactor = 4
	minLimit    = 30 * time.Second
)

// buildLimit is the time for compiling and linking, in addition to that of the tests.
const buildLimit = 2 * time.Minute

// maxMemory bounds the tests of a mutant, which may append without end. The embedded etcd
// maps 10 GB of address space, but does not write to them, so only written memory counts.
const maxMemory = 6 << 30

// newTrial tests the unchanged package, which must pass.
func newTrial(ctx context.Context, s *source) (*trial, error) {
	if err := syscall.Setrlimit(syscall.RLIMIT_DATA, &syscall.Rlimit{Cur: maxMemory, Max: maxMemory}); err != nil {
		return nil, fmt.Errorf("limiting the memory of tests: %w", err)
	}
	folder, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return nil, err
	}
	t := &trial{source: s, folder: folder, limit: 10 * time.Minute}
	began := time.Now()
	out, err := t.run(ctx)
	if err != nil {
		t.close()
		return nil, fmt.Errorf("testing %s without a change: %w\n%s", s.path, err, out)
	}
	t.limit = max(minLimit, limitFactor*time.Since(began))
	return t, nil
}

func (t *trial) close() { os.RemoveAll(t.folder) }

// test runs the tests on a mutant.
func (t *trial) test(ctx context.Context, m *mutant) (outcome, error) {
	changed, overlay := filepath.Join(t.folder, "changed.go"), filepath.Join(t.folder, "overlay.json")
	list, err := json.Marshal(map[string]map[string]string{"Replace": {filepath.Join(t.source.root, m.file): changed}})
	if err != nil {
		return 0, err
	}
	if err := errors.Join(os.WriteFile(changed, m.changed(), 0o600), os.WriteFile(overlay, list, 0o600)); err != nil {
		return 0, err
	}
	out, err := t.run(ctx, "-overlay", overlay)
	switch {
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case err == nil:
		return alive, nil
	case bytes.Contains(out, []byte("[build failed]")), bytes.Contains(out, []byte("[setup failed]")):
		return invalid, nil
	case errors.Is(err, context.DeadlineExceeded), bytes.Contains(out, []byte("panic: test timed out")):
		return late, nil
	}
	return dead, nil
}

// run runs go test. Its processes are a group of their own, and a test that hangs is killed
// with the processes that it started.
func (t *trial) run(ctx context.Context, flags ...string) (out []byte, err error) {
	limited, cancel := context.WithTimeout(ctx, t.limit+buildLimit)
	defer cancel()
	args := append([]string{"test", "-count=1", "-failfast", "-vet=off", "-timeout", t.limit.String()}, flags...)
	args = append(args, t.source.path)
	if t.source.rapid {
		args = append(args, "-rapid.nofailfile") // it would keep the failures of mutants below testdata
	}
	cmd := exec.CommandContext(limited, "go", args...)
	cmd.Dir = t.source.root
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
	out, err = cmd.CombinedOutput()
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what a test left behind
	}
	if limited.Err() != nil {
		err = limited.Err()
	}
	return out, err
}
