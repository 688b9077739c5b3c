// Command seeded puts known mistakes into the code, one at a time, and reports those that the test
// which is meant for each does not notice.
//
//	go run ./.ci/seeded [-only WORD]
//
// The mistakes are in bugs.go. Each is one that the store on etcd's v3 API could have, and that its
// users would notice too late: a compare that is missing in a transaction, a refusal without a
// barrier, a gap in the mirror. The source files are not changed: the compiler reads the
// mistake through an overlay.
//
// The exit status is 1 if a mistake was not found, and 2 if the run itself failed, for example
// because the code of a mistake is not there any more.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// maxTest bounds the test of one mistake, with compiling. A mistake can wait for what never comes.
const maxTest = 5 * time.Minute

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("seeded", flag.ContinueOnError)
	flags.SetOutput(stderr)
	only := flags.String("only", "", "tests only the mistakes whose name contains this `WORD`")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	missed, err := test(ctx, *only, stdout)
	switch {
	case err != nil:
		fmt.Fprintln(stderr, "seeded:", err)
		return 2
	case missed > 0:
		return 1
	}
	return 0
}

// test tests the mistakes, and returns how many were not found.
func test(ctx context.Context, only string, out io.Writer) (missed int, err error) {
	root, err := filepath.Abs(".")
	if err != nil {
		return 0, err
	}
	folder, err := os.MkdirTemp("", "seeded")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(folder)
	for _, b := range bugs {
		if !strings.Contains(b.name, only) {
			continue
		}
		began := time.Now()
		found, err := b.test(ctx, root, folder)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", b.name, err)
		}
		verdict := "found"
		if !found {
			verdict = "NOT FOUND"
			missed++
		}
		fmt.Fprintf(out, "%-9s %5.1f s  %s\n", verdict, time.Since(began).Seconds(), b.name)
	}
	return missed, nil
}

// test reports whether the test of a mistake fails because of it.
func (b *bug) test(ctx context.Context, root, folder string) (bool, error) {
	file := filepath.Join(root, b.file)
	source, err := os.ReadFile(file)
	if err != nil {
		return false, err
	}
	changed, err := b.change(string(source))
	if err != nil {
		return false, err
	}
	seeded, overlay := filepath.Join(folder, "seeded.go"), filepath.Join(folder, "overlay.json")
	list, err := json.Marshal(map[string]map[string]string{"Replace": {file: seeded}})
	if err != nil {
		return false, err
	}
	if err := errors.Join(os.WriteFile(seeded, []byte(changed), 0o600), os.WriteFile(overlay, list, 0o600)); err != nil {
		return false, err
	}
	if out, err := exec.CommandContext(ctx, "go", "vet", "-overlay", overlay, b.pkg).CombinedOutput(); err != nil {
		return false, fmt.Errorf("the mistake does not compile: %w\n%s", err, out)
	}
	ctx, cancel := context.WithTimeout(ctx, maxTest)
	defer cancel()
	out, err := exec.CommandContext(ctx, "go", "test", "-overlay", overlay, "-run", "^"+b.by+"$", b.pkg).CombinedOutput()
	switch {
	case ctx.Err() != nil:
		return false, fmt.Errorf("%s did not end after %s", b.by, maxTest)
	case strings.Contains(string(out), "no tests to run"):
		return false, fmt.Errorf("there is no test %s", b.by)
	}
	return err != nil, nil
}

// change returns a file with the mistake.
func (b *bug) change(source string) (string, error) {
	if n := strings.Count(source, b.right); n != 1 {
		return "", fmt.Errorf("%s has %d times the code that the mistake replaces, want it once:\n%s", b.file, n, b.right)
	}
	return strings.Replace(source, b.right, b.wrong, 1), nil
}
