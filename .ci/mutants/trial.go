package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
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
	source  *source
	folder  string
	program *program
	rounds  []string // flags that select tests: those of each round, the short ones first
	limit   time.Duration
}

// A mutant can wait for what never comes. It has several times the time of the unchanged
// package, and not less than minLimit, because the machine may have other work.
const (
	limitFactor = 4
	minLimit    = 10 * time.Second
)

// maxMemory bounds the tests of a mutant, which may append without end. The embedded etcd
// maps 10 GB of address space, but does not write to them, so only written memory counts.
const maxMemory = 6 << 30

func newTrial(s *source) (*trial, error) {
	if err := syscall.Setrlimit(syscall.RLIMIT_DATA, &syscall.Rlimit{Cur: maxMemory, Max: maxMemory}); err != nil {
		return nil, fmt.Errorf("limiting the memory of tests: %w", err)
	}
	folder, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return nil, err
	}
	return &trial{source: s, folder: folder}, nil
}

func (t *trial) close() { os.RemoveAll(t.folder) }

// prepare compiles the mutants that are tested next. The unchanged package must pass the
// tests, and its time limits that of the mutants.
func (t *trial) prepare(ctx context.Context, mutants []*mutant) (err error) {
	if t.program, err = compile(ctx, t.source, t.folder, mutants); err != nil || t.rounds != nil {
		return err
	}
	began := time.Now()
	out, err := t.run(ctx, t.program.path(), 0, 10*time.Minute, "-test.v")
	if err != nil {
		return fmt.Errorf("testing %s without a change: %w\n%s", t.source.path, err, out)
	}
	t.limit = max(minLimit, limitFactor*time.Since(began))
	t.rounds = rounds(out)
	return nil
}

// test runs the tests on a mutant.
func (t *trial) test(ctx context.Context, m *mutant) (outcome, error) {
	path := t.program.path()
	switch state, ok := t.program.state[m]; {
	case ok && state == invalid:
		return invalid, nil
	case ok:
		path = filepath.Join(t.folder, "apart")
		_, err := t.source.build(ctx, t.folder, path, map[string]string{m.file: string(m.changed())})
		switch {
		case ctx.Err() != nil:
			return 0, ctx.Err()
		case err != nil:
			return invalid, nil
		}
	}
	for _, round := range t.rounds {
		out, err := t.run(ctx, path, t.program.number(m), t.limit, round)
		switch {
		case ctx.Err() != nil:
			return 0, ctx.Err()
		case errors.Is(err, context.DeadlineExceeded), bytes.Contains(out, []byte("panic: test timed out")):
			return late, nil
		case err != nil:
			return dead, nil
		}
	}
	return alive, nil
}

// run runs tests of a program where go test does.
func (t *trial) run(ctx context.Context, program string, number int, limit time.Duration, flag string) ([]byte, error) {
	args := []string{"-test.failfast", "-test.timeout", limit.String(), flag}
	if t.source.rapid {
		args = append(args, "-rapid.nofailfile") // it would keep the failures of mutants below testdata
	}
	env := []string{selectorEnv + "=" + strconv.Itoa(number), "PWD=" + t.source.folder}
	return execute(ctx, limit+10*time.Second, t.source.folder, env, program, args...)
}
