package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// programs is the folder of the programs that the tests build. A test that needs one that is there does not
// link it again.
var programs string

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	var err error
	if programs, err = os.MkdirTemp("", "siege"); err != nil {
		fmt.Fprintln(os.Stderr, "making the folder of programs:", err)
		return 1
	}
	defer os.RemoveAll(programs)
	return m.Run()
}

// buildProgram builds a package.
func buildProgram(t *testing.T, name, pkg string) string {
	t.Helper()
	program := filepath.Join(programs, name)
	if out, err := exec.Command("go", "build", "-o", program, pkg).CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", pkg, err, out)
	}
	return program
}

// besiege runs a siege without judging latencies, and returns its rows and its error.
func besiege(t *testing.T, program string, args ...string) ([]*row, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "rows.json")
	out, runErr := exec.Command(program, append(args, "--bounds", "--json", file)...).CombinedOutput()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("running the siege with %q: %v\n%s", args, runErr, out)
	}
	var rows []*row
	if err := json.Unmarshal(data, &rows); err != nil {
		t.Fatalf("decoding the rows: %v\n%s", err, data)
	}
	return rows, runErr
}

// TestTheSiegeTellsAServerThatHoldsFromOneThatDoesNot besieges the proxy of this checkout, and the
// same with a header_timeout of an hour.
func TestTheSiegeTellsAServerThatHoldsFromOneThatDoesNot(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds and starts a proxy and an etcd several times")
	}
	dir := t.TempDir()
	program := buildProgram(t, "siege", ".")
	proxy := buildProgram(t, "proxy", "etcd-tlsproxy/cmd/etcd-tlsproxy")
	patient := filepath.Join(dir, "patient")
	script := fmt.Sprintf("#!/bin/sh\nsed -i 's/header_timeout = \"2s\"/header_timeout = \"1h\"/' \"$3\"\nexec %s \"$@\"\n", proxy)
	if err := os.WriteFile(patient, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what, proxy string
		args        []string
		verdict     string
		reason      string
	}{
		{"a proxy with a header_timeout", proxy, nil, passed, ""},
		{"a proxy before a v3 store", proxy, []string{"--api", "v3"}, passed, ""},
		{"a proxy without a header_timeout, before the etcd that is linked in", patient, []string{"--embedded"}, failed, "90 of 90 connections without a whole head are still open"},
	} {
		t.Run(c.what, func(t *testing.T) {
			rows, err := besiege(t, program, append(c.args, "--proxy", c.proxy, "--attacks", "^8/1.1/one$", "--duration", "1s")...)
			if len(rows) != 1 {
				t.Fatalf("got %d rows, want one", len(rows))
			}
			if rows[0].Verdict != c.verdict {
				t.Fatalf("got a row that %s, want one that %s; its reasons: %q", rows[0].Verdict, c.verdict, rows[0].Reasons)
			}
			if (err == nil) != (c.verdict == passed) {
				t.Errorf("got exit %v, want an error if and only if a row fails", err)
			}
			if reasons := strings.Join(rows[0].Reasons, "\n"); !strings.Contains(reasons, c.reason) {
				t.Errorf("got reasons %q, want %q", reasons, c.reason)
			}
			r := rows[0]
			if r.Attack.Opened != 90 || r.ServerPeak == 0 || r.EtcdPeak == 0 {
				t.Errorf("got %d connections, %d bytes of the proxy and %d of etcd, want 90 and some", r.Attack.Opened, r.ServerPeak, r.EtcdPeak)
			}
			for _, phase := range []string{quiet, under, after} {
				for _, kind := range []string{kindRead, kindWrite, kindLogin} {
					if f := r.Victims[phase][kind]; f == nil || f.Requests == 0 || f.P99 <= 0 {
						t.Errorf("%s, %ss: got %+v, want some with a latency", phase, kind, f)
					}
				}
			}
		})
	}
}

// TestNothingOutlivesAnInterruptedSiege interrupts a siege and looks for what it has left.
func TestNothingOutlivesAnInterruptedSiege(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds and starts a proxy and an etcd")
	}
	dir := t.TempDir()
	program := buildProgram(t, "siege", ".")
	proxy := buildProgram(t, "proxy", "etcd-tlsproxy/cmd/etcd-tlsproxy")
	files := filepath.Join(dir, "files")
	if err := os.Mkdir(files, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--proxy", proxy, "--attacks", "^8/1.1/one$", "--duration", "1h")
	cmd.Env = append(os.Environ(), "TMPDIR="+files)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil { // it prints what it is about to do
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("got exit 0 of an interrupted siege, want an error")
	}
	if left, err := filepath.Glob(files + "/*"); err != nil || len(left) > 0 {
		t.Errorf("files after the siege: got %q, %v; want none", left, err)
	}
}
