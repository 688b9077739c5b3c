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
	// Target returns its own address, which no fault of the connections concerns.
	Target() string
	// Kill ends it as a crash would. Restart starts it again and waits until it serves.
	Kill()
	Restart() error
	// Cut closes all connections, also in the middle of a request or an answer. Until Mend, there
	// are no others.
	Cut()
	Mend()
	// Pause stops it from answering until Resume. Connections stay open.
	Pause()
	Resume()
	Close()
}

// Quota is the size at which etcd refuses writes to its v3 store. It is small, so that a store that
// nobody compacts is full within minutes.
const Quota = 64 << 20

// StartEtcd starts an etcd for an API. Without a program it is the
// one that is linked in.
func StartEtcd(dir, program, api string) (Etcd, error) {
	o := proxytest.Options{Dir: dir}
	if api == proxytest.V3 {
		o.NoV2, o.Quota = true, Quota
	}
	if program == "" {
		etcd, err := proxytest.StartEmbedded(o)
		if err != nil {
			return nil, fmt.Errorf("starting etcd: %w", err)
		}
		return linkedIn{etcd}, nil
	}
	etcd, err := proxytest.StartProcess(program, o)
	if err != nil {
		return nil, err
	}
	link, err := proxytest.NewLink(strings.TrimPrefix(etcd.URL(), "http://"))
	if err != nil {
		etcd.Close()
		return nil, fmt.Errorf("linking to etcd: %w", err)
	}
	return installed{etcd, link}, nil
}

// installed is an etcd that runs as a process. Killing it shows whether acknowledged
// writes survive: etcd writes its log before it answers.
type installed struct {
	*proxytest.Process
	link *proxytest.Link
}

func (e installed) URL() string    { return e.link.URL() }
func (e installed) Target() string { return e.link.Target() }
func (e installed) Restart() error { return e.Start() }
func (e installed) Cut()           { e.link.Cut() }
func (e installed) Mend()          { e.link.Mend() }
func (e installed) Pause()         { e.Signal(syscall.SIGSTOP) }
func (e installed) Resume()        { e.Signal(syscall.SIGCONT) }

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
