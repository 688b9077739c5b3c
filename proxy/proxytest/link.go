package proxytest

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// Link is a TCP connection's way to an etcd, which can be cut: what the proxy
// sees of an etcd that dies, on a machine where none can be killed.
type Link struct {
	ln       net.Listener
	to       string
	accepted atomic.Int64
	open     atomic.Int64
	running  sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]struct{}
	down  bool
	pause chan struct{} // closed by Resume; nil if nothing is held up
	left  [2]int        // bytes that may pass yet, by direction; below 0 is any number
}

// The directions of a link.
const (
	ToEtcd = iota
	FromEtcd
)

// NewLink makes a link to an address, as in 127.0.0.1:2379.
func NewLink(to string) (*Link, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &Link{ln: ln, to: to, conns: make(map[net.Conn]struct{}), left: [2]int{-1, -1}}
	l.running.Go(l.accept)
	return l, nil
}

// URL is where the link begins.
func (l *Link) URL() string { return "http://" + l.ln.Addr().String() }

// Accepted is how many connections there were; Open how many there are.
func (l *Link) Accepted() int64 { return l.accepted.Load() }

// Open is how many connections there are now.
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
	server, err := net.Dial("tcp", l.to)
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

// held is one direction of a connection, which stands still while the link does, and
// ends where the link does.
type held struct {
	io.Reader
	link      *Link
	direction int
}

func (h held) Read(p []byte) (int, error) {
	n, err := h.Reader.Read(p)
	h.link.mu.Lock()
	pause := h.link.pause
	if left := &h.link.left[h.direction]; *left >= 0 {
		if n > *left {
			n, err = *left, io.ErrUnexpectedEOF
		}
		*left -= n
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

// Cut ends all connections, and until Mend those that come are ended at once.
func (l *Link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = true
	for c := range l.conns {
		_ = c.Close()
	}
}

// CutAfter lets so many more bytes through in one direction, and ends the connections
// that carry what follows, until Mend.
func (l *Link) CutAfter(direction, bytes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.left[direction] = bytes
}

// Mend lets connections and bytes through again.
func (l *Link) Mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down, l.left = false, [2]int{-1, -1}
}

// Pause holds up what is sent in either direction, as a server that says nothing
// does, until Resume. Connections stay, and new ones are accepted.
func (l *Link) Pause() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pause == nil {
		l.pause = make(chan struct{})
	}
}

// Resume lets everything go on.
func (l *Link) Resume() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pause != nil {
		close(l.pause)
		l.pause = nil
	}
}

// Close ends the link and waits for all of it.
func (l *Link) Close() {
	_ = l.ln.Close()
	l.Resume()
	l.Cut()
	l.running.Wait()
}
