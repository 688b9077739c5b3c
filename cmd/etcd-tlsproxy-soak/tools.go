package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/transport"
)

// useCurl reads and posts with curl.
func (c *client) useCurl() {
	for n := 0; c.isWorking(); sleep(c.working, time.Duration(200+c.random.IntN(600))*time.Millisecond) {
		if c.random.IntN(2) == 0 {
			c.readVersion(c.versionRead())
			continue
		}
		r, folder, value := c.post(&n)
		got, outcome := c.do(r, 201)
		c.recordPost(r, folder, value, got, outcome)
	}
}

var etcdctlEnv = []string{"ETCDCTL_API=2"}

// hasEtcdctl reports whether an etcdctl with the v2 API is installed.
func hasEtcdctl(ctx context.Context) bool {
	out, err := transport.Command(ctx, etcdctlEnv, "etcdctl", "--version")
	return err == nil && strings.Contains(out, "API version: 2")
}

// useEtcdctl sets a key and reads it back. No other client writes the key. etcd may carry
// out a set that failed at any later time, even after one that it acknowledged since.
func (c *client) useEtcdctl() {
	late := map[string]bool{}
	for n := 0; c.isWorking(); sleep(c.working, time.Duration(300+c.random.IntN(1000))*time.Millisecond) {
		value := fmt.Sprintf("etcdctl-%d", n)
		n++
		isValue := func(out string) bool { return out == value }
		if !c.etcdctl(isValue, "set", "/soak/etcdctl", value) {
			late[value] = true
			continue
		}
		c.etcdctl(func(out string) bool { return isValue(out) || late[out] }, "get", "/soak/etcdctl")
	}
}

// etcdctl runs one command and checks its output.
func (c *client) etcdctl(isRight func(out string) bool, args ...string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), transport.Timeout)
	defer cancel()
	sent := time.Now()
	common := []string{
		"--no-sync", "--endpoints", "https://" + c.files.Listen, "--ca-file", c.files.CA(), "-u", "worker:" + transport.Passwords["worker"],
	}
	out, err := transport.Command(ctx, etcdctlEnv, "etcdctl", append(common, args...)...)
	switch out := strings.TrimSpace(out); {
	case err != nil && c.outages.Overlap(sent, time.Now()):
		c.findings.CountRequest(c.kind, "failed in an outage")
		return false
	case err != nil:
		c.mismatch("etcdctl %v: %v", args, err)
		return false
	case !isRight(out):
		c.mismatch("etcdctl %v printed %.100q, which is not what was set", args, out)
		return false
	}
	c.findings.CountRequest(c.kind, args[0])
	return true
}
