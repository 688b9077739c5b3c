package proxytest

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// Link forwards TCP connections to an etcd and can be cut. To the proxy, a cut link looks
// like an etcd that died, even if that etcd is embedded and cannot be killed.
type Link struct {
	ln       net.Listener
	accepted atomic.Int64
	open     atomic.Int64
	running  sync.WaitGroup

	mu        sync.Mutex
	to        string
	conns     map[net.Conn]struct{}
	down      bool
	pause     chan struct{} // closed by Resume; nil if nothing is held up
	remaining [2]int        // bytes that may pass yet, by direction; below 0 is any number
}

// The directions of a link.
const (
	ToEtcd = iota
	FromEtcd
)

// NewLink returns a link to an address such as 127.0.0.1:2379.
func NewLink(to string) (*Link, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &Link{ln: ln, to: to, conns: make(map[net.Conn]struct{}), remaining: [2]int{-1, -1}}
	l.running.Go(l.accept)
	return l, nil
}

// Target returns the address that the link leads to.
func (l *Link) Target() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.to
}

// Retarget makes new connections lead to another address, and closes all others.
func (l *Link) Retarget(to string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.to = to
	for c := range l.conns {
		_ = c.Close()
	}
}

// URL returns the URL of the near end of the link.
func (l *Link) URL() string { return "http://" + l.ln.Addr().String() }

// Accepted returns the number of connections accepted so far.
func (l *Link) Accepted() int64 { return l.accepted.Load() }

// Open returns the number of open connections.
func (l *Link) Open() int64 { return l.open.Load() }

func (l *Link) accept() {
	for {
		c, err := l.ln.Accept()
		if err != nil {
			return
		}
		l.accepted.Add(1)
		l.running.Go(func() { l.carry(c) })
	}
}

func (l *Link) carry(client net.Conn) {
	if !l.hold(client) {
		return
	}
	defer l.release(client)
	server, err := net.Dial("tcp", l.Target())
	if err != nil {
		return
	}
	if !l.hold(server) {
		return
	}
	defer l.release(server)
	l.open.Add(1)
	defer l.open.Add(-1)
	done := make(chan struct{})
	go func() {
		_, _ = io.Copy(server, held{client, l, ToEtcd})
		_ = server.Close()
		close(done)
	}()
	_, _ = io.Copy(client, held{server, l, FromEtcd})
	_ = client.Close()
	<-done
}

// held is one direction of a connection. It pauses while the link is paused, and ends
// where the link is cut.
type held struct {
	io.Reader
	link      *Link
	direction int
}

func (h held) Read(p []byte) (int, error) {
	n, err := h.Reader.Read(p)
	h.link.mu.Lock()
	pause := h.link.pause
	if remaining := &h.link.remaining[h.direction]; *remaining >= 0 {
		if n > *remaining {
			n, err = *remaining, io.ErrUnexpectedEOF
		}
		*remaining -= n
	}
	h.link.mu.Unlock()
	if pause != nil {
		<-pause
	}
	return n, err
}

func (l *Link) hold(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		_ = c.Close()
		return false
	}
	l.conns[c] = struct{}{}
	return true
}

func (l *Link) release(c net.Conn) {
	_ = c.Close()
	l.mu.Lock()
	delete(l.conns, c)
	l.mu.Unlock()
}

// Cut closes all connections. Until Mend, new connections are closed at once.
func (l *Link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = true
	for c := range l.conns {
		_ = c.Close()
	}
}

// CutAfter forwards that many more bytes in one direction. Until Mend, connections that carry
// further bytes are closed.
func (l *Link) CutAfter(direction, bytes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remaining[direction] = bytes
}

// Mend forwards connections and bytes again.
func (l *Link) Mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down, l.remaining = false, [2]int{-1, -1}
}

// Pause stops forwarding in both directions until Resume, so that etcd looks like a
// server that hangs. Connections stay open, and new ones are accepted.
func (l *Link) Pause() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pause == nil {
		l.pause = make(chan struct{})
	}
}

// Resume undoes Pause.
func (l *Link) Resume() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pause != nil {
		close(l.pause)
		l.pause = nil
	}
}

// Close closes the link and waits for its goroutines.
func (l *Link) Close() {
	_ = l.ln.Close()
	l.Resume()
	l.Cut()
	l.running.Wait()
}
