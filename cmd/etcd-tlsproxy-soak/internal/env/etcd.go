package env

import (
	"fmt"
	"strings"
	"syscall"

	"etcd-tlsproxy/proxy/proxytest"
)

// Etcd is the etcd behind the proxy, with the faults that it can have.
type Etcd interface {
	URL() string
	// Kill ends it as a crash would. Restart starts it again and waits until it serves.
	Kill()
	Restart() error
	// BreakConnections closes all connections, also in the middle of a request or an
	// answer.
	BreakConnections()
	// Pause stops it from answering until Resume. Connections stay open.
	Pause()
	Resume()
	Close()
}

// StartEtcd starts an etcd and returns it with a description. Without an installed one,
// or if embedded is set, it is the one that is linked in.
func StartEtcd(dir string, embedded bool) (Etcd, string, error) {
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
		return installed{etcd, link}, "etcd " + version + ", a process", nil
	}
	etcd, err := proxytest.StartEmbedded(proxytest.Options{Dir: dir})
	if err != nil {
		return nil, "", fmt.Errorf("starting etcd: %w", err)
	}
	return linkedIn{etcd}, "etcd 3.5, linked in", nil
}

// installed is an etcd that runs as a process. Killing it shows whether acknowledged
// writes survive: etcd writes its log before it answers.
type installed struct {
	*proxytest.Process
	link *proxytest.Link
}

func (e installed) URL() string    { return e.link.URL() }
func (e installed) Restart() error { return e.Start() }
func (e installed) Pause()         { e.Signal(syscall.SIGSTOP) }
func (e installed) Resume()        { e.Signal(syscall.SIGCONT) }

func (e installed) BreakConnections() {
	e.link.Cut()
	e.link.Mend()
}

func (e installed) Close() {
	e.link.Close()
	e.Process.Close()
}

// linkedIn is an etcd in this process. It cannot be killed, but its connections can.
type linkedIn struct{ *proxytest.Embedded }

func (e linkedIn) Kill() { e.Cut() }

func (e linkedIn) Restart() error {
	e.Mend()
	return nil
}

func (e linkedIn) BreakConnections() {
	e.Cut()
	e.Mend()
}
