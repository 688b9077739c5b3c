package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	client "go.etcd.io/etcd/client/v2"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/cluster"
	"etcd-tlsproxy/proxy/proxytest/dnstest"
)

// story is what happens to the cluster beside the manual's commands: a client uses the
// cluster, and members fail.
type story struct {
	t    *testing.T
	m    *machines
	keys client.KeysAPI
	kept map[string]string // the keys that were written before the backup

	stop    context.CancelFunc
	ended   chan struct{}
	writes  atomic.Int64
	longest time.Duration // without a write
}

func newStory(t *testing.T, m *machines) *story {
	var records []string
	for n := 1; n <= machineCount; n++ {
		name := fmt.Sprintf("conf100%d.example.org", n)
		records = append(records, dnstest.SRV("etcd-server", "example.org", 10, 0, name, 2380),
			dnstest.SRV("etcd-client-ssl", "example.org", 10, 0, name, 4001), name+". IN A "+m.address(n))
	}
	m.dns.Set(records...)
	return &story{t: t, m: m, kept: make(map[string]string)}
}

// before prepares the cluster for a section of the manual.
func (s *story) before(section string) {
	switch section {
	case "Adding a member":
		s.startClient()
	case "Removing a member":
		s.moveLeader()
	case "The nightly backup":
		s.fill()
	case "After the quorum is lost":
		for _, n := range []int{2, 3} {
			s.run(n, "systemctl kill --signal=KILL etcd; rm -r "+s.m.root+"/conf100"+strconv.Itoa(n)+"/var/lib/etcd/default/member")
		}
	case "A cluster from SRV records":
		s.check()
		s.stopClient()
		for n := 1; n <= machineCount; n++ {
			s.run(n, "systemctl stop etcd etcd-tlsproxy; cd "+s.m.root+"/conf100"+strconv.Itoa(n)+"; rm -r var/lib/etcd/default etc/default/etcd")
		}
	}
}

func (s *story) run(n int, script string) string {
	s.t.Helper()
	code, output := s.m.run(n, script)
	if code != 0 {
		s.t.Fatalf("on conf100%d: %s\nended with status %d, want 0:\n%s%s", n, script, code, output, s.logs())
	}
	return output
}

func (s *story) connection(user string, n ...int) *cluster.Connection {
	s.t.Helper()
	first := filepath.Join(s.m.root, "conf1001")
	c := &cluster.Connection{CA: filepath.Join(first, "etc/ssl/certs/ca.pem"), User: user, Timeout: 2 * time.Second}
	for _, n := range n {
		c.Endpoints = append(c.Endpoints, "https://"+s.m.address(n)+":4001")
	}
	c.PasswordFile = map[string]string{"root": filepath.Join(first, "root/etcd.password"), "conftool": filepath.Join(first, "root/conftool.password")}[user]
	return c
}

func (s *story) api(user string, n ...int) client.KeysAPI {
	s.t.Helper()
	etcd, err := s.connection(user, n...).Client()
	if err != nil {
		s.t.Fatal(err)
	}
	return client.NewKeysAPI(etcd)
}

// startClient starts a client that increments a counter, like conftool changes a value
// that it has read. It uses any proxy that answers.
func (s *story) startClient() {
	s.t.Helper()
	s.keys = s.api("root", 1)
	conftool := s.api("conftool", 1, 2, 3)
	ctx, stop := context.WithCancel(s.t.Context())
	s.stop, s.ended = stop, make(chan struct{})
	s.t.Cleanup(s.stopClient)
	go func() {
		defer close(s.ended)
		last := time.Now()
		for ctx.Err() == nil {
			if err := count(ctx, conftool); err == nil {
				s.writes.Add(1)
				s.longest = max(s.longest, time.Since(last))
				last = time.Now()
			}
			select {
			case <-time.After(20 * time.Millisecond): // so that the client does not slow the commands down
			case <-ctx.Done():
			}
		}
	}()
}

// count increments a counter, unless it changes meanwhile.
func count(ctx context.Context, keys client.KeysAPI) error {
	const key = "/conftool/counter"
	seen, err := keys.Get(ctx, key, &client.GetOptions{Quorum: true})
	if client.IsKeyNotFound(err) {
		_, err = keys.Create(ctx, key, "1")
		return err
	} else if err != nil {
		return err
	}
	n, err := strconv.Atoi(seen.Node.Value)
	if err != nil {
		return err
	}
	_, err = keys.Set(ctx, key, strconv.Itoa(n+1), &client.SetOptions{PrevIndex: seen.Node.ModifiedIndex})
	return err
}

// stopClient stops the client, if it runs.
func (s *story) stopClient() {
	if s.stop == nil {
		return
	}
	s.stop()
	<-s.ended
	s.stop = nil
	s.t.Logf("the client has written %d times; the longest time without a write was %v", s.writes.Load(), s.longest)
	if s.writes.Load() == 0 {
		s.t.Error("the client has never written, want at least one write")
	}
}

// moveLeader makes conf1001 the leader, which the manual then tries to remove.
func (s *story) moveLeader() {
	s.t.Helper()
	code, output := s.m.run(1, s.m.here(1, "etcd-tlsproxy member list --output json --endpoints http://127.0.0.1:2379"))
	var list struct {
		Members []struct {
			ID, Name string
			Leader   bool
		}
	}
	if err := json.Unmarshal([]byte(output), &list); code != 0 || err != nil {
		s.t.Fatalf("member list: got status %d and the error %v for\n%s", code, err, output)
	}
	first, leader := "", 0
	for _, member := range list.Members {
		if member.Name == "conf1001" {
			first = member.ID
		}
		if member.Leader {
			leader = int(member.Name[len(member.Name)-1] - '0')
		}
	}
	if leader != 1 {
		s.run(leader, s.m.here(leader, "ETCDCTL_API=3 etcdctl --endpoints http://127.0.0.1:2379 move-leader "+first))
	}
}

// logs returns the last lines of the logs of all services.
func (s *story) logs() string {
	var b strings.Builder
	for _, pattern := range []string{"*/var/lib/etcd/*.log", "*/var/*.log"} {
		files, _ := filepath.Glob(filepath.Join(s.m.root, pattern))
		for _, file := range files {
			text, _ := os.ReadFile(file)
			fmt.Fprintf(&b, "\n== %s\n%s", file, text[max(0, len(text)-1500):])
		}
	}
	return b.String()
}
