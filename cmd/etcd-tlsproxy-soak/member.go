package main

import (
	"fmt"
	"strings"
	"syscall"

	"etcd-tlsproxy/proxy/proxytest"
)

// member is the etcd behind the proxy, and what can happen to it.
type member interface {
	URL() string
	// Die ends it as a crash does; Revive brings it back and waits until it serves.
	Die()
	Revive() error
	// Sever breaks all connections off, answers and requests in the middle.
	Sever()
	// Stall makes it a server that says nothing, until Wake.
	Stall()
	Wake()
	Close()
}

// startMember starts an etcd and tells which one.
func startMember(dir string, embedded bool) (member, string, error) {
	if path, version, ok := proxytest.FindEtcd(); ok && !embedded {
		etcd, err := proxytest.StartProcess(path, proxytest.Options{Dir: dir})
		if err != nil {
			return nil, "", err
		}
		link, err := proxytest.NewLink(strings.TrimPrefix(etcd.URL(), "http://"))
		if err != nil {
			etcd.Close()
			return nil, "", fmt.Errorf("linking to etcd: %w", err)
		}
		return process{etcd, link}, "etcd " + version + ", a process", nil
	}
	etcd, err := proxytest.StartEmbedded(proxytest.Options{Dir: dir})
	if err != nil {
		return nil, "", fmt.Errorf("starting etcd: %w", err)
	}
	return linked{etcd}, "etcd 3.5, linked in", nil
}

// process is an installed etcd. Killing it shows whether what was acknowledged
// outlives it: its log was written before it answered.
type process struct {
	*proxytest.Process
	link *proxytest.Link
}

func (p process) URL() string   { return p.link.URL() }
func (p process) Die()          { p.Kill() }
func (p process) Revive() error { return p.Start() }
func (p process) Stall()        { p.Signal(syscall.SIGSTOP) }
func (p process) Wake()         { p.Signal(syscall.SIGCONT) }

func (p process) Sever() {
	p.link.Cut()
	p.link.Mend()
}

func (p process) Close() {
	p.link.Close()
	p.Process.Close()
}

// linked is an etcd in this process. It cannot die, but the way to it can.
type linked struct{ *proxytest.Embedded }

func (l linked) Die()   { l.Cut() }
func (l linked) Stall() { l.Pause() }
func (l linked) Wake()  { l.Resume() }

func (l linked) Revive() error {
	l.Mend()
	return nil
}

func (l linked) Sever() {
	l.Cut()
	l.Mend()
}
