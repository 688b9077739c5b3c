package faults

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
	"etcd-tlsproxy/proxy/share"
	"etcd-tlsproxy/proxy/v2v3"
)

// proxyVariable has, for a process that is a proxy, its lane, its address, and those of the members.
const proxyVariable = "ETCD_TLSPROXY_TEST_FAULTS_PROXY"

// proxy is a process that serves on a machine.
type proxy struct {
	*proxytest.Child
	*machine
	lane fronttest.Lane
	log  string
}

// launch starts the proxy. It prefers the member of its machine.
func (p *proxy) launch(members []*member) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	words := []string{string(p.lane), p.addresses[proxies]}
	for i := range members {
		words = append(words, members[(p.number+i)%len(members)].addresses[stores])
	}
	return p.run(func() (err error) {
		p.Child, err = proxytest.StartChild(p.log, "/usr/bin/env", proxyVariable+"="+strings.Join(words, " "), self,
			"-test.run=^TestThisProcessIsAProxy$", "-test.timeout=0")
		return err
	})
}

func (p *proxy) kill() {
	if p.Child != nil {
		p.Signal(syscall.SIGKILL)
		<-p.Exited()
	}
}

// logged counts how often a text is in the log of the proxy.
func (p *proxy) logged(text string) int {
	log, err := os.ReadFile(p.log)
	if err != nil {
		return 0
	}
	return strings.Count(string(log), text)
}

// jump is by how much SIGUSR1 sets the clock of a proxy forward. SIGUSR2 sets it back.
const jump = time.Hour

// TestThisProcessIsAProxy serves until it is killed, in a process that the other tests start.
func TestThisProcessIsAProxy(t *testing.T) {
	words := strings.Fields(os.Getenv(proxyVariable))
	if len(words) == 0 {
		t.Skip("other tests start it in a process of its own")
	}
	var ahead atomic.Int64
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2)
	log := slog.New(slog.NewTextHandler(os.Stdout, nil))
	o := v2v3.Options{Timeout: 3 * time.Second, Log: log, Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }}
	for _, address := range words[2:] {
		o.Endpoints = append(o.Endpoints, v2v3.Endpoint{Addr: address})
	}
	store, err := v2v3.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	f := fronttest.Lane(words[0]).New(t, "http://"+words[2], nil, func(s *lane.Snapshot, _ *proxytest.PKI) {
		s.Origin = &lane.Origin{Store: store, Feed: share.NewFeed(&share.WatchCounters{}, 64<<20)}
	})
	ln, err := net.Listen("tcp", words[1])
	if err != nil {
		t.Fatal(err)
	}
	f.Serve(ln)
	for s := range signals {
		ahead.Store(map[os.Signal]int64{syscall.SIGUSR1: int64(jump)}[s])
		log.Info("the clock was set", "ahead", time.Duration(ahead.Load()))
	}
}

// proxyLog returns the path of the log of a proxy.
func proxyLog(dir string, number int) string {
	return filepath.Join(dir, fmt.Sprintf("proxy%d.log", number))
}
