package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// curl is a transport: each request is a process.
type curl struct{ *actor }

func (c curl) close() {}

// curlBroken are the exit codes of a curl that got only part of an answer.
var curlBroken = map[int]bool{18: true, 56: true, 92: true}

func (c curl) ask(ctx context.Context, r *request) (*answer, error) {
	version := []string{"--http1.0", "--http1.1", "--http2"}[c.random.IntN(3)]
	args := []string{"-sS", version, "--cacert", c.path("ca.crt"), "-X", r.method, "-w", "\n%{http_code}"}
	if r.method == "HEAD" {
		args = append(args, "--head", "-o", os.DevNull)
	}
	if r.user != "" {
		args = append(args, "-u", r.user+":"+r.password())
	}
	if r.form != "" {
		args = append(args, "-d", r.form)
	}
	out, err := command(ctx, nil, "curl", append(args, "https://"+c.listen+r.path())...)
	var exit *exec.ExitError
	if errors.As(err, &exit) && curlBroken[exit.ExitCode()] {
		return nil, fmt.Errorf("%w: %w", errBrokenOff, err)
	}
	if err != nil {
		return nil, err
	}
	cut := strings.LastIndexByte(out, '\n')
	status, err := strconv.Atoi(out[cut+1:])
	// Its output has no index: what is read is checked by its value alone.
	return &answer{status: status, body: out[:max(cut, 0)], index: ^uint64(0)}, err
}

// command runs a program that ends with this one.
func command(ctx context.Context, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%s: %w: %s", name, err, exit.Stderr)
	}
	return string(out), err
}

// useCurl reads and posts with curl.
func (a *actor) useCurl() {
	a.via = curl{a}
	for n := 0; a.working(); sleep(a.work, time.Duration(200+a.random.IntN(600))*time.Millisecond) {
		if a.random.IntN(2) == 0 {
			a.readOne(a.taggedRead())
			continue
		}
		r, folder, value := a.post(&n)
		got, outcome := a.do(r, 201)
		a.posted(r, folder, value, got, outcome)
	}
}

// etcdctl is the old client, or none.
func etcdctl(ctx context.Context) bool {
	out, err := command(ctx, etcdctlEnv, "etcdctl", "--version")
	return err == nil && strings.Contains(out, "API version: 2")
}

var etcdctlEnv = []string{"ETCDCTL_API=2"}

// useEtcdctl sets a key of its own and reads it back. A set that failed may be carried
// out at any later time, also after one that was acknowledged since.
func (a *actor) useEtcdctl() {
	late := map[string]bool{}
	for n := 0; a.working(); sleep(a.work, time.Duration(300+a.random.IntN(1000))*time.Millisecond) {
		value := fmt.Sprintf("etcdctl-%d", n)
		n++
		is := func(said string) bool { return said == value }
		if !a.etcdctl(is, "set", "/soak/etcdctl", value) {
			late[value] = true
			continue
		}
		a.etcdctl(func(said string) bool { return is(said) || late[said] }, "get", "/soak/etcdctl")
	}
}

// etcdctl runs one command and judges what it says.
func (a *actor) etcdctl(right func(said string) bool, args ...string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	began := time.Now()
	out, err := command(ctx, etcdctlEnv, "etcdctl", append([]string{"--no-sync", "--endpoints", "https://" + a.listen, "--ca-file", a.path("ca.crt"), "-u", "worker:" + passwords["worker"]}, args...)...)
	switch said := strings.TrimSpace(out); {
	case err != nil && a.outages.excuse(began, time.Now()):
		a.tally.count(a.kind, "failed in an outage")
		return false
	case err != nil:
		a.wrong("%v: %v", args, err)
		return false
	case !right(said):
		a.wrong("%v says %.100q", args, said)
		return false
	}
	a.tally.count(a.kind, args[0])
	return true
}
