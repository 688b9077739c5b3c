package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
	"etcd-tlsproxy/proxy/v2v3"
	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// cluster is three members and three proxies.
type cluster struct {
	*testing.T
	dir      string
	machines []*machine
	members  []*member
	proxies  []*proxy
	// connected means that the machines have namespaces, and why says why not.
	connected bool
	why       string
}

const machines = 3

// startCluster starts a cluster with an empty tree. It is killed when the test ends.
func startCluster(t *testing.T, release proxytest.Release) *cluster {
	t.Helper()
	all, why, err := newMachines(machines)
	c := &cluster{T: t, dir: t.TempDir(), machines: all, connected: why == "", why: why}
	t.Cleanup(c.close)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		one := &member{machine: m, program: release.Program, dir: c.data()}
		if one.client, err = rpc.New([]rpc.Endpoint{{Addr: m.addresses[stores]}}, "", ""); err != nil {
			t.Fatal(err)
		}
		c.members = append(c.members, one)
		lane := []fronttest.Lane{fronttest.Fast, fronttest.Standard}[m.number%2]
		c.proxies = append(c.proxies, &proxy{machine: m, lane: lane, log: proxyLog(c.dir, m.number)})
	}
	if err := os.Mkdir(c.data(), 0o700); err != nil {
		t.Fatal(err)
	}
	c.startMembers("new")
	o := v2v3.Options{Timeout: time.Minute, Log: slog.New(slog.DiscardHandler), Endpoints: []v2v3.Endpoint{{Addr: c.members[0].addresses[stores]}}}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := v2v3.Init(ctx, o, 100); err != nil {
		t.Fatal(err)
	}
	for _, p := range c.proxies {
		if err := p.launch(c.members); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func (c *cluster) data() string { return filepath.Join(c.dir, "data") }

func (c *cluster) close() {
	for _, p := range c.proxies {
		p.kill()
	}
	for _, m := range c.members {
		m.kill()
		m.client.Close()
	}
	if err := removeMachines(c.machines); err != nil {
		c.Error(err)
	}
	if !c.Failed() {
		return
	}
	for _, p := range c.proxies {
		c.Logf("the end of the log of proxy %d:\n%s", p.number, tail(p.log))
	}
	for _, m := range c.members {
		c.Logf("the end of the log of member %d:\n%s", m.number, tail(m.data()+".log"))
	}
}

// tail returns the end of a file.
func tail(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-4000):])
}

// startMembers starts all members, and waits until they serve.
func (c *cluster) startMembers(state string) {
	c.Helper()
	for _, m := range c.members {
		if err := m.launch(c.members, state); err != nil {
			c.Fatal(err)
		}
	}
	for _, m := range c.members {
		c.wait(fmt.Sprintf("member %d serves", m.number), m.serves)
	}
}

// wait waits until something holds, and fails the test if that takes long.
func (c *cluster) wait(what string, holds func() bool) {
	c.Helper()
	fronttest.Eventually(c, what, holds)
}

// keeper returns the proxy that expires nodes, or nil.
func (c *cluster) keeper() *proxy {
	for _, m := range c.members {
		ctx, cancel := call()
		answer, err := m.client.Range(ctx, &pb.RangeRequest{Key: layout.Keys("").Keeper()})
		cancel()
		if err != nil || len(answer.Kvs) == 0 {
			continue
		}
		presence, err := layout.DecodePresence(answer.Kvs[0].Value)
		if err != nil {
			c.Error(err)
			return nil
		}
		for _, p := range c.proxies {
			if p.logged("session="+presence.Session+"\n") > 0 {
				return p
			}
		}
	}
	return nil
}

// decode decodes JSON, and reports whether it is some.
func decode(text []byte, to any) bool { return json.Unmarshal(text, to) == nil }
